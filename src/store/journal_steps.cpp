#include "store/journal_steps.hpp"

#include <algorithm>
#include <array>

namespace segue {
namespace {

constexpr std::array all_steps = {
    StepKind::begun, StepKind::guarding, StepKind::preparing, StepKind::migrate_may_be_sent, StepKind::held,
    StepKind::continued, StepKind::word_may_be_sent, StepKind::word_answered_running,
    StepKind::word_answered_refused, StepKind::undoing, StepKind::rolled_back, StepKind::moved, StepKind::closed,
    StepKind::destination_fenced, StepKind::stop_may_be_sent, StepKind::on_success_ran, StepKind::dst_prepared,
    StepKind::dst_listening, StepKind::dst_accepted,
    StepKind::dst_running, StepKind::dst_refused, StepKind::dst_tombstone};

/// A step, what it may not follow, and one of which it must follow (none: nothing is needed).
struct Rule {
    std::vector<StepKind> excluded_by;
    std::vector<StepKind> needs_one_of;
};

Rule rule_of(StepKind next) {
    using enum StepKind;
    switch (next) {
        case begun:
        case dst_prepared: return {{next}, {}};  // The first one, and only there.
        case guarding:
        case preparing:
        case stop_may_be_sent:
        case migrate_may_be_sent:
        case held:
        // Not even `continued` after `undoing`: the source was told to stand down.
        case continued: return {{word_may_be_sent, undoing, moved}, {}};
        // Once in a move's life: a refused word is never sent again.
        case word_may_be_sent: return {{next, undoing, rolled_back, moved, destination_fenced}, {}};
        case word_answered_running: return {{word_answered_refused, undoing, destination_fenced}, {word_may_be_sent}};
        case word_answered_refused: return {{word_answered_running, moved}, {word_may_be_sent}};
        // After `word-may-be-sent` it is allowed without an answer: the guardian's claim came first, so the
        // word was not sent. That is in the board, not here.
        case undoing: return {{word_answered_running, moved}, {}};
        case rolled_back: return {{word_answered_running, moved}, {undoing}};
        case moved: return {{undoing, rolled_back, word_answered_refused, destination_fenced}, {word_answered_running}};
        case destination_fenced: return {{word_answered_running, moved}, {word_may_be_sent}};
        case on_success_ran: return {{next}, {moved}};
        case dst_listening: return {{dst_accepted, dst_tombstone}, {}};
        case dst_accepted: return {{next, dst_tombstone}, {dst_listening}};
        case dst_running: return {{dst_refused, dst_tombstone}, {dst_accepted}};
        case dst_refused: return {{dst_running, dst_tombstone}, {dst_accepted}};
        case dst_tombstone: return {{dst_accepted}, {}};
        case closed: return {};
    }
    return {};
}

}  // namespace

std::string_view to_string(StepKind kind) noexcept {
    switch (kind) {
        case StepKind::begun: return "begun";
        case StepKind::guarding: return "guarding";
        case StepKind::preparing: return "preparing";
        case StepKind::migrate_may_be_sent: return "migrate-may-be-sent";
        case StepKind::held: return "held";
        case StepKind::continued: return "continued";
        case StepKind::word_may_be_sent: return "word-may-be-sent";
        case StepKind::word_answered_running: return "word-answered-running";
        case StepKind::word_answered_refused: return "word-answered-refused";
        case StepKind::undoing: return "undoing";
        case StepKind::rolled_back: return "rolled-back";
        case StepKind::moved: return "moved";
        case StepKind::closed: return "closed";
        case StepKind::destination_fenced: return "destination-fenced";
        case StepKind::stop_may_be_sent: return "stop-may-be-sent";
        case StepKind::on_success_ran: return "on-success-ran";
        case StepKind::dst_prepared: return "prepared";
        case StepKind::dst_listening: return "listening";
        case StepKind::dst_accepted: return "accepted";
        case StepKind::dst_running: return "running";
        case StepKind::dst_refused: return "refused";
        case StepKind::dst_tombstone: return "tombstone";
    }
    return "unknown";
}

std::string_view to_string(MoveRole role) noexcept {
    switch (role) {
        case MoveRole::source: return "source";
        case MoveRole::destination: return "destination";
    }
    return "unknown";
}

std::optional<StepKind> step_of(long long number) noexcept {
    const auto* found =
        std::ranges::find(all_steps, number, [](StepKind kind) { return static_cast<long long>(kind); });
    return found == all_steps.end() ? std::nullopt : std::optional(*found);
}

bool is_of(StepKind kind, MoveRole role) noexcept {
    const bool on_destination = static_cast<int>(kind) >= static_cast<int>(StepKind::dst_prepared);
    return kind == StepKind::closed || on_destination == (role == MoveRole::destination);
}

std::optional<StepKind> obstacle(const std::vector<StepKind>& before, StepKind next) {
    const auto was = [&](StepKind kind) { return std::ranges::find(before, kind) != before.end(); };
    if (was(StepKind::closed)) return StepKind::closed;
    const Rule rule = rule_of(next);
    for (const StepKind kind : rule.excluded_by) {
        if (was(kind)) return kind;
    }
    if (!rule.needs_one_of.empty() && std::ranges::none_of(rule.needs_one_of, was)) return next;
    return std::nullopt;
}

}  // namespace segue
