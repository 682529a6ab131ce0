#include "receive/world_test.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace segue::receive::test {

bool World::run_until(const std::function<bool()>& done, Duration limit) {
    const Instant end = now + limit;
    while (!done()) {
        if (agenda_.empty() || agenda_.begin()->first.first > end) {
            now = end;
            return false;
        }
        auto entry = agenda_.extract(agenda_.begin());
        now = std::max(now, entry.key().first);
        entry.mapped()();
    }
    return true;
}

// ---- The session -----------------------------------------------------------------------------------

void World::start_session() {
    kill_session();
    SessionRules rules;
    if (faults.bug == Bug::stale_lease_taken) rules.lease_fresh = std::chrono::hours{1};
    session = std::make_unique<Session>(hello(false), rules);
    exit_status.reset();
    session_reader_ = {};
    client_reader_ = {};
    leases_.clear();
    word_n_ = 0;
    broken_ = false;
    ++connection_;
    feed(Tick{});
}

void World::kill_session() {
    ++session_number;
    session.reset();
    inbox_.clear();
}

void World::feed(const SessionEvent& event) {
    inbox_.push_back(event);
    if (std::exchange(stepping_, true)) return;
    while (!inbox_.empty() && session) {
        const SessionEvent next = std::move(inbox_.front());
        inbox_.pop_front();
        if (const auto* said = std::get_if<FromPeer>(&next)) {
            if (const auto* word = std::get_if<Word>(&said->message); word && word_n_ == 0) word_n_ = word->n;
        }
        for (const auto& effect : session->step(next, now)) {
            if (!session) break;
            if (effects_++ == faults.crash_after_effects) {
                kill_session();
                if (on_lost) after(1 * ms, [this, n = connection_] { if (n == connection_) on_lost("it was killed"); });
                break;
            }
            perform(effect);
        }
    }
    stepping_ = false;
    wake();
}

void World::wake() {
    if (!session) return;
    const Instant at = session->wake_at();
    after(std::max(at - now, Duration{0}), [this, at, n = session_number] {
        if (n == session_number && session && session->wake_at() <= at) feed(Tick{});
    });
}

void World::feed_later(Duration d, SessionEvent event) {
    after(d, [this, n = session_number, event = std::move(event)] { if (n == session_number) feed(event); });
}

void World::perform(const SessionEffect& effect) {
    struct Visitor {
        World& w;
        void operator()(const Send& e) {
            w.heard.push_back(e.message);
            if (const auto* lease = std::get_if<Lease>(&e.message)) w.leases_[lease->n] = w.now;
            if (std::holds_alternative<Aborted>(e.message) && (w.qemu.alive || !w.journal.known.tombstone)) {
                w.violated("said `aborted` before it was dead and recorded");
            }
            const auto line = encode(e.message);
            SEGUE_ASSERT(line.has_value());
            if (w.broken_) return;
            w.count_line();
            const Instant at = w.line_arrives(w.last_from_);
            w.after(at - w.now, [world = &w, n = w.connection_, text = *line] {
                if (n != world->connection_ || world->broken_ || !world->on_message) return;
                const std::size_t cut = world->random() % text.size();
                for (const auto& piece : {text.substr(0, cut), text.substr(cut)}) {
                    const Fed fed = world->client_reader_.feed(piece);
                    SEGUE_ASSERT(!fed.fault);
                    for (const auto& m : fed.messages) world->on_message(m);
                }
            });
        }
        void operator()(const Recall&) {
            Recalled known = w.faults.bug == Bug::journal_forgets ? Recalled{} : w.journal.known;
            known.qemu_alive = w.qemu.alive && known.begun;
            w.feed_later(1 * ms, known);
        }
        void operator()(const StartQemu&) {
            w.qemu = {};
            w.qemu.alive = true;
            w.stream_came = false;
            w.feed_later(30 * ms, QemuReady{});
        }
        void operator()(const AttachQemu&) {
            QemuReady ready;
            if (!w.qemu.alive) ready.ready = fail(ErrorKind::unavailable, "nobody listens");
            w.feed_later(2 * ms, std::move(ready));
        }
        void operator()(const Qemu& e) { w.perform_qemu(e); }
        void operator()(const OpenListener&) { w.feed_later(1 * ms, ListenerOpen{DataAddress{"192.0.2.2", 7000}}); }
        void operator()(const CloseListener&) {}
        void operator()(const Write& e) { w.perform_write(e); }
        void operator()(const ClaimGuest&) {
            const bool ours = w.qemu.alive;
            if (ours) w.qemu.claimed = true;
            w.feed_later(Duration{0}, Claimed{ours});
        }
        void operator()(const Note& e) {
            w.qemu.armed = e.armed;
            w.qemu.alive_at = e.alive_at;
            w.guardian_looks();
        }
        void operator()(const Log&) {}
        void operator()(const CloseControl&) { w.disconnect(); }
        void operator()(const Exit& e) {
            w.exit_status = e.status;
            w.ended = e.ended;
            if (w.qemu.alive && !w.journal.known.accepted && e.status == 1) w.violated("left a QEMU behind");
            w.kill_session();
        }
    };
    std::visit(Visitor{*this}, effect);
}

