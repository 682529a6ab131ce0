// The words that reach JSON and people. They are an interface: documented, tested, never silently changed.
#include "migration/migration.hpp"

namespace segue {

std::string_view to_string(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::moved: return "moved";
        case Outcome::failed: return "failed";
        case Outcome::refused: return "refused";
        case Outcome::downtime_exceeded: return "downtime-exceeded";
        case Outcome::timeout: return "timeout";
        case Outcome::cancelled: return "cancelled";
        case Outcome::guest_crashed: return "guest-crashed";
        case Outcome::unknown: return "unknown";
        case Outcome::planned: return "planned";
    }
    return "unknown";
}

std::string_view to_string(GuestOn where) noexcept {
    switch (where) {
        case GuestOn::source: return "source";
        case GuestOn::destination: return "destination";
        case GuestOn::nowhere: return "nowhere";
        case GuestOn::unknown: return "unknown";
    }
    return "unknown";
}

std::string_view to_string(MigrationStage stage) noexcept {
    switch (stage) {
        case MigrationStage::inspecting: return "inspecting";
        case MigrationStage::sampling: return "sampling";
        case MigrationStage::guarding: return "guarding";
        case MigrationStage::preparing: return "preparing";
        case MigrationStage::copying: return "copying";
        case MigrationStage::held: return "held";
        case MigrationStage::continued: return "continued";
        case MigrationStage::loaded: return "loaded";
        case MigrationStage::handing_over: return "handing-over";
        case MigrationStage::undoing: return "undoing";
        case MigrationStage::closing: return "closing";
        case MigrationStage::finished: return "finished";
    }
    return "unknown";
}

}  // namespace segue
