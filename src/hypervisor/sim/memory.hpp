#pragma once
/// \file  The guest's memory as chunks with generation numbers, and who dirties them.
///
/// Writes fall at random on the working set, so the distinct bytes over x seconds of guest work follow
/// the saturating curve W (1 - exp(-r x / W)) of theory.md 1.2. Pure.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hypervisor/sim/plan.hpp"
#include "hypervisor/sim/rng.hpp"

namespace segue::sim {

class Memory {
public:
    Memory(const GuestPlan& plan, Rng rng);

    /// From now on it writes so many times as fast.
    void hurry(double times) { plan_.rate = scale(plan_.rate, times); }
    /// The guest works for `work`.
    void run(Duration work);
    /// Moves the dirty log into `pending` (the migration's bitmap). Returns how many became pending.
    void sync_into(std::vector<std::uint8_t>& pending, std::size_t& count);

    [[nodiscard]] std::size_t chunks() const { return generation_.size(); }
    [[nodiscard]] std::uint32_t generation(std::size_t chunk) const { return generation_[chunk]; }
    /// Bytes on the wire: a chunk of zero pages costs its headers.
    [[nodiscard]] std::int64_t wire_bytes(std::size_t chunk) const {
        return generation_[chunk] == 0 ? chunk_bytes / 4096 * 9 : chunk_bytes + chunk_bytes / 4096 * 8;
    }
    /// Distinct bytes that `work` more would dirty, by the curve.
    [[nodiscard]] Bytes distinct_in(Duration work) const;

private:
    [[nodiscard]] double rate_now() const;  ///< Chunks per second.

    GuestPlan plan_;
    Rng rng_;
    std::vector<std::uint32_t> generation_;
    std::vector<std::uint8_t> dirty_;
    std::size_t hot_begin_ = 0;
    std::size_t hot_count_ = 1;
    double worked_ = 0;   ///< Seconds.
    double owed_ = 0;     ///< Writes due and not yet made.
};

}  // namespace segue::sim
