/// \file  Feeds the reader of an external policy's answers whatever the fuzzer finds: no crash, the same answers
///        however the bytes were cut, and nothing in them that a decision may not hold.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/assert.hpp"
#include "policy/external/codec.hpp"

namespace {

using namespace segue;

using Answers = std::vector<Result<external::Answer>>;

Answers read_in_pieces(std::span<const char> bytes, std::size_t piece) {
    external::LineReader reader;
    Answers answers;
    while (!bytes.empty()) {
        const auto some = bytes.first(std::min(piece, bytes.size()));
        for (auto& answer : reader.feed(some)) answers.push_back(std::move(answer));
        bytes = bytes.subspan(some.size());
    }
    return answers;
}

void check_band(const std::optional<Band>& band) {
    if (!band) return;
    SEGUE_ASSERT(band->p10 >= 0 && band->p10 <= band->p50 && band->p50 <= band->p90);
    SEGUE_ASSERT(band->p90 <= external::seconds_max);
}

void check(const Decision& decision) {
    if (decision.share) SEGUE_ASSERT(decision.share->ratio >= 0 && decision.share->ratio <= 1);
    check_band(decision.total_s);
    check_band(decision.downtime_s);
    SEGUE_ASSERT(decision.because.size() <= external::because_bytes_max);
    for (const char c : decision.because) SEGUE_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
    const Answers whole = read_in_pieces(bytes, std::max<std::size_t>(size, 1));
    const Answers cut = read_in_pieces(bytes, 1 + size % 37);
    SEGUE_ASSERT(whole.size() == cut.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        SEGUE_ASSERT(whole[i].has_value() == cut[i].has_value());
        if (!whole[i]) {
            SEGUE_ASSERT(whole[i].error().message == cut[i].error().message);
            continue;
        }
        SEGUE_ASSERT(whole[i]->view == cut[i]->view);
        SEGUE_ASSERT(whole[i]->decision.because == cut[i]->decision.because);
        check(whole[i]->decision);
    }
    return 0;
}
