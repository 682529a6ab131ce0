/// \file  segue-guard: stands beside the source QEMU during one move and sees to it that the guest runs
///        again, whatever becomes of Segue (DESIGN.md section 4 points 3 and 8). Started by Segue, never
///        by a person.

#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>

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

Board* map_board(int fd) noexcept {
    struct stat status{};
    if (::fstat(fd, &status) != 0 || status.st_size < static_cast<off_t>(sizeof(Board))) return nullptr;
    void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return nullptr;
    // Segue made the object; both sides are of one build (`version`).
    auto* board = std::launder(static_cast<Board*>(memory));
    return board->magic == board_magic && board->version == board_version ? board : nullptr;
}

int start(int argc, char** argv) noexcept {
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
    Board* board = map_board(arguments.board);
    if (board == nullptr) {
        line << "segue-guard: the board is not one of this version; segue and segue-guard must be "
                "installed together\n";
        tell(line);
        return exit_usage;
    }
    stand_apart();
    lock_memory();
    raise_priority();
    Guardian guardian(*board, held);
    return guardian.run();
}

}  // namespace
}  // namespace segue::guard

int main(int argc, char** argv) { return segue::guard::start(argc, argv); }
