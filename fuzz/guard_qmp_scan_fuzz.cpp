// The guardian's QMP scanner on any bytes: no crash, bounded, and a message only ever at depth 0.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "app/guard/qmp_scan.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    segue::guard::QmpScanner scanner;
    bool was_broken = false;
    for (std::size_t i = 0; i < size; ++i) {
        const bool ended = scanner.push(static_cast<char>(data[i]));
        if (was_broken && !scanner.broken()) std::abort();
        was_broken = scanner.broken();
        if (ended && (was_broken || !scanner.between_messages() || data[i] != '}')) std::abort();
        const segue::guard::QmpMessage& message = scanner.message();
        if (message.event.view().size() > 40 || message.status.view().size() > 24) std::abort();
        if (message.oob && message.kind == segue::guard::QmpKind::other) std::abort();
    }
    return 0;
}
