// The effects of a session, performed on the simulated host. Its records are in dst_records.cpp.
#include "app/sim/dst_receive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "receive/limits.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration attach_max = seconds{3};
constexpr Duration take_stream_max = seconds{5};
/// What an unaccepted QEMU may outlive its lease by: the guardian's timer, the kill.
constexpr Duration lease_slack = milliseconds{250};

receive::Hello our_hello() { return {receive::version_min, receive::version_max, "0.1.0", "host2", {}, {}}; }

receive::SessionRules rules_of(const Plan& plan) {
    receive::SessionRules rules;
    if (plan.planted == Planted::old_lease_taken) rules.lease_fresh = std::chrono::hours{1};
    return rules;
}

}  // namespace

DstReceive::DstReceive(DstHost& host, std::shared_ptr<ControlLink> link, std::int64_t pid)
    : host_(host), link_(std::move(link)), session_(our_hello(), rules_of(host.plan_)), writer_(host.disk_),
      self_{pid, static_cast<std::uint64_t>(pid), host.boot_id_}, records_(self_) {}

Instant DstReceive::clock() const { return host_.clock_.at(host_.world_.agenda().now()); }

void DstReceive::start() {
    link_->read(Way::to_dst, {[this](const std::string& line) {
                                  const auto fed = reader_.feed(line);
                                  SEGUE_ASSERT(!fed.fault);
                                  for (const auto& message : fed.messages) {
                                      if (const auto* word = std::get_if<receive::Word>(&message)) word_n_ = word->n;
                                      if (const auto* p = std::get_if<receive::Prepare>(&message)) {
                                          asked_monitor_ = p->command.empty() ? p->monitor : "/run/sim/b.qmp";
                                      }
                                      feed(receive::FromPeer{message});
                                  }
                              },
                              [this](const std::string& why) {
                                  link_->end(Way::to_src);
                                  feed(receive::PeerGone{why});
                              }});
    feed(receive::Tick{});
}

void DstReceive::feed(receive::SessionEvent event) {
    if (!alive_) return;
    events_.push_back(std::move(event));
    pump();
}

/// Never re-entered: what an effect causes at once waits in the queue for its turn.
void DstReceive::pump() {
    if (draining_ || leaving_ || frozen_) return;
    draining_ = true;
    while (!events_.empty() && !leaving_ && alive_) {
        const receive::SessionEvent next = std::move(events_.front());
        events_.pop_front();
        const auto before = session_.stage();
        const auto effects = session_.step(next, clock());
        if (session_.stage() != before) {
            host_.callbacks_.log("receive", fmt::format("-> {}", to_string(session_.stage())));
        }
        for (const auto& effect : effects) {
            if (alive_) std::visit([this](const auto& e) { perform(e); }, effect);
        }
    }
    draining_ = false;
    arm();
}

void DstReceive::arm() {
    if (!alive_ || leaving_) return;
    const auto number = ++timer_;
    const Instant at = host_.clock_.when(session_.wake_at()) + rng().between(Duration{0}, microseconds{300});
    host_.world_.agenda().at(at, [self = shared_from_this(), number] {
        if (number == self->timer_ && !self->frozen_) self->feed(receive::Tick{});
    });
}

void DstReceive::later(Duration delay, receive::SessionEvent event) {
    host_.world_.agenda().after(delay, [self = shared_from_this(), event = std::move(event)] { self->feed(event); });
}

void DstReceive::freeze(bool frozen) {
    frozen_ = frozen;
    if (!frozen) pump();
}

// ---- The end of the process ------------------------------------------------------------------------

void DstReceive::die() {
    if (!std::exchange(alive_, false)) return;
    host_.callbacks_.log("receive", "ends");
    writer_.kill();
    listens_ = false;
    link_->read(Way::to_dst, {});
    link_->end(Way::to_src);
    if (guardian_) guardian_->receive_died();
    if (host_.newest() == nullptr) host_.world_.dst().monitor().close();
}

