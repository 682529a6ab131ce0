/// \file  Feeds the record of decisions whatever the fuzzer finds: no crash, and what was read can be written and read
///        again, the same to the last bit.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/decision_codec.hpp"
#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace segue::decision;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto view = parse_view(text)) {
        SEGUE_ASSERT(encode(parse_view(encode(*view)).value()) == encode(*view));
    }
    if (const auto outlook = parse_outlook(text)) {
        SEGUE_ASSERT(encode(parse_outlook(encode(*outlook)).value()) == encode(*outlook));
    }
    if (const auto decision = parse_decision(text)) {
        SEGUE_ASSERT(encode(parse_decision(encode(*decision)).value()) == encode(*decision));
    }
    return 0;
}
