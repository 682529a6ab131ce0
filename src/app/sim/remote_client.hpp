#pragma once
/// \file  The source's end of the control connection: the real receive::Client with the duties of
///        app/segue/destination/remote_dst.cpp, in virtual time. Destroying it is the end of its process.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/control_link.hpp"
#include "hypervisor/guest.hpp"
#include "receive/client.hpp"
#include "receive/codec.hpp"

namespace segue::sim {

class RemoteClient {
public:
    struct Callbacks {
        std::function<void(const GuestNotice&)> on_notice;
        std::function<void(const std::string&)> log;
        std::function<void(std::string)> violation;
    };
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;

    RemoteClient(Agenda& agenda, std::shared_ptr<ControlLink> link, receive::ClientPlan plan, Callbacks callbacks);
    ~RemoteClient();
    RemoteClient(const RemoteClient&) = delete;
    RemoteClient& operator=(const RemoteClient&) = delete;

    void start();
    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer);
    void say_bye(const receive::SayBye& bye);
    [[nodiscard]] bool lost() const { return lost_; }

    /// The process stands still: nothing is read, no timer fires.
    void freeze(bool frozen);
    /// A peer that is broken: the message after the next `skip` that answer something comes again so much later.
    void repeat_answer(int skip, Duration later);
    /// The next word waits so long on its way, and all behind it.
    void delay_word(Duration length) { word_delay_ = length; }
    /// No end is sent: the host is gone.
    void vanish() { vanished_ = true; }

private:
    void hear(const std::string& line);
    void say(const receive::Message& message);
    void feed(const receive::ClientEvent& event);
    void perform(const receive::ClientEffects& effects);
    void arm();
    void soon(std::function<void()> what);
    void await_stream(Duration timeout, OnAnswer on_answer);
    void answer_stream_waiters(const Result<GuestAnswer>& value);
    void on(const receive::ToPeer& effect);
    void on(const receive::CallAnswered& effect);
    void on(const receive::Notice& effect);
    void on(const receive::DataAccepted& effect);
    void on(const receive::PeerLog& effect);
    void on(const receive::CloseConnection& effect);

    Agenda& agenda_;
    std::shared_ptr<ControlLink> link_;
    receive::Client client_;
    receive::LineReader reader_;
    Callbacks callbacks_;
    std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
    std::uint64_t timer_ = 0;
    std::uint64_t last_call_ = 0;
    std::map<receive::CallId, OnAnswer> open_;
    struct Waiter {
        std::uint64_t number = 0;
        OnAnswer on_answer;
    };
    std::vector<Waiter> stream_waiters_;
    bool stream_there_ = false;
    bool lost_ = false;
    bool frozen_ = false;
    bool vanished_ = false;
    std::deque<std::function<void()>> unread_;  ///< While it stands still.
    std::optional<int> repeat_in_;
    Duration repeat_later_{0};
    std::optional<Duration> word_delay_;
};

}  // namespace segue::sim
