#pragma once
/// \file  The brake in virtual time: each vCPU of the source may run a share of the time. Set by Segue, let go by
///        Segue, by the guardian when Segue dies, or by whoever recovers.
///
/// What is set takes effect a command and a period later, as a cgroup's quota does; a share stalls as a 250 Hz kernel
/// lets it. It never acts on the migration thread or on the main loop. Pure.

#include <functional>

#include "brake/brake.hpp"
#include "hypervisor/sim/context.hpp"
#include "hypervisor/sim/rng.hpp"

namespace segue::sim {

class Brake {
public:
    Brake(Context& context, Rng rng) : context_(context), rng_(rng.stream("brake")) {}

    using OnAnswer = std::function<void(Result<BrakeAnswer>)>;
    void submit(const BrakeCommand& command, OnAnswer on_answer);
    /// The guardian lets go: it holds the files open and writes them itself.
    void lift(std::string_view who);

    /// The longest that a busy vCPU stands at a stretch at this share.
    [[nodiscard]] static Duration stall_at(double share);

private:
    [[nodiscard]] BrakeReady open(const BrakeOpen& command);
    void begin();  ///< From now on its work is counted.
    void set(double share);
    void grant(double share);
    [[nodiscard]] BrakeSample read();
    void settle();

    Context& context_;
    Rng rng_;
    Instant settled_;
    double floor_ = 0;
    std::uint64_t change_ = 0;  ///< A later one wins over one that has not taken effect.
    double worked_s_ = 0;
    double throttled_s_ = 0;
};

}  // namespace segue::sim
