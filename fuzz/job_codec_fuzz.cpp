/// \file  Feeds the socket of a job whatever the fuzzer finds, as requests and as answers: no crash, the same lines
///        however the bytes were cut, and what was read can be written and read again.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "api/job_codec.hpp"
#include "base/assert.hpp"

namespace {

using namespace segue::job;

struct Read {
    std::vector<std::string> lines;
    bool too_long = false;
    bool operator==(const Read&) const = default;
};

Read read_in_pieces(std::span<const char> bytes, std::size_t piece) {
    LineReader reader;
    Read read;
    while (!bytes.empty()) {
        auto lines = reader.feed(bytes.first(std::min(piece, bytes.size())));
        bytes = bytes.subspan(std::min(piece, bytes.size()));
        read.lines.insert(read.lines.end(), lines.whole.begin(), lines.whole.end());
        read.too_long = lines.too_long;
    }
    return read;
}

std::string without_newline(std::string line) {
    SEGUE_ASSERT(line.ends_with('\n') && line.size() <= line_bytes_max + 1);
    line.pop_back();
    return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
    const Read whole = read_in_pieces(bytes, std::max<std::size_t>(size, 1));
    SEGUE_ASSERT(whole == read_in_pieces(bytes, 1));
    SEGUE_ASSERT(whole == read_in_pieces(bytes, 1 + size % 37));
    for (const std::string& line : whole.lines) {
        if (const auto request = parse_request(line)) {
            SEGUE_ASSERT(parse_request(without_newline(encode(*request))).value() == *request);
        }
        if (const auto reply = parse_reply(line)) {
            const auto again = parse_reply(without_newline(encode(*reply)));
            SEGUE_ASSERT(again.has_value() && again->index() == reply->index());
        }
    }
    return 0;
}
