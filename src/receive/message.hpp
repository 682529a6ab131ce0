#pragma once
/// \file  What the source's side and `segue receive` say to each other: one type per message of
///        docs/receive-protocol.md. Values only; codec.hpp turns them into lines and back.
///
/// A request carries an id of the source's choosing and its answer repeats it. To add a message: a struct
/// here, its fields in fields.hpp, a line in `Message`, a case on the side that gets it, a row in the page.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "units/bytes.hpp"

namespace segue::receive {

/// 1 to 2^53 - 1. 0 in an answer: to nothing in particular.
enum class RequestId : std::uint64_t {};

/// 32 lower-case hex digits: 128 bits of chance, drawn by the source, once for one attempt. The key of the tombstone.
struct MoveId {
    std::string hex;
    friend auto operator<=>(const MoveId&, const MoveId&) = default;
};
/// 32 lower-case hex digits; the first bytes on the data connection, once.
struct Token {
    std::string hex;
};

/// Where the destination's session is (session.hpp). The words on the wire are those of `to_string`.
enum class Stage {
    greeting,   ///< No hello yet.
    recalling,  ///< Reading what the journal and the host know of this move.
    idle,       ///< Nothing is there yet.
    orphan,     ///< An earlier session left a QEMU that never got a word: it can only be aborted.
    preparing,  ///< Starting or attaching its QEMU.
    prepared,   ///< QEMU was read; settings may be changed.
    listening,
    connected,  ///< The stream is in QEMU's hands; a word can be accepted.
    accepting,  ///< A word was good; its record is being made durable.
    accepted,   ///< Durable. The guest is ours, and is being continued or waits for `finish`.
    running,
    ending,   ///< Its QEMU is being killed, the tombstone written.
    refused,  ///< `cont` failed; its QEMU is dead.
    aborted,  ///< Tombstone written; its QEMU is dead.
    died,     ///< Its QEMU ended after a word was accepted: a guest crash.
    over,
};
[[nodiscard]] std::string_view to_string(Stage stage) noexcept;

// ---- both ways -------------------------------------------------------------------------------------

/// First line of each side. The source says `move`; the destination never does.
struct Hello {
    int versions_min = 0;
    int versions_max = 0;
    std::string segue;
    std::string host;
    std::vector<std::string> features;
    std::optional<MoveId> move;
};

// ---- source to destination -------------------------------------------------------------------------

/// What the destination's guest must be; what is empty or 0 is not compared.
struct Expected {
    std::string uuid;
    std::string machine_type;
    int vcpus = 0;
    Bytes memory;
};
/// A VM by its definition: the destination builds the command for itself. Only where its `hello` has `vm_feature`.
struct VmText {
    std::string description;  ///< As docs/vm-file.md has it.
    std::string uuid;
};
inline constexpr std::string_view vm_feature = "vm-1";
/// It starts no command that would take a socket from a process that listens there: QEMU itself takes it away unasked.
inline constexpr std::string_view sockets_feature = "sockets-1";
/// Where the data connection will be awaited: as in `Listen`, without its token.
struct DataPlace {
    std::string host;
    std::uint16_t port = 0;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 0;
};
/// One of `monitor` (of a QEMU that waits), `command` (to start one with) and `vm`. Changes nothing in a QEMU that
/// waits.
struct Prepare {
    RequestId request{};
    std::string monitor;
    std::vector<std::string> command;
    Expected expected;
    std::optional<VmText> vm = {};
    std::optional<DataPlace> data = {};  ///< Looked at there, so that what is in the way is told before the start.
    bool only_looks = false;             ///< A dry run: no memory is kept for it.
};
struct ClearAutostart { RequestId request{}; };
struct Settings { RequestId request{}; };
struct PutBack { RequestId request{}; };
/// `port` 0: any of `port_first` to `port_last`, or any at all where these are 0.
struct Listen {
    RequestId request{};
    std::string host;
    std::uint16_t port = 0;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 0;
    Token token;
};
struct Ping { std::uint64_t n = 0; };  ///< Quotes the newest lease.
struct Word { RequestId request{}; std::uint64_t n = 0; };
struct Finish { RequestId request{}; };  ///< Continue what was accepted in an earlier session.
struct Abort { RequestId request{}; std::string reason; };
struct Status { RequestId request{}; };
/// Nothing more will come. How the move ended, in the words of docs/json-output.md, and why, for the destination's
/// journal; both empty where the source does not say (an older one, or one that recovers).
struct Bye { std::string outcome = {}; std::string reason = {}; };

// ---- destination to source -------------------------------------------------------------------------

struct Prepared { RequestId request{}; GuestFacts facts; };
struct Did { RequestId request{}; };  ///< `done`
struct Listening { RequestId request{}; std::string host; std::uint16_t port = 0; };
struct Connected {};
struct Lease { std::uint64_t n = 0; };
struct Running { RequestId request{}; };
/// To a word, finish or abort: no, and it stays no. `dead`: its QEMU was seen dead.
struct Refused { RequestId request{}; std::string reason; bool dead = false; };
struct Aborted { RequestId request{}; };
struct StatusReply {
    RequestId request{};
    Stage stage = Stage::idle;
    RunState run_state = RunState::other;
    bool accepted = false;
    bool tombstone = false;  ///< Durable.
    bool qemu_alive = false;
};
/// `error`. `obstacles`: to `prepare`, what is in the way on that host, where that is known item by item.
struct Failed { RequestId request{}; Error error; std::vector<Obstacle> obstacles = {}; };
struct LogLine { std::string text; };
struct Died { bool accepted = false; };  ///< Its QEMU was seen dead. `accepted`: with the guest that it owned.
struct RunStateChanged { RunState run_state = RunState::other; };

/// A type we do not know whose sender said that it may be ignored.
struct Ignored { std::string type; };

using Message = std::variant<Hello, Prepare, ClearAutostart, Settings, PutBack, Listen, Ping, Word, Finish, Abort,
                             Status, Bye, Prepared, Did, Listening, Connected, Lease, Running, Refused, Aborted,
                             StatusReply, Failed, LogLine, Died, RunStateChanged, Ignored>;

/// The highest version that both speak, or nothing.
[[nodiscard]] std::optional<int> common_version(const Hello& ours, const Hello& theirs) noexcept;

}  // namespace segue::receive
