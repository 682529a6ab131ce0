#include "hypervisor/qemu/dst_guest.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "hypervisor/qemu/attachment.hpp"
#include "hypervisor/qemu/call.hpp"
#include "hypervisor/qemu/facts.hpp"
#include "hypervisor/qemu/settings.hpp"
#include "hypervisor/qemu/wire.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;
using CallPtr = std::shared_ptr<Call>;

/// QEMU's name for the connection while it is handed over.
constexpr const char* stream_name = "segue-stream";

}  // namespace

struct DstGuest::Impl {
    Impl(Loop& loop, std::string path, std::function<void(Result<void>)> on_ready, OnNotice on_notice_in)
        : on_notice(std::move(on_notice_in)),
          qemu(loop, std::move(path), "destination",
               {.on_ready = std::move(on_ready),
                .on_event = [this](const QmpEvent& event) { noticed(event); },
                .on_lost = [this](Error error) { lost(std::move(error)); },
                .on_died = [this] { died(); }}) {}

    OnNotice on_notice;
    std::optional<Originals> found;  ///< Once Prepare has read them.
    Changes changes;
    std::vector<CallPtr> kills;      ///< DstKill calls that wait for the death.
    bool told_to_quit = false;       ///< Where its process is out of sight.
    int stream = -1;                 ///< Connected already, to be handed over.
    Attachment qemu;

    void noticed(const QmpEvent& event);
    /// By a copy, since the callee may destroy this.
    void tell(const GuestNotice& notice) const { OnNotice{on_notice}(notice); }
    void lost(Error error);
    void died();
    void answer_kills();
    void await_death(const CallPtr& call);

    void on(const DstInspect&, const CallPtr& call);
    void on(const DstClearAutostart&, const CallPtr& call) { call->order("stop", {}); }
    void on(const DstPrepare&, const CallPtr& call);
    void on(const DstListen& command, const CallPtr& call);
    void hand_over_stream(const DataAddress& address, const CallPtr& call);
    /// QEMU listens itself: its socket takes the connection.
    void on(const DstAwaitStream&, const CallPtr& call) { call->answer_later(Done{}); }
    void on(const DstRun&, const CallPtr& call) { call->order("cont", {}); }
    void on(const DstReadRunState&, const CallPtr& call);
    void on(const DstKill&, const CallPtr& call);
    void on(const DstPutBack&, const CallPtr& call);
    void on(const DstReadTruth&, const CallPtr& call);
};

// ---- Notices ---------------------------------------------------------------------------------------

void DstGuest::Impl::noticed(const QmpEvent& event) {
    if (event.name == "RESUME") tell(DstResumed{});
}

// The callee of a notice may destroy this: nothing follows it.
void DstGuest::Impl::lost(Error error) {
    // QEMU closes its monitors after its guest and its images; that is all that can be seen of its end
    // where the process is out of sight.
    if (told_to_quit && !qemu.process()) answer_kills();
    tell(DstLost{std::move(error)});
}

void DstGuest::Impl::died() {
    answer_kills();
    tell(DstDied{});
}

/// On the loop, later: an answer may end in the destruction of this.
void DstGuest::Impl::answer_kills() {
    for (const CallPtr& call : std::exchange(kills, {})) call->answer_later(Done{});
}

// ---- Commands --------------------------------------------------------------------------------------

void DstGuest::Impl::on(const DstInspect&, const CallPtr& call) {
    read_facts(qemu, Side::destination, found ? &*found : nullptr, call->left(), [call](Result<GuestFacts> facts) {
        if (!facts) return call->answer(std::unexpected(std::move(facts).error()));
        call->answer(std::move(*facts));
    });
}

void DstGuest::Impl::on(const DstPrepare&, const CallPtr& call) {
    changes.add(call);
    call->ask("query-migrate-capabilities", {}, [this, call](const json::value& capabilities) {
        const Originals now = originals(Side::destination, capabilities, json::object{});
        if (!found) found = now;
        const auto wanted = capabilities_to_change(Side::destination, now);
        if (wanted.empty()) return call->answer(Done{});
        call->order("migrate-set-capabilities", capability_arguments(wanted));
    });
}

