/// \file  Feeds the reader of settings whatever the fuzzer finds: no crash, problems in the order of their lines, and
///        limits that were read resolve to values within their ranges, or to sentences.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/assert.hpp"
#include "settings/settings.hpp"
#include "units/bound_ranges.hpp"

namespace {

using namespace segue;

void resolve(settings::File file, vm::Level level) {
    settings::Levels levels;
    if (level == vm::Level::site) levels.site = settings::Level{"site.toml", std::move(file)};
    else levels.host = levels.dst_host = settings::Level{"hosts/h.toml", std::move(file)};
    levels.options.max_bandwidth = mebibytes_per_second(1);
    const auto resolved = settings::resolve(levels);
    if (!resolved) {
        SEGUE_ASSERT(!resolved.error().empty() && !resolved.error().front().empty());
        return;
    }
    const vm::Limits& values = resolved->values;
    SEGUE_ASSERT(values.max_downtime && values.min_cpu && values.max_stall && values.aggression);
    SEGUE_ASSERT(*values.max_downtime >= bound_range::max_downtime_min);
    SEGUE_ASSERT(*values.max_stall >= bound_range::max_stall_min && *values.max_stall <= bound_range::max_stall_max);
    SEGUE_ASSERT(*values.aggression >= 0 && *values.aggression <= 1);
    SEGUE_ASSERT(!values.timeout || *values.timeout > *values.max_downtime);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const vm::Level level : {vm::Level::site, vm::Level::host}) {
        auto read = settings::parse_settings(text, level);
        if (read) {
            resolve(std::move(*read), level);
            continue;
        }
        SEGUE_ASSERT(!read.error().empty());
        SEGUE_ASSERT(std::ranges::is_sorted(read.error(), {}, &vm::Problem::line));
    }
    return 0;
}
