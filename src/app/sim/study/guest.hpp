#pragma once
/// \file  A guest of the study at the level of distinct pages: classes of pages that are alike, so that a TiB costs as
///        little as a MiB. What a mixture cannot say (phases, trends, bursts, recorded traces, work that comes from the
///        network) multiplies the classes' rates over time.
///
/// Pages of a `random` class are written at random: after an exposure of H writes a page, 1 - exp(-H) of them are
/// dirty, with binomial noise. A `walk` class is written from its beginning to its end, over and over (a ramp).
/// Pure: chance is the Rng given. Cost: advance() O(vCPUs), take_dirty() O(classes x modes).

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/sim/rng.hpp"

namespace segue::study {

inline constexpr double page_bytes = 4096;

/// What drives the writes of a class. `vcpus`: the mean work of all of them. `network`: bytes received, whatever the
/// brake does, until the queue is full.
enum class Drive { vcpu, vcpus, wall, network };
enum class Pattern { random, walk };

struct PageClass {
    double pages = 0;
    Pattern pattern = Pattern::random;
    Drive drive = Drive::vcpu;
    std::size_t vcpu = 0;
    /// Of each mode (the last one for all further modes), a second of its drive: writes a page (random), or pages
    /// (walk). Of the network: the same a byte received.
    std::vector<double> rate{0};
};

/// A stretch of time in which the classes keep their rates. Taken in turn, again and again.
struct Mode {
    double length_s = 1e9;
    double busy = 1;  ///< Factor of the vCPUs' utilisation.
};

/// Requests come by themselves; serving them is the vCPUs' work. What is not served waits, up to a limit.
struct Network {
    double arrive_per_s = 0;  ///< Bytes a second of wall time.
    double serve_per_s = 1;   ///< Bytes a second of guest work.
    double queue_max = 0;     ///< Bytes; then the sender is held back.
};

/// A part of a recorded trace: over so much work so many distinct bytes.
struct TracePoint {
    double work_s = 0;
    double distinct_bytes = 0;
    friend bool operator==(const TracePoint&, const TracePoint&) = default;
};

struct GuestSpec {
    std::string family;
    bool in_model = true;  ///< A stationary mixture of ramps and exponentials on the guest's work.
    double memory_bytes = 0;
    double nonzero_ratio = 1;
    std::vector<PageClass> classes;
    std::vector<double> busy{1.0};  ///< Of each vCPU: how much of its time it runs when nobody brakes it.
    std::vector<Mode> modes{Mode{}};
    bool modes_on_wall = false;    ///< Else on guest work.
    bool modes_random = false;     ///< Lengths are exponential with the given mean.
    double trend_per_s = 0;        ///< Heat grows by this part a second of work, between 0.2 and 5.
    double jitter_sigma = 0;       ///< Of ln(heat), stationary.
    double jitter_tau_s = 1;
    std::optional<Network> network{};
    std::vector<TracePoint> trace{};  ///< Heat over work, again and again; of the first class.
};

class GuestRun {
public:
    /// \pre the spec outlives it.
    GuestRun(const GuestSpec& spec, sim::Rng rng);

    /// Wall time passes; each vCPU may run `share` of it. 0: the guest stands.
    void advance(double seconds, double share);
    /// Distinct pages of each class written since the last call; forgets them.
    [[nodiscard]] std::vector<double> take_dirty();
    /// What take_dirty() would say without its noise, of all classes, in bytes.
    [[nodiscard]] double expected_bytes() const;
    /// Without noise and jitter from now on: for looking ahead on a copy.
    void quiet() { quiet_ = true; }

    [[nodiscard]] double worked() const { return worked_; }  ///< Mean of the vCPUs, seconds.
    [[nodiscard]] double wanted() const { return wanted_; }  ///< What it would have worked with nobody braking it.
    [[nodiscard]] double busy_now() const;                   ///< Mean of the vCPUs.
    [[nodiscard]] const GuestSpec& spec() const { return *spec_; }

private:
    void step(double seconds, double share);
    void expose(std::size_t drive, double amount) { exposure_[mode_ * drives_ + drive] += amount; }
    /// Behind those of the vCPUs.
    [[nodiscard]] std::size_t drive_of(Drive drive) const {
        return drives_ - (drive == Drive::vcpus ? 3 : drive == Drive::wall ? 2 : 1);
    }
    void serve(double seconds, double share);
    void next_mode();
    [[nodiscard]] double heat() const;
    [[nodiscard]] double expected_pages(const PageClass& pages) const;

    static constexpr std::size_t others = 3;  ///< Drives beside the vCPUs' own.
    const GuestSpec* spec_;
    sim::Rng rng_;
    bool quiet_ = false;
    std::size_t drives_;
    std::vector<double> exposure_;  ///< Since the last sync, of each mode and drive.
    std::size_t mode_ = 0;
    double mode_left_ = 0;
    double worked_ = 0;
    double wanted_ = 0;
    double jitter_ = 0;
    double waiting_ = 0;  ///< Bytes received and not served.
    std::size_t trace_at_ = 0;
    double trace_left_ = 0;
    double trace_heat_ = 1;
};

/// A standard normal value.
[[nodiscard]] double normal(sim::Rng& rng);
/// How many of `n` have what each has with probability `p`.
[[nodiscard]] double binomial(sim::Rng& rng, double n, double p);

}  // namespace segue::study
