#pragma once
/// \file  What goes into the destination's session and what comes out. The shell (app/segue) performs the
///        effects in order and feeds the answers back as events; each is answered exactly once, later.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "receive/message.hpp"

namespace segue::receive {

enum class QemuCommandId : std::uint64_t {};

/// Records of the destination's journal, keyed by the move id.
enum class Record {
    begun,      ///< This move may have a QEMU here; with where its monitor is. Before it is started or attached.
    accepted,   ///< The word was accepted. Before `cont`.
    ran,        ///< The guest was seen running. Not waited for.
    tombstone,  ///< No word will be accepted any more. Wins over `accepted`.
};

// ---- effects ---------------------------------------------------------------------------------------

struct Send { Message message; };
/// Read journal and host about this move. `Recalled`. Any older session of the move is ended and seen gone
/// before: one session at a time holds a move.
struct Recall { MoveId move; };
/// `QemuReady` once its monitor has greeted and the guardian stands beside it, disarmed. A start that fails
/// leaves no process.
struct StartQemu { std::vector<std::string> command; };
struct AttachQemu { std::string monitor; };
/// `QemuAnswer`. DstKill must work without a monitor as well, by the process that the journal knows.
struct Qemu { QemuCommandId id{}; DstCommand command; Duration timeout{0}; };
struct OpenListener { Listen request; };  ///< `ListenerOpen`; then `DataConnected` once.
struct CloseListener {};                  ///< No answer. May be told when there is none.
struct Write { Record record{}; std::string monitor; };  ///< Durable, on a thread of its own: `Written`.
/// Compare-and-set between us and the guardian: after `ours` it never kills this QEMU. `Claimed`.
struct ClaimGuest {};
/// For the guardian: armed, it kills this QEMU 2 s after `alive_at` unless claimed. No answer.
struct Note { bool armed = false; Instant alive_at; };
struct Log { std::string line; };
/// The control connection is of no use any more; the session goes on until `Exit`.
struct CloseControl {};
/// For the record of a move whose guest did not run here: the word of docs/json-output.md, and why.
struct HowEnded { std::string outcome = {}; std::string why = {}; };
struct Exit {
    int status = 0;
    std::string why;
    Stage stage = Stage::over;  ///< The one it left in.
    HowEnded ended = {};
};

using SessionEffect = std::variant<Send, Recall, StartQemu, AttachQemu, Qemu, OpenListener, CloseListener, Write,
                                   ClaimGuest, Note, Log, CloseControl, Exit>;
using SessionEffects = std::vector<SessionEffect>;

// ---- events ----------------------------------------------------------------------------------------

struct FromPeer { Message message; };
struct PeerGone { std::string why; };  ///< End of the stream, or a fault of LineReader's.
/// What is known of this move. `qemu_alive`: the process of `begun`, told by pid and start time.
struct Recalled {
    bool begun = false;
    bool accepted = false;
    bool ran = false;
    bool tombstone = false;
    bool qemu_alive = false;
    std::string monitor;
};
struct QemuReady { Result<void> ready; };
struct QemuAnswer { QemuCommandId id{}; Result<GuestAnswer> value; };
struct ListenerOpen { Result<DataAddress> address; };
struct DataConnected { Result<void> handed_over; };  ///< The right token came, and QEMU has the connection.
struct StrangerRefused { std::string who; };         ///< Wrong token, too late, or a second connection.
struct Written { Record record{}; Result<void> durable; };
struct Claimed { bool ours = false; };
struct GuardianGone {};
struct StopRequested {};  ///< SIGTERM, or a person.
struct Tick {};

using SessionEvent = std::variant<FromPeer, PeerGone, Recalled, QemuReady, QemuAnswer, GuestNotice, ListenerOpen,
                                  DataConnected, StrangerRefused, Written, Claimed, GuardianGone, StopRequested, Tick>;

}  // namespace segue::receive
