#pragma once
/// \file  The latest that is known of a running move, and what it answers to those who ask.
///
/// Pure: the time is an argument. app/segue/jobs/job_service.cpp feeds it every report of the move.

#include <string>

#include "api/job_codec.hpp"
#include "migration/event.hpp"
#include "migration/migration.hpp"

namespace segue::job {

/// What does not change during a move.
struct Identity {
    std::int64_t job = 0;
    std::string vm;
    std::string src;
    std::string dst;
    Duration max_downtime{0};
    std::optional<Duration> timeout;
};

class State {
public:
    State(Identity identity, Instant now);

    void note(const Report& report, Instant now);

    /// Whether the guest stands for the switch: nobody is listened to then.
    [[nodiscard]] bool switching() const;
    [[nodiscard]] Status status(Instant now) const;
    /// `Cancelling` where the move can still be undone: then it must be told so.
    [[nodiscard]] Reply answer(const Request& request, Instant now) const;

private:
    [[nodiscard]] Reply answer_cancel() const;

    Status latest_;
    MigrationStage stage_ = MigrationStage::inspecting;
    bool word_ = false;  ///< It may have been sent.
    bool undone_ = false;
    bool moved_ = false;
    Instant began_;  ///< When the move's own time was zero.
};

}  // namespace segue::job
