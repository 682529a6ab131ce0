#include "guard/board.hpp"

namespace segue::guard {

std::string_view to_string(Stage stage) noexcept {
    switch (stage) {
        case Stage::idle: return "idle";
        case Stage::copying: return "copying";
        case Stage::switching: return "switching";
        case Stage::held: return "held";
        case Stage::continued: return "continued";
        case Stage::loaded: return "loaded";
        case Stage::undoing: return "undoing";
        case Stage::over: return "over";
    }
    return "unknown";  // The number came from another process.
}

std::string_view to_string(GuardState state) noexcept {
    switch (state) {
        case GuardState::starting: return "starting";
        case GuardState::watching: return "watching";
        case GuardState::rolling_back: return "rolling back";
        case GuardState::rolled_back: return "rolled back";
        case GuardState::needs_help: return "needs help";
        case GuardState::failed: return "failed";
    }
    return "unknown";
}

std::string_view to_string(RollbackReason reason) noexcept {
    switch (reason) {
        case RollbackReason::none: return "none";
        case RollbackReason::deadline: return "deadline";
        case RollbackReason::segue_died: return "segue died";
        case RollbackReason::segue_stalled: return "segue stalled";
    }
    return "unknown";
}

}  // namespace segue::guard
