#pragma once
/// \file  The steps of a move as the journal keeps them, and which of them exclude each other. Pure.
///
/// The numbers are on disks: never change one, never use one twice. A new step gets a new number and a new
/// schema version (store/sqlite/schema.cpp), so that no older Segue reads a move that it cannot judge.

#include <optional>
#include <string_view>
#include <vector>

namespace segue {

/// Which side of the move this host is.
enum class MoveRole { source = 1, destination = 2 };

/// "may be sent" is durable before the thing is sent; every other step says what has been seen.
enum class StepKind {
    begun = 1,
    guarding = 2,              ///< The guardian is being started; nothing of the guest was changed.
    preparing = 3,             ///< Settings of both sides may be changed from here on.
    migrate_may_be_sent = 4,
    held = 5,                  ///< The guest stands at pre-switchover.
    continued = 6,             ///< migrate-continue may have been sent.
    word_may_be_sent = 7,      ///< The hand-over word may be out: both sides must be read.
    word_answered_running = 8,
    word_answered_refused = 9, ///< The destination will never run this guest. Also when recover read it there.
    undoing = 10,              ///< The verdict is rollback: the word was not and will never be sent, or was refused.
    rolled_back = 11,          ///< The guest runs on the source.
    moved = 12,                ///< The guest runs on the destination; the source's QEMU is yet to be ended.
    closed = 13,               ///< Both roles. Nothing is left to do.
    destination_fenced = 14,   ///< The operator said so: the destination's host can run nothing any more.
    stop_may_be_sent = 15,     ///< A move that is not live or has a brake: if the guest is paused, it is by us.
    on_success_ran = 16,       ///< The command of --on-success ended with status 0: it is not run again.

    dst_prepared = 33,         ///< QEMU and its guardian may have been started.
    dst_listening = 34,
    dst_accepted = 35,         ///< The word was accepted: the guest may run here from now on.
    dst_running = 36,
    dst_refused = 37,          ///< After accepted: it did not run and never will. Before its QEMU is killed.
    dst_tombstone = 38,        ///< Aborted: no later word is accepted.
};

/// "word-may-be-sent", on the destination "accepted"; stable, for JSON and people.
[[nodiscard]] std::string_view to_string(StepKind kind) noexcept;
[[nodiscard]] std::string_view to_string(MoveRole role) noexcept;

/// The step of a number on disk.
[[nodiscard]] std::optional<StepKind> step_of(long long number) noexcept;

/// `closed` is of both.
[[nodiscard]] bool is_of(StepKind kind, MoveRole role) noexcept;

/// The step that `Journal::create` writes.
[[nodiscard]] constexpr StepKind first_step(MoveRole role) noexcept {
    return role == MoveRole::source ? StepKind::begun : StepKind::dst_prepared;
}

/// The step among `before` because of which `next` must never be written, if there is one; `next` itself
/// when it was there already and comes once only, or when a step that must come first is missing. This is
/// the last net under both state machines: above all, `accepted` and `tombstone` exclude each other, and so
/// do `word-answered-running` and a rollback.
[[nodiscard]] std::optional<StepKind> obstacle(const std::vector<StepKind>& before, StepKind next);

}  // namespace segue