void DstGuest::Impl::hand_over_stream(const DataAddress& address, const CallPtr& call) {
    const int fd = std::exchange(stream, -1);
    qemu.connection().execute_with_fd(
        "getfd", json::object{{"fdname", stream_name}}, fd, call->left(), call->handler([call, address](const auto&) {
            json::object arguments;
            arguments["uri"] = std::string("fd:") + stream_name;
            call->ask("migrate-incoming", std::move(arguments),
                      [call, address](const auto&) { call->answer(address); });
        }));
}

void DstGuest::Impl::on(const DstListen& command, const CallPtr& call) {
    if (stream >= 0) return hand_over_stream(command.address, call);
    json::object arguments;
    arguments["uri"] = tcp_uri(command.address);
    call->ask("migrate-incoming", std::move(arguments), [call, address = command.address](const json::value&) {
        call->ask("query-migrate", {}, [call, address](const json::value& reply) {
            const auto port = listening_port(reply);
            if (!port) {
                return call->answer(
                    fail(ErrorKind::corrupt, "the destination QEMU listens, but does not say on which port"));
            }
            call->answer(DataAddress{address.host, *port});
        });
    });
}

void DstGuest::Impl::on(const DstReadRunState&, const CallPtr& call) {
    call->ask("query-status", {}, [call](const json::value& reply) {
        const auto state = run_state_reply(reply);
        if (!state) return call->answer(std::unexpected(state.error()));
        call->answer(state->state);
    });
}

void DstGuest::Impl::on(const DstKill&, const CallPtr& call) {
    const auto& process = qemu.process();
    if (process) {
        if (process->dead()) return call->answer_later(Done{});
        if (auto killed = process->kill(); !killed) return call->answer_later(std::unexpected(killed.error()));
        return await_death(call);
    }
    if (qemu.lost()) {
        if (told_to_quit) return call->answer_later(Done{});
        return call->answer_later(fail(ErrorKind::unavailable, "the destination QEMU's process cannot be seen from "
                                                               "here, and its monitor is gone"));
    }
    await_death(call);
    told_to_quit = true;
    // The loss of the connection answers the call; it comes with or without an answer to this.
    qemu.connection().execute("quit", {}, call->left(), [call](const Result<json::value>& reply) {
        if (!reply && reply.error().kind == ErrorKind::refused) call->answer(std::unexpected(reply.error()));
    });
}

void DstGuest::Impl::await_death(const CallPtr& call) {
    kills.push_back(call);
    qemu.after(call->left(), [this, call] {
        std::erase(kills, call);
        call->answer(fail(ErrorKind::timed_out, "the destination QEMU was not seen dead in time"));
    });
}

void DstGuest::Impl::on(const DstPutBack&, const CallPtr& call) {
    changes.give_up();
    const auto restored = found ? capabilities_to_restore(Side::destination, *found) : std::vector<Capability>{};
    if (restored.empty()) return call->answer_later(Done{});
    call->ask("migrate-set-capabilities", capability_arguments(restored), [this, call](const json::value&) {
        found.reset();
        call->answer(Done{});
    });
}

/// Nobody stands between: whether it runs is the whole truth.
void DstGuest::Impl::on(const DstReadTruth&, const CallPtr& call) {
    if (qemu.process() && qemu.process()->dead()) return call->answer_later(DstTruth{});
    call->ask("query-status", {}, [call](const json::value& reply) {
        const auto state = run_state_reply(reply);
        if (!state) return call->answer(std::unexpected(state.error()));
        DstTruth truth;
        truth.alive = true;
        truth.run_state = state->state;
        call->answer(truth);
    });
}

// ---- The face --------------------------------------------------------------------------------------

DstGuest::DstGuest(Loop& loop, std::string monitor_path, std::function<void(Result<void>)> on_ready,
                   OnNotice on_notice)
    : impl_(std::make_unique<Impl>(loop, std::move(monitor_path), std::move(on_ready), std::move(on_notice))) {}

DstGuest::~DstGuest() = default;

void DstGuest::submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) {
    const auto call = std::make_shared<Call>(impl_->qemu, timeout, std::move(on_answer));
    std::visit([this, &call](const auto& c) { impl_->on(c, call); }, command);
}

void DstGuest::set_stream(int fd) { impl_->stream = fd; }

int DstGuest::duplicate_pidfd() const {
    const auto& process = impl_->qemu.process();
    return process ? process->duplicate_pidfd() : -1;
}

}  // namespace segue::qemu