void DstReceive::vanish() {
    if (!std::exchange(alive_, false)) return;
    listens_ = false;
    link_->read(Way::to_dst, {});
    link_->lose(Way::to_src);
    link_->lose(Way::to_dst);
}

void DstReceive::guardian_died() {
    const bool matters = guardian_->board().released.load() == 0;
    if (matters) later(rng().between(microseconds{100}, milliseconds{1}), receive::GuardianGone{});
}

void DstReceive::leave(int status, const receive::HowEnded& how) {
    leaving_ = true;
    listens_ = false;
    if (status == 0 && guardian_) guardian_->release();
    const auto close = [this, status, how](Journal& journal) { close_record(journal, status, how); };
    writer_.ask(JournalWriter::Cost::durable, close,
                [self = shared_from_this()] { self->die(); });
}

// ---- Effects ---------------------------------------------------------------------------------------

void DstReceive::perform(const receive::Send& effect) {
    check_sent(effect.message);
    const auto line = receive::encode(effect.message);
    SEGUE_ASSERT(line.has_value());
    link_->send(Way::to_src, *line);
}

void DstReceive::perform(const receive::Log& effect) { host_.callbacks_.log("receive", effect.line); }

void DstReceive::perform(const receive::StartQemu&) {
    host_.world_.agenda().after(rng().between(milliseconds{20}, milliseconds{60}), [self = shared_from_this()] {
        // The child waits for a byte of ours before it becomes QEMU.
        if (!self->alive_) return;
        self->host_.world_.dst().start();
        self->attach_guardian(true);
        self->connect_monitor();
    });
}

void DstReceive::perform(const receive::AttachQemu&) {
    if (!accepted_before_) attach_guardian(false);
    host_.world_.agenda().after(rng().between(milliseconds{1}, milliseconds{30}),
                                [self = shared_from_this()] { self->connect_monitor(); });
}

void DstReceive::attach_guardian(bool armed) {
    guardian_ = std::make_shared<DstGuardian>(
        host_.world_.agenda(), host_.clock_, host_.rng_.stream("guardian"),
        DstGuardian::Host{[host = &host_] { return host->world_.truth().dst_alive; },
                          [host = &host_] { host->world_.dst().die("killed by its guardian"); },
                          [host = &host_](const std::string& what) { host->callbacks_.log("dst-guard", what); },
                          host_.plan_.planted == Planted::guardian_without_lease});
    host_.guardians_.push_back(guardian_);
    guardian_->note(armed, clock());
}

void DstReceive::connect_monitor() {
    if (!alive_) return;
    auto& qemu = host_.world_.dst();
    receive::QemuReady ready;
    if (!host_.world_.truth().dst_alive) {
        ready.ready = fail(ErrorKind::unavailable, "nobody listens at its monitor");
    } else if (qemu.frozen()) {
        ready.ready = fail(ErrorKind::timed_out, "its monitor does not greet");
        return later(attach_max, std::move(ready));
    } else {
        qemu.monitor().reopen();
        qemu_known_ = true;
        ready_at_ = clock();
    }
    later(microseconds{300}, std::move(ready));
}

/// What was sent to QEMU happens, whether or not the sender lives to hear of it.
void DstReceive::perform(const receive::Qemu& effect) {
    if (std::holds_alternative<DstRun>(effect.command)) check_continue();
    const auto answered = std::make_shared<bool>(false);
    const auto answer = [self = shared_from_this(), id = effect.id, answered](const Result<GuestAnswer>& value) {
        if (!std::exchange(*answered, true)) self->feed(receive::QemuAnswer{id, value});
    };
    host_.world_.dst().submit(effect.command, answer);
    host_.world_.agenda().after(effect.timeout, [answer] {
        answer(fail(ErrorKind::timed_out, "the destination's QEMU did not answer in time"));
    });
}

