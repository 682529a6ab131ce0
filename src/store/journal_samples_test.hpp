#pragma once
/// \file  Moves, steps and processes for tests of the journal.

#include "store/journal.hpp"

namespace segue {

inline const MoveOwner journal_test_owner{4711, 99, "boot-a"};
inline const MoveOwner journal_test_other{4712, 123, "boot-a"};

inline JournalStamp journal_test_time(int second) {
    return {WallInstant{std::chrono::seconds{1'800'000'000 + second}}, "boot-a",
            Instant{std::chrono::seconds{1000 + second}}};
}
inline MoveStep journal_test_step(StepKind kind, int second = 0) { return {kind, journal_test_time(second), "{}"}; }

inline NewMove journal_test_move(std::uint64_t number, MoveRole role = MoveRole::source) {
    NewMove move;
    move.id = {0x0123456789abcdefU, number};
    move.role = role;
    move.vm = "web-7";
    move.guest = {"0f1e2d3c-aaaa-bbbb-cccc-0123456789ab", "web-7"};
    move.src = {"host1", "qmp:/run/a.qmp"};
    move.dst = {"host2", ""};
    move.transport = "ssh://root@host2";
    move.bounds = {std::chrono::milliseconds{300}, std::chrono::minutes{10}, std::nullopt,
                   mebibytes_per_second(100)};
    move.owner = journal_test_owner;
    return move;
}
inline MoveEnding journal_test_ending() {
    return {"moved", 0, "destination", "", std::chrono::milliseconds{212}, std::chrono::seconds{58}, mebibytes(40)};
}

}  // namespace segue
