#include "app/segue/destination/remote_dst.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "app/segue/destination/transport.hpp"
#include "app/segue/words/host_name.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/assert.hpp"
#include "receive/codec.hpp"

namespace segue {
namespace {

constexpr int round_trips = 3;
constexpr Duration round_trip_max = std::chrono::seconds{5};
constexpr std::string_view by_hand =
    "run that command by hand: it must reach segue receive --stdio, which answers with one line of JSON";

struct Waiter {
    RemoteDst::OnAnswer on_answer;
    Loop::TimerId timer{};
};

}  // namespace

struct RemoteDst::Impl : std::enable_shared_from_this<RemoteDst::Impl> {
    Impl(Loop& l, DstHost h, receive::ClientPlan plan, std::function<void(Ready)> ready, OnNotice notice, OnNote note)
        : loop(l),
          host(std::move(h)),
          hello(plan.hello),
          by_definition(plan.prepare.vm.has_value()),
          needs(plan.needs),
          client(std::move(plan)),
          on_ready(std::move(ready)),
          on_notice(std::move(notice)),
          on_note(std::move(note)) {}

    Loop& loop;
    DstHost host;
    receive::Hello hello;
    bool by_definition;  ///< The destination must build its QEMU itself.
    std::string_view needs;  ///< A feature that it must have.
    receive::Client client;
    receive::LineReader reader;
    std::unique_ptr<Transport> transport;
    std::function<void(Ready)> on_ready;  ///< Empty once called.
    OnNotice on_notice;
    OnNote on_note;
    bool gone = false;  ///< Bye was said, where it could be: nobody is called any more.
    std::optional<Loop::TimerId> timer;
    std::function<void(bool)> told_left;  ///< Empty once called.
    int logs_told = 0;
    std::deque<std::function<void()>> news;  ///< Callbacks, in order; bounded by commands and lines read.
    bool telling = false;

    std::uint64_t last_call = 0;
    std::map<receive::CallId, OnAnswer> open;
    std::vector<Waiter> stream_waiters;
    bool stream_there = false;
    bool lost = false;
    bool usable = false;  ///< `on_ready` was told so: only then is there news.

    std::optional<receive::CallId> probe;
    Instant probe_sent;
    int probes_done = 0;
    Duration worst_round_trip{0};

    void start();
    void feed(const receive::ClientEvent& event);
    void perform(const receive::ClientEffects& effects);
    void arm();
    void tell(std::function<void()> what);
    void tell_all();

    void on_bytes(std::string_view bytes);
    void on_end(const TransportEnd& end);

    void on(const receive::ToPeer& effect);
    void on(const receive::CallAnswered& effect);
    void probed(const Result<GuestAnswer>& answer);
    void on(const receive::Notice& effect);
    void on(const receive::DataAccepted& effect);
    void on(const receive::PeerLog& effect);
    void on(const receive::CloseConnection& effect);

    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer);
    void await_stream(Duration timeout, OnAnswer on_answer);
    void answer_stream_waiters(const Result<GuestAnswer>& value);
    void measure();
    void ready(Ready how);
    void refuse(std::string what, std::string remedy);
    void refuse_start(const Error& error);
    void refuse_end(const TransportEnd& end);
    void note(const std::string& text);
    void close();
    void leave(const receive::SayBye& bye);
    void leave(const receive::SayBye& bye, std::function<void(bool)> on_left);
    void left(bool ended);
};

// ---- Plumbing --------------------------------------------------------------------------------------

void RemoteDst::Impl::start() {
    auto started = Transport::start(loop, host.command,
                                    {.on_bytes = [this](std::string_view bytes) { on_bytes(bytes); },
                                     .on_note = [this](const std::string& line) { note(line); },
                                     .on_end = [this](const TransportEnd& end) { on_end(end); }});
    if (started) {
        transport = std::move(*started);
    } else {
        refuse_start(started.error());
    }
    perform(client.start(loop.now()));
    if (!transport) feed(receive::ConnectionLost{to_string(started.error())});
    arm();
}

