#pragma once
/// \file  The migration thread of the study's QEMU: what is pending, of which class of pages, and how it is sent. Time
///        passes for guest, link and stream together. Part of run_move().
///
/// Pure.

#include <functional>
#include <vector>

#include "app/sim/study/case.hpp"

namespace segue::study {

class Copying {
public:
    Copying(const Case& one, const Bounds& bounds);

    [[nodiscard]] double now_s() const { return now_s_; }
    [[nodiscard]] GuestRun& guest() { return guest_; }
    [[nodiscard]] const GuestRun& guest() const { return guest_; }
    [[nodiscard]] sim::Rng& chance() { return rng_; }

    /// Bytes pending as QEMU counts them: whole pages.
    [[nodiscard]] double pending_bytes() const;
    [[nodiscard]] double sent_bytes() const { return sent_; }
    [[nodiscard]] double rate_now() { return limited(wire_.rate_at(now_s_)); }
    [[nodiscard]] double most_per_s() const { return most_per_s_; }

    /// Sends and lets the guest run at `share`, until nothing is pending or the time is reached.
    void send_until(double until_s, double share);
    /// The guest runs (or stands: share 0) and nothing is sent.
    void wait(double seconds, double share);
    /// The dirty log becomes pending. Returns how many bytes it found.
    double sync();
    /// All that is pending goes out, the guest standing. Returns how long it takes.
    [[nodiscard]] double drain();
    /// Called about each 50 ms. \param waited  Something waited to be sent all the time since the last call.
    std::function<void(double at_s, double sent, bool waited)> on_stream{};
    [[nodiscard]] double window_rate() const { return window_rate_; }  ///< Bytes a second of the last whole 100 ms.

private:
    [[nodiscard]] double limited(double rate) const;
    [[nodiscard]] double pages_with_content() const;
    /// A pass goes by memory's addresses, and what is zero lies together there.
    struct Stretch {
        double part = 1;        ///< Of the pass, until something else comes.
        double seconds = 0;     ///< For the whole pass, were all of it like this.
        double bytes = 0;       ///< On the wire, likewise.
        bool waits = true;      ///< Something always waits to be sent.
    };
    [[nodiscard]] Stretch stretch(double rate) const;
    void pass_time(double seconds, double share, double bytes, bool waits = false);

    const Case& case_;
    GuestRun guest_;
    Wire wire_;
    sim::Rng rng_;
    double cap_ = 0;
    double now_s_ = 0;
    double sent_ = 0;
    double left_ = 1;               ///< Part of the pass that is not yet sent.
    std::vector<double> pass_;      ///< Pages of each class in it; the last two: never written again, and zero.
    double window_began_s_ = 0;
    double window_sent_ = 0;
    double window_rate_ = 0;
    double most_per_s_ = 0;
    double slot_busy_s_ = 0;
};

}  // namespace segue::study
