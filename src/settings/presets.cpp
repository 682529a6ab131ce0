#include "base/assert.hpp"
#include "settings/settings.hpp"

namespace segue::settings {

vm::Limits preset_limits(std::string_view name) {
    vm::Limits limits;
    if (name == "ganeti") {
        // What gnt-cluster has without any parameter: 32 MiB/s and 30 ms.
        limits.max_bandwidth = mebibytes_per_second(32);
        limits.max_downtime = std::chrono::milliseconds{30};
        return limits;
    }
    if (name == "gentle") {
        limits.min_cpu = Share{0.5};
        limits.max_stall = std::chrono::milliseconds{50};
        limits.aggression = 0.0;
        return limits;
    }
    SEGUE_ASSERT(name == "maintenance");
    limits.max_downtime = std::chrono::seconds{1};
    limits.min_cpu = Share{0.05};
    limits.max_stall = std::chrono::milliseconds{500};
    limits.aggression = 1.0;
    return limits;
}

}  // namespace segue::settings
