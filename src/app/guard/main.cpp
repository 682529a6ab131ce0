/// \file  segue-guard: stands beside the source QEMU during one move and sees to it that the guest runs
///        again, whatever becomes of Segue (DESIGN.md section 4 points 3 and 8); with --destination it stands
///        beside the destination QEMU and ends it unless its word is accepted. Started by Segue, never by a
///        person.

#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>

#include "app/guard/dst_guardian.hpp"
#include "app/guard/guardian.hpp"
#include "app/guard/os.hpp"

namespace segue::guard {
namespace {

constexpr int exit_usage = 2;

struct Arguments {
    Holdings held;
    int board = -1;
};

int parse_fd(const char* text) noexcept {
    int fd = 0;
    const std::string_view digits(text);
    if (digits.empty() || digits.size() > 6) return -1;
    for (const char c : digits) {
        if (c < '0' || c > '9') return -1;
        fd = fd * 10 + (c - '0');
    }
    return fd;
}

bool parse(int argc, char** argv, Arguments& arguments) noexcept {
    for (int at = 1; at + 1 < argc; at += 2) {
        const std::string_view option(argv[at]);
        const char* value = argv[at + 1];
        if (option == "--control") {
            arguments.held.control = parse_fd(value);
        } else if (option == "--board") {
            arguments.board = parse_fd(value);
        } else if (option == "--segue-pidfd") {
            arguments.held.segue = parse_fd(value);
        } else if (option == "--dst-pidfd") {
            arguments.held.dst = parse_fd(value);
        } else if (option == "--src-monitor") {
            arguments.held.src_monitor = value;
        } else if (option == "--guard-monitor") {
            arguments.held.guard_monitor = value;
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && arguments.held.control >= 0 && arguments.board >= 0 &&
           arguments.held.segue >= 0 && arguments.held.src_monitor != nullptr;
}

/// The board at `fd`; null, and a word about it, when it is not one of this version.
template <class B>
B* map_board(int fd, std::uint32_t magic, std::uint32_t version) noexcept {
    struct stat status{};
    if (::fstat(fd, &status) == 0 && status.st_size >= static_cast<off_t>(sizeof(B))) {
        void* memory = ::mmap(nullptr, sizeof(B), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        // Segue made the object; both sides are of one build (`version`).
        auto* board = memory == MAP_FAILED ? nullptr : std::launder(static_cast<B*>(memory));
        if (board != nullptr && board->magic == magic && board->version == version) return board;
    }
    Line line;
    line << "segue-guard: the board is not one of this version; segue and segue-guard must be "
            "installed together\n";
    tell(line);
    return nullptr;
}

bool parse_destination(int argc, char** argv, DstHoldings& held, int& board) noexcept {
    for (int at = 2; at + 1 < argc; at += 2) {
        const std::string_view option(argv[at]);
        const int fd = parse_fd(argv[at + 1]);
        if (option == "--control") {
            held.control = fd;
        } else if (option == "--board") {
            board = fd;
        } else if (option == "--receive-pidfd") {
            held.receive = fd;
        } else if (option == "--qemu-pidfd") {
            held.qemu = fd;
        } else {
            return false;
        }
    }
    return argc % 2 == 0 && held.control >= 0 && board >= 0 && held.receive >= 0 && held.qemu >= 0;
}

int start_destination(int argc, char** argv) noexcept {
    DstHoldings held;
    int board_fd = -1;
    if (!parse_destination(argc, argv, held, board_fd)) {
        Line line;
        line << "segue-guard: started by segue receive, not by hand: --destination --control FD --board FD "
                "--receive-pidfd FD --qemu-pidfd FD\n";
        tell(line);
        return exit_usage;
    }
    close_all_but(std::array{held.control, board_fd, held.receive, held.qemu});
    auto* board = map_board<DstBoard>(board_fd, dst_board_magic, dst_board_version);
    if (board == nullptr) return exit_usage;
    stand_apart();
    lock_memory();
    raise_priority();
    DstGuardian guardian(*board, held);
    return guardian.run();
}

int start(int argc, char** argv) noexcept {
    if (argc > 1 && std::string_view(argv[1]) == "--destination") return start_destination(argc, argv);
    Arguments arguments;
    Line line;
    if (!parse(argc, argv, arguments)) {
        line << "segue-guard: started by segue, not by hand: --control FD --board FD --segue-pidfd FD "
                "[--dst-pidfd FD] --src-monitor PATH [--guard-monitor PATH]\n";
        tell(line);
        return exit_usage;
    }
    const Holdings& held = arguments.held;
    close_all_but(std::array{held.control, arguments.board, held.segue, held.dst});
    auto* board = map_board<Board>(arguments.board, board_magic, board_version);
    if (board == nullptr) return exit_usage;
    stand_apart();
    lock_memory();
    raise_priority();
    Guardian guardian(*board, held);
    return guardian.run();
}

}  // namespace
}  // namespace segue::guard

int main(int argc, char** argv) { return segue::guard::start(argc, argv); }