void DstReceive::perform(const receive::OpenListener& effect) {
    host_.callbacks_.on_step(StepKind::dst_listening);
    writer_.ask(JournalWriter::Cost::soon,
                [this, record = step(StepKind::dst_listening)](Journal& journal) {
                    static_cast<void>(records_.write_listening(journal, record));
                },
                {});
    listens_ = true;
    later(milliseconds{1}, receive::ListenerOpen{DataAddress{effect.request.host, 7000}});
}

/// The right token came; QEMU gets the descriptor.
void DstReceive::take_stream() {
    listens_ = false;
    const auto answered = std::make_shared<bool>(false);
    const auto answer = [self = shared_from_this(), answered](const Result<GuestAnswer>& value) {
        if (std::exchange(*answered, true)) return;
        self->feed(receive::DataConnected{value ? Result<void>() : std::unexpected(value.error())});
    };
    host_.world_.dst().submit(DstCommand{DstListen{}}, answer);
    host_.world_.agenda().after(take_stream_max,
                                [answer] { answer(fail(ErrorKind::timed_out, "it did not take the descriptor")); });
}

void DstReceive::perform(const receive::Write& effect) { write(effect); }

void DstReceive::perform(const receive::ClaimGuest&) {
    events_.emplace_back(receive::Claimed{guardian_ && guardian_->claim()});
}

void DstReceive::perform(const receive::Note& effect) {
    if (!guardian_) return;
    // What came before it was ready does not count as silence.
    const Instant alive_at = std::max(effect.alive_at, ready_at_.value_or(effect.alive_at));
    guardian_->note(effect.armed, alive_at);
    if (effect.armed) check_lease(alive_at);
}

void DstReceive::perform(const receive::CloseControl&) {
    link_->read(Way::to_dst, {});
    link_->end(Way::to_src);
}

void DstReceive::perform(const receive::Exit& effect) {
    host_.callbacks_.log("receive", effect.why);
    leave(effect.status, effect.ended);
}

// ---- What must never be ----------------------------------------------------------------------------

void DstReceive::check_sent(const receive::Message& message) {
    const auto& truth = host_.world_.truth();
    const Instant now = host_.world_.agenda().now();
    if (const auto* lease = std::get_if<receive::Lease>(&message)) leases_[lease->n] = now;
    if (std::holds_alternative<receive::Aborted>(message)) {
        const auto record = host_.record();
        const bool undone = truth.tombstone || (record && record->ended);
        if (truth.dst_alive && qemu_known_) host_.callbacks_.violation("said `aborted` while its QEMU lived");
        if (!undone) host_.callbacks_.violation("said `aborted` before the tombstone was durable");
    }
    const auto* refused = std::get_if<receive::Refused>(&message);
    if (refused && refused->dead && truth.dst_alive) host_.callbacks_.violation("said dead what lived");
}

void DstReceive::check_continue() {
    const auto& truth = host_.world_.truth();
    if (!truth.accepted) host_.callbacks_.violation("the destination was continued before `accepted` was durable");
    if (truth.tombstone) host_.callbacks_.violation("the destination was continued after its tombstone");
}

/// While its guardian lives nothing unaccepted outlives its lease, whatever becomes of segue receive.
void DstReceive::check_lease(Instant alive_at) {
    const Instant due = host_.clock_.when(alive_at) + receive::ping_silence_max + lease_slack;
    // After a standstill of the process itself it may be long over: then the kill is on its way.
    const Instant look_at = std::max(due, host_.world_.agenda().now() + lease_slack);
    host_.world_.agenda().at(look_at, [self = shared_from_this(), alive_at] {
        const auto& guardian = *self->guardian_;
        auto& board = self->guardian_->board();
        const bool waits = board.armed.load() != 0 && board.claim.load() != 1 && board.released.load() == 0 &&
                           board.alive_at_ns.load() == alive_at.since_boot.count();
        if (waits && guardian.alive() && self->host_.world_.truth().dst_alive) {
            self->host_.callbacks_.violation("a destination without a word outlived its lease");
        }
    });
}

}  // namespace segue::sim