void RemoteDst::Impl::feed(const receive::ClientEvent& event) {
    perform(client.step(event, loop.now()));
    arm();
}

/// No effect calls anybody at once, so that nothing here is entered twice.
void RemoteDst::Impl::perform(const receive::ClientEffects& effects) {
    for (const auto& effect : effects) std::visit([this](const auto& e) { on(e); }, effect);
}

void RemoteDst::Impl::arm() {
    if (timer) loop.cancel(*std::exchange(timer, std::nullopt));
    if (gone) return;
    timer = loop.at(client.wake_at(), [this] {
        const auto self = shared_from_this();
        timer.reset();
        feed(receive::ClientTick{});
    });
}

void RemoteDst::Impl::tell(std::function<void()> what) {
    news.push_back(std::move(what));
    if (std::exchange(telling, true)) return;
    loop.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->tell_all();
    });
}

void RemoteDst::Impl::tell_all() {
    while (!gone && !news.empty()) {
        const auto next = std::move(news.front());
        news.pop_front();
        next();
    }
    telling = false;
}

void RemoteDst::Impl::on_bytes(std::string_view bytes) {
    if (gone) return;
    const auto self = shared_from_this();
    const auto fed = reader.feed(bytes);
    for (const auto& message : fed.messages) {
        if (lost) return;
        const auto* greeting = std::get_if<receive::Hello>(&message);
        if (greeting && !client.greeted() && !receive::common_version(hello, *greeting)) {
            refuse(fmt::format("speaks versions {} to {} of the protocol, this segue {} to {}", greeting->versions_min,
                               greeting->versions_max, hello.versions_min, hello.versions_max),
                   "update the older segue");
        }
        if (greeting && by_definition && std::ranges::find(greeting->features, receive::vm_feature) ==
                                             greeting->features.end()) {
            refuse(fmt::format("has segue {}, which cannot start a VM from its description", greeting->segue),
                   "install this segue there, or move the guest as qmp:PATH with --dst-qmp or --dst-command");
            feed(receive::ConnectionLost{"the destination's segue cannot start a VM from its description"});
            return close();
        }
        if (greeting && !needs.empty() && std::ranges::find(greeting->features, needs) == greeting->features.end()) {
            refuse(fmt::format("has segue {}, which does not look whose sockets it would take", greeting->segue),
                   "install this segue there, or start its QEMU yourself and give --dst-qmp");
            feed(receive::ConnectionLost{"the destination's segue is too old for this"});
            return close();
        }
        feed(receive::PeerSaid{message});
        if (client.greeted() && on_ready && !probe && !lost) measure();
    }
    if (!fed.fault || lost) return;
    refuse("sends something that is not segue's protocol: " + fed.fault->message,
           "nothing may print there but segue receive --stdio: look for a login script that does");
    feed(receive::ConnectionLost{fed.fault->message});
    close();
}

void RemoteDst::Impl::on_end(const TransportEnd& end) {
    const auto self = shared_from_this();
    if (gone) return left(true);
    refuse_end(end);
    feed(receive::ConnectionLost{fmt::format("{} {}{}", host.command.front(), end.why,
                                             end.last_note.empty() ? "" : ": " + end.last_note)});
    close();
}

void RemoteDst::Impl::close() {
    lost = true;
    if (transport && !client.greeted()) transport->terminate();
    transport.reset();
}

void RemoteDst::Impl::leave(const receive::SayBye& bye) {
    if (gone) return;
    if (!lost) perform(client.step(bye, loop.now()));
    gone = true;
    if (timer) loop.cancel(*std::exchange(timer, std::nullopt));
    for (const auto& waiter : std::exchange(stream_waiters, {})) loop.cancel(waiter.timer);
}

