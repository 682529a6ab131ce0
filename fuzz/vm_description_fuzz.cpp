/// \file  Feeds the reader of VM files whatever the fuzzer finds: no crash, problems in the order of their lines,
///        and what was read builds the same command twice, with nothing in it that is Segue's to say.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "vm/command_line.hpp"

namespace {

using namespace segue::vm;

void build(const Description& description, const char* host, bool incoming) {
    const Place place{host, "/s/vms/x", "6f9619ff-8b86-d011-b42d-00c04fc964ff", incoming};
    const auto built = command_line(description, place);
    if (!built) {
        SEGUE_ASSERT(!built.error().empty());
        return;
    }
    const auto again = command_line(description, place);
    SEGUE_ASSERT(again && again->words == built->words && again->environment == built->environment);
    SEGUE_ASSERT(!built->words[0].empty());
    SEGUE_ASSERT(std::ranges::count(built->words, "-daemonize") == 0);
    SEGUE_ASSERT(std::ranges::count(built->words, "-S") == (incoming ? 1 : 0));
    SEGUE_ASSERT(std::ranges::count(built->words, "-qmp") == 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto read = parse_description({reinterpret_cast<const char*>(data), size});
    if (!read) {
        SEGUE_ASSERT(!read.error().empty());
        SEGUE_ASSERT(std::ranges::is_sorted(read.error(), {}, &Problem::line));
        return 0;
    }
    SEGUE_ASSERT(is_vm_name(read->name) && !read->command.empty());
    build(*read, "host1", false);
    build(*read, "elsewhere", true);
    return 0;
}
