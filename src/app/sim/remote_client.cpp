#include "app/sim/remote_client.hpp"

#include <utility>

#include "base/assert.hpp"

namespace segue::sim {
namespace {

/// Whether a message answers a request: these a broken peer may send twice.
bool answers(const receive::Message& message) {
    return std::holds_alternative<receive::Did>(message) || std::holds_alternative<receive::Prepared>(message) ||
           std::holds_alternative<receive::Listening>(message) || std::holds_alternative<receive::Running>(message) ||
           std::holds_alternative<receive::Refused>(message) || std::holds_alternative<receive::Aborted>(message) ||
           std::holds_alternative<receive::StatusReply>(message) || std::holds_alternative<receive::Failed>(message);
}

}  // namespace

RemoteClient::RemoteClient(Agenda& agenda, std::shared_ptr<ControlLink> link, receive::ClientPlan plan,
                           Callbacks callbacks)
    : agenda_(agenda), link_(std::move(link)), client_(std::move(plan)), callbacks_(std::move(callbacks)) {}

RemoteClient::~RemoteClient() {
    *here_ = false;
    link_->read(Way::to_src, {});
    if (!vanished_) link_->end(Way::to_dst);
}

void RemoteClient::soon(std::function<void()> what) {
    agenda_.after(Duration{0}, [here = here_, what = std::move(what)] {
        if (*here) what();
    });
}

void RemoteClient::start() {
    const auto read = [this, here = here_](std::function<void()> what) {
        if (!*here) return;
        if (frozen_) unread_.push_back(std::move(what));
        else what();
    };
    link_->read(Way::to_src, {[this, read](const std::string& line) { read([this, line] { hear(line); }); },
                              [this, read](const std::string& why) {
                                  read([this, why] { feed(receive::ConnectionLost{why}); });
                              }});
    perform(client_.start(agenda_.now()));
    arm();
}

void RemoteClient::hear(const std::string& line) {
    const auto fed = reader_.feed(line);
    if (fed.fault) callbacks_.violation("the destination sent what is no message: " + fed.fault->message);
    for (const auto& message : fed.messages) {
        if (lost_) return;
        feed(receive::PeerSaid{message});
        if (!repeat_in_ || !answers(message) || (*repeat_in_)-- > 0) continue;
        repeat_in_.reset();
        callbacks_.log("an answer comes twice");
        agenda_.after(repeat_later_, [this, here = here_, message] {
            if (*here && !lost_ && !frozen_) feed(receive::PeerSaid{message});
        });
    }
}

void RemoteClient::feed(const receive::ClientEvent& event) {
    perform(client_.step(event, agenda_.now()));
    arm();
}

void RemoteClient::arm() {
    const auto number = ++timer_;
    agenda_.at(client_.wake_at(), [this, here = here_, number] {
        if (*here && number == timer_ && !frozen_) feed(receive::ClientTick{});
    });
}

/// No effect calls anybody at once, so that nothing here is entered twice.
void RemoteClient::perform(const receive::ClientEffects& effects) {
    for (const auto& effect : effects) std::visit([this](const auto& e) { on(e); }, effect);
}

void RemoteClient::say(const receive::Message& message) {
    const auto line = receive::encode(message);
    SEGUE_ASSERT(line.has_value());
    if (word_delay_ && std::holds_alternative<receive::Word>(message)) {
        callbacks_.log("the word is late");
        link_->hold(Way::to_dst, true);
        agenda_.after(*std::exchange(word_delay_, std::nullopt), [link = link_] { link->hold(Way::to_dst, false); });
    }
    link_->send(Way::to_dst, *line);
}

// ---- Effects ---------------------------------------------------------------------------------------

void RemoteClient::on(const receive::ToPeer& effect) {
    if (!lost_) say(effect.message);
}

void RemoteClient::on(const receive::CallAnswered& effect) {
    auto call = open_.extract(effect.id);
    SEGUE_ASSERT(!call.empty());
    soon([on_answer = std::move(call.mapped()), value = effect.value] { on_answer(value); });
}

void RemoteClient::on(const receive::Notice& effect) {
    if (const auto* gone = std::get_if<DstLost>(&effect.notice)) {
        lost_ = true;
        answer_stream_waiters(std::unexpected(gone->error));
    }
    soon([this, notice = effect.notice] { callbacks_.on_notice(notice); });
}

void RemoteClient::on(const receive::DataAccepted&) {
    stream_there_ = true;
    answer_stream_waiters(GuestAnswer(Done{}));
}

void RemoteClient::on(const receive::PeerLog& effect) { callbacks_.log("it says: " + effect.text); }

void RemoteClient::on(const receive::CloseConnection& effect) {
    callbacks_.log("closes the connection: " + effect.why);
    lost_ = true;
    link_->end(Way::to_dst);
}

// ---- Commands --------------------------------------------------------------------------------------

void RemoteClient::submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) {
    if (std::holds_alternative<DstAwaitStream>(command)) return await_stream(timeout, std::move(on_answer));
    const receive::CallId id{++last_call_};
    open_.emplace(id, std::move(on_answer));
    feed(receive::Call{id, command, timeout});
}

void RemoteClient::await_stream(Duration timeout, OnAnswer on_answer) {
    if (stream_there_) return soon([on_answer = std::move(on_answer)] { on_answer(GuestAnswer(Done{})); });
    if (lost_) {
        return soon([on_answer = std::move(on_answer)] {
            on_answer(fail(ErrorKind::unavailable, "the connection to the destination's segue is lost"));
        });
    }
    const auto number = ++last_call_;
    stream_waiters_.push_back({number, std::move(on_answer)});
    agenda_.after(timeout, [this, here = here_, number] {
        if (!*here || frozen_ || stream_waiters_.empty() || stream_waiters_.front().number > number) return;
        answer_stream_waiters(fail(ErrorKind::timed_out, "the data connection was not handed over in time"));
    });
}

void RemoteClient::answer_stream_waiters(const Result<GuestAnswer>& value) {
    for (auto& waiter : std::exchange(stream_waiters_, {})) {
        soon([on_answer = std::move(waiter.on_answer), value] { on_answer(value); });
    }
}

void RemoteClient::say_bye(const receive::SayBye& bye) {
    if (!lost_) perform(client_.step(bye, agenda_.now()));
}

// ---- Faults ----------------------------------------------------------------------------------------

void RemoteClient::freeze(bool frozen) {
    frozen_ = frozen;
    if (frozen) return;
    for (const auto& what : std::exchange(unread_, {})) what();
    if (!frozen_) arm();
}

void RemoteClient::repeat_answer(int skip, Duration later) {
    repeat_in_ = skip;
    repeat_later_ = later;
}

}  // namespace segue::sim