void RemoteDst::Impl::leave(const receive::SayBye& bye, std::function<void(bool)> on_left) {
    if (told_left) return;
    leave(bye);
    told_left = std::move(on_left);
    if (!lost && transport && client.greeted()) {
        timer = loop.at(loop.now() + leave_max, [self = shared_from_this()] { self->left(false); });
    } else {
        // Nobody has heard it, and nobody will be heard.
        loop.post([self = shared_from_this()] { self->left(true); });
    }
}

void RemoteDst::Impl::left(bool ended) {
    if (timer) loop.cancel(*std::exchange(timer, std::nullopt));
    close();
    if (const auto told = std::exchange(told_left, nullptr)) told(ended);
}

// ---- Effects ---------------------------------------------------------------------------------------

void RemoteDst::Impl::on(const receive::ToPeer& effect) {
    if (!transport) return;
    const auto line = receive::encode(effect.message);
    if (line) return transport->send(*line);
    // The request is never answered, and its deadline says so; here is why.
    note("not sent: " + to_string(line.error()));
}

void RemoteDst::Impl::on(const receive::CallAnswered& effect) {
    if (probe && *probe == effect.id) return probed(effect.value);
    auto call = open.extract(effect.id);
    SEGUE_ASSERT(!call.empty());
    tell([on_answer = std::move(call.mapped()), value = effect.value] { on_answer(value); });
}

void RemoteDst::Impl::probed(const Result<GuestAnswer>& answer) {
    if (!answer) return refuse("greeted, and then " + to_string(answer.error()), std::string(by_hand));
    worst_round_trip = std::max(worst_round_trip, loop.now() - probe_sent);
    if (++probes_done == round_trips) ready({});
    // Not from inside of the client's own effects.
    else loop.post([weak = weak_from_this()] {
        if (const auto self = weak.lock(); self && !self->gone && self->on_ready) self->measure();
    });
}

void RemoteDst::Impl::on(const receive::Notice& effect) {
    const auto* gone_for_good = std::get_if<DstLost>(&effect.notice);
    if (gone_for_good) {
        lost = true;
        answer_stream_waiters(std::unexpected(gone_for_good->error));
    }
    if (gone_for_good) refuse("cannot be used: " + to_string(gone_for_good->error), std::string(by_hand));
    if (!usable) return;
    tell([this, notice = effect.notice] { on_notice(notice); });
}

void RemoteDst::Impl::on(const receive::DataAccepted&) {
    stream_there = true;
    answer_stream_waiters(GuestAnswer(Done{}));
}

/// Bounded: a peer that has gone wrong must not fill the operator's screen.
void RemoteDst::Impl::on(const receive::PeerLog& effect) {
    if (logs_told > transport_limits::notes_max) return;
    note(logs_told++ == transport_limits::notes_max ? "says too much; the rest is left out" : effect.text);
}

void RemoteDst::Impl::on(const receive::CloseConnection& effect) {
    refuse("cannot be used: " + effect.why, std::string(by_hand));
    close();
}

void RemoteDst::Impl::note(const std::string& text) {
    tell([this, line = fmt::format("{}: {}", plain_text(host.name), plain_text(text))] { on_note(line); });
}

// ---- Becoming ready --------------------------------------------------------------------------------

void RemoteDst::Impl::measure() {
    probe = receive::CallId{++last_call};
    probe_sent = loop.now();
    feed(receive::Call{*probe, DstReadTruth{}, round_trip_max});
}

void RemoteDst::Impl::ready(Ready how) {
    if (!on_ready) return;
    usable = how.has_value();
    tell([callee = std::exchange(on_ready, nullptr), how = std::move(how)] { callee(how); });
}

void RemoteDst::Impl::refuse(std::string what, std::string remedy) {
    if (!on_ready) return;
    ready(std::unexpected(
        Finding{fmt::format("--to {} {}", plain_text(host.as_written), plain_text(what)), std::move(remedy)}));
}

void RemoteDst::Impl::refuse_start(const Error& error) {
    if (host.ssh) return refuse("needs ssh, and " + to_string(error), "install the OpenSSH client on this host");
    refuse("cannot be used: " + to_string(error), "give a command that can be run here, with its path or from PATH");
}

