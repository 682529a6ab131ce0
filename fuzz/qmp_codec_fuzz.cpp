/// \file  Feeds the QMP reader whatever the fuzzer finds: it must not crash, must stay within its limits,
///        and must not depend on how the bytes were cut.
///
/// With clang: -fsanitize=fuzzer,address. With g++: linked with replay_main.cpp.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.hpp"
#include "hypervisor/qemu/codec.hpp"

namespace {

using segue::qemu::MessageReader;

/// How many messages of each kind a reader hands out when it gets `piece` bytes at a time.
struct Outcome {
    std::size_t messages = 0;
    std::size_t kinds = 0;
    bool corrupt = false;
    bool operator==(const Outcome&) const = default;
};

Outcome read_in_pieces(std::span<const char> bytes, std::size_t piece) {
    MessageReader reader;
    Outcome outcome;
    while (!bytes.empty()) {
        const auto fed = reader.feed(bytes.first(std::min(piece, bytes.size())));
        bytes = bytes.subspan(std::min(piece, bytes.size()));
        if (!fed) break;
        for (const auto& message : *fed) {
            ++outcome.messages;
            outcome.kinds = outcome.kinds * 5 + message.index() + 1;
        }
    }
    // A fault behind whole messages is told by the next call.
    outcome.corrupt = !reader.feed({});
    return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
    const Outcome whole = read_in_pieces(bytes, std::max<std::size_t>(size, 1));
    SEGUE_ASSERT(whole == read_in_pieces(bytes, 1));
    SEGUE_ASSERT(whole == read_in_pieces(bytes, 1 + size % 37));
    return 0;
}