// ---- QEMU, journal, guardian -----------------------------------------------------------------------

void World::run_guest() {
    if (!qemu.alive) return;
    if (!journal.known.accepted) violated("`cont` before `accepted` was durable");
    if (journal.tombstone_asked) violated("`cont` after the tombstone");
    if (source_runs) violated("two running copies");
    if (qemu.state != RunState::paused) violated("`cont` of what is no whole copy");
    qemu.state = RunState::running;
}

Result<GuestAnswer> World::answer_now(const DstCommand& command) {
    if (!qemu.alive) return fail(ErrorKind::unavailable, "the monitor is gone");
    if (std::holds_alternative<DstInspect>(command)) return GuestAnswer{GuestFacts{}};
    if (std::holds_alternative<DstReadRunState>(command)) return GuestAnswer{qemu.state};
    if (std::holds_alternative<DstRun>(command)) {
        if (faults.cont_refused) return fail(ErrorKind::refused, "QEMU refused the command", "no lock");
        run_guest();
        if (faults.cont_unanswered) return fail(ErrorKind::timed_out, "no answer");
    }
    return GuestAnswer{Done{}};
}

/// What was sent to QEMU happens, whether or not the sender lives to hear of it.
void World::perform_qemu(const Qemu& command) {
    const bool kill = std::holds_alternative<DstKill>(command.command);
    if (kill && faults.bug == Bug::kill_answered_early) {
        after(200 * ms, [this] { die(); });
        return feed_later(1 * ms, QemuAnswer{command.id, GuestAnswer{Done{}}});
    }
    after(between(1 * ms, 5 * ms), [this, n = session_number, command, kill] {
        if (kill) die();
        auto answer = kill ? Result<GuestAnswer>{Done{}} : answer_now(command.command);
        if (n == session_number) feed(QemuAnswer{command.id, std::move(answer)});
    });
}

void World::die() {
    if (!qemu.alive) return;
    qemu.alive = false;
    feed_later(Duration{0}, GuestNotice{DstDied{}});
}

void World::perform_write(const Write& write) {
    if (write.record == Record::tombstone) journal.tombstone_asked = true;
    if (write.record == Record::accepted) {
        const auto lease = leases_.find(word_n_);
        if (lease == leases_.end() || now - lease->second > 300 * ms) violated("a word of an old lease was accepted");
    }
    const Duration took = between(Duration{0}, faults.fsync_max);
    if (chance(faults.fsync_fails)) {
        return feed_later(took, Written{write.record, fail(ErrorKind::refused, "no space left on device")});
    }
    // The write of a killed session may still become durable.
    after(took, [this, record = write.record] {
        journal.known.begun = journal.known.begun || record == Record::begun;
        journal.known.accepted = journal.known.accepted || record == Record::accepted;
        journal.known.ran = journal.known.ran || record == Record::ran;
        journal.known.tombstone = journal.known.tombstone || record == Record::tombstone;
    });
    const Duration told = faults.bug == Bug::durable_too_early ? Duration{0} : took;
    feed_later(told, Written{write.record, {}});
}

void World::guardian_looks() {
    if (!qemu.guardian || !qemu.armed || qemu.claimed || !qemu.alive) return;
    const Instant due = qemu.alive_at + ping_silence_max + 5 * ms;
    if (now >= due) return die();
    after(due - now, [this, due] { if (qemu.alive_at + ping_silence_max + 5 * ms <= due) guardian_looks(); });
}

void World::data_arrives() {
    if (!qemu.alive) return;
    stream_came = true;
    feed_later(Duration{0}, DataConnected{});
}

// ---- The control connection ------------------------------------------------------------------------

Instant World::line_arrives(Instant& last) {
    Duration took = faults.delay + between(Duration{0}, faults.delay / 4);
    if (chance(faults.hiccup)) took += between(Duration{0}, 1000 * ms);
    return last = std::max(last, now + took);
}

void World::count_line() {
    if (++lines_ - 1 != faults.break_after_lines) return;
    if (faults.half_open) broken_ = true;
    else disconnect();
}

void World::disconnect() {
    if (std::exchange(broken_, true)) return;
    feed_later(1 * ms, PeerGone{"end of the stream"});
    after(1 * ms, [this, n = connection_] { if (n == connection_ && on_lost) on_lost("end of the stream"); });
}

void World::to_session(const Message& message) {
    if (broken_ || !session) return;
    const auto line = encode(message);
    SEGUE_ASSERT(line.has_value());
    const Instant at = line_arrives(last_to_);
    after(at - now, [this, n = session_number, text = *line] {
        if (n != session_number || broken_) return;
        const Fed fed = session_reader_.feed(text);
        SEGUE_ASSERT(!fed.fault);
        for (const auto& m : fed.messages) feed(FromPeer{m});
    });
    count_line();
}

}  // namespace segue::receive::test