void RemoteDst::Impl::refuse_end(const TransportEnd& end) {
    constexpr int ssh_itself = 255;
    constexpr int not_found = 127;
    std::string words = end.last_note.empty() ? "" : ": " + end.last_note;
    if (words.ends_with('.')) words.pop_back();  // The remedy follows in the same sentence.
    if (host.ssh && end.status == ssh_itself) {
        return refuse("cannot be reached by ssh" + words,
                      "make ssh -o BatchMode=yes to that host work, with a key and without any question");
    }
    if (end.status == not_found) {
        return refuse("has no segue where commands are looked for" + words,
                      "install segue on that host, or give its path: --to 'cmd:ssh HOST /PATH/segue receive --stdio'");
    }
    refuse(fmt::format("{} before it greeted{}", end.why, words),
           end.status ? "install the same version of segue there, or " + std::string(by_hand) : std::string(by_hand));
}

// ---- Commands --------------------------------------------------------------------------------------

void RemoteDst::Impl::submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) {
    if (std::holds_alternative<DstAwaitStream>(command)) return await_stream(timeout, std::move(on_answer));
    const receive::CallId id{++last_call};
    open.emplace(id, std::move(on_answer));
    feed(receive::Call{id, command, timeout});
}

void RemoteDst::Impl::await_stream(Duration timeout, OnAnswer on_answer) {
    if (stream_there) return tell([on_answer = std::move(on_answer)] { on_answer(GuestAnswer(Done{})); });
    if (lost) {
        return tell([on_answer = std::move(on_answer)] {
            on_answer(fail(ErrorKind::unavailable, "the connection to the destination's segue is lost"));
        });
    }
    const auto timer_id = loop.at(loop.now() + timeout, [this] {
        answer_stream_waiters(fail(ErrorKind::timed_out,
                                   "the destination's segue did not hand the data connection to its QEMU in time; "
                                   "check --data-address: it must lead to that host"));
    });
    stream_waiters.push_back({std::move(on_answer), timer_id});
}

void RemoteDst::Impl::answer_stream_waiters(const Result<GuestAnswer>& value) {
    for (auto& waiter : std::exchange(stream_waiters, {})) {
        loop.cancel(waiter.timer);
        tell([on_answer = std::move(waiter.on_answer), value] { on_answer(value); });
    }
}

// ---- The face --------------------------------------------------------------------------------------

RemoteDst::RemoteDst(Loop& loop, const DstHost& host, receive::ClientPlan plan, std::function<void(Ready)> on_ready,
                     OnNotice on_notice, OnNote on_note)
    : impl_(std::make_shared<Impl>(loop, host, std::move(plan), std::move(on_ready), std::move(on_notice),
                                   std::move(on_note))) {
    impl_->start();
}

RemoteDst::~RemoteDst() {
    impl_->leave({});
    impl_->told_left = nullptr;
    impl_->left(false);
}

void RemoteDst::leave(const std::string& outcome, const std::string& reason, std::function<void(bool)> on_left) {
    impl_->leave({outcome, reason}, std::move(on_left));
}

void RemoteDst::submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) {
    impl_->submit(command, timeout, std::move(on_answer));
}

Duration RemoteDst::round_trip() const {
    return impl_->probes_done == round_trips ? impl_->worst_round_trip : Duration{0};
}
const std::optional<receive::Hello>& RemoteDst::peer() const { return impl_->client.peer(); }

receive::Hello our_hello(std::string version, std::optional<receive::MoveId> move) {
    receive::Hello hello;
    hello.versions_min = receive::version_min;
    hello.versions_max = receive::version_max;
    hello.segue = std::move(version);
    hello.host = this_host_name();
    hello.features.emplace_back(receive::vm_feature);
    hello.move = std::move(move);
    return hello;
}

}  // namespace segue
