#include "app/guard/rescue.hpp"

#include <algorithm>
#include <sys/socket.h>

#include "app/guard/os.hpp"

namespace segue::guard {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// How long the guardian goes on trying. Storage that hangs (a hard NFS mount, multipath that queues)
/// holds QEMU's main loop for minutes, and nobody else is there to try again.
constexpr Duration give_up_after = minutes{10};
/// A source monitor without a listener for so long means that the source QEMU is gone.
constexpr Duration gone_after = milliseconds{300};
/// Between two looks at QEMU's run state: RESUME came 0.1 to 15 ms after its cause (measured).
constexpr Duration look_first = milliseconds{2};
constexpr Duration look_last = milliseconds{50};
/// SIGKILL, pidfd readable and `cont` took 3 to 10 ms in all for a guest of 130 MiB (measured); one with
/// much memory takes longer. Past this we go on: it will never run guest code again, and `cont` is retried.
constexpr Duration kill_wait = milliseconds{250};
/// QEMU's own cleaning up after a migration ends within milliseconds of RESUME.
constexpr Duration cleanup_wait = seconds{10};
/// One put_back line's answer.
constexpr Duration answer_wait = seconds{5};

enum class RunState { running, finishing, standing, postmigrate, crashed, incoming };

RunState classify(const Word<24>& status) noexcept {
    // `suspended` is the guest's own sleep (S3): it is where it was.
    if (status.is("running") || status.is("suspended")) return RunState::running;
    if (status.is("finish-migrate")) return RunState::finishing;
    if (status.is("postmigrate")) return RunState::postmigrate;
    if (status.is("inmigrate")) return RunState::incoming;
    const bool crashed = status.is("shutdown") || status.is("internal-error") || status.is("guest-panicked");
    return crashed ? RunState::crashed : RunState::standing;
}

constexpr std::string_view announce_self =
    R"("execute":"announce-self","arguments":{"initial":50,"max":550,"rounds":5,"step":100}})";
constexpr std::string_view yank =
    R"("exec-oob":"yank","arguments":{"instances":[{"type":"migration"}]}})";
/// Posts the semaphore of a migration thread that went to wait at pre-switchover just as it was
/// cancelled (QEMU looks at the state, drops its lock, then waits: a cancel in between is not heard).
/// Accepted only while the state is `cancelling`, so it can never let the move go on.
constexpr std::string_view wake_cancelled =
    R"("execute":"migrate-continue","arguments":{"state":"cancelling"}})";

}  // namespace

void Rescue::say(std::string_view trouble, std::string_view detail) noexcept {
    trouble_.clear();
    for (const char c : trouble) trouble_.push(c);
    if (!detail.empty()) trouble_.push(' ');
    for (const char c : detail) trouble_.push(c);
}

void Rescue::cut_stream() noexcept {
    if (held_.stream >= 0) static_cast<void>(::shutdown(held_.stream, SHUT_RDWR));
}

void Rescue::kill_dst() noexcept {
    if (held_.dst < 0 || dst_killed_) return;
    dst_killed_ = kill_and_wait(held_.dst, kill_wait);
}

bool Rescue::reach_monitor(Instant until) noexcept {
    Instant listened_at = now();
    bool own = held_.guard_monitor != nullptr;
    monitor_.pump();
    while (!monitor_.ready() && now() < until) {
        if (monitor_.link() == Link::closed) {
            // Ours may have been lost to another client: the one that Segue held is as good.
            monitor_.connect(own ? held_.guard_monitor : held_.src_monitor);
            if (held_.guard_monitor != nullptr) own = !own;
            if (!monitor_.nobody_listens()) listened_at = now();
            if (now() - listened_at > gone_after) {
                say("the source QEMU is gone: its guest crashed");
                return false;
            }
        }
        monitor_.pump_until(std::min(until, now() + look_last));
    }
    if (!monitor_.ready()) say("the source's monitor does not answer");
    return monitor_.ready();
}

bool Rescue::bring_back() noexcept {
    const Instant until = now() + give_up_after;
    monitor_.pump();
    // Whether it stands now, or did: the event may have come and gone.
    const auto stage = static_cast<Stage>(board_.stage.load());
    guest_stood_ = guest_stood_ || monitor_.saw_guest_stand() || stage >= Stage::held;
    monitor_.forget_resume();
    cut_stream();
    if (stage >= Stage::continued && monitor_.out_of_band()) static_cast<void>(monitor_.send(yank));
    Duration pause = look_first;
    for (int attempt = 0; now() < until; ++attempt) {
        if (!reach_monitor(until)) return false;
        const Step step = one_attempt(until, attempt);
        if (step != Step::again) return step == Step::runs;
        monitor_.pump_until(std::min(until, now() + pause));
        if (monitor_.resume_seen_at()) return true;
        pause = std::min(pause * 2, look_last);
    }
    if (trouble_.view().empty()) say("the source did not run again in time");
    return false;
}

Rescue::Step Rescue::one_attempt(Instant until, int attempt) noexcept {
    static_cast<void>(monitor_.send(R"("execute":"migrate_cancel"})"));
    const std::uint64_t id = monitor_.send(R"("execute":"query-status"})");
    while (id != 0 && monitor_.answer(id) == nullptr && monitor_.fd() >= 0 && now() < until) {
        monitor_.pump_until(until);
        // RESUME says all, and the answer may be long in coming.
        if (monitor_.resume_seen_at()) {
            guest_stood_ = true;
            return Step::runs;
        }
    }
    const Answer* status = monitor_.answer(id);
    if (status == nullptr || status->error) return Step::again;
    return judge(*status, until, attempt);
}

bool Rescue::whole_copy_may_be_there() const noexcept {
    const auto stage = static_cast<Stage>(board_.stage.load());
    return stage == Stage::continued || stage == Stage::loaded;
}

Rescue::Step Rescue::judge(const Answer& status, Instant until, int attempt) noexcept {
    const bool stood_before = board_.stood_before.load() != 0;
    switch (classify(status.status)) {
        case RunState::running: return Step::runs;
        case RunState::finishing:
            guest_stood_ = true;
            if (attempt >= 2) static_cast<void>(monitor_.send(wake_cancelled));
            return Step::again;
        case RunState::postmigrate:
            // Of a guest that Segue had stopped a cancelled migration leaves this as well (before QEMU 8.2): no copy
            // of it is whole then, and killing a large QEMU takes its time.
            if (whole_copy_may_be_there()) kill_dst();
            [[fallthrough]];
        case RunState::standing:
            if (stood_before) return Step::runs;
            guest_stood_ = true;
            return let_run(until);
        case RunState::crashed:
            say("the guest crashed; the source QEMU says", status.status.view());
            return Step::hopeless;
        case RunState::incoming:
            say("the source's monitor is that of a QEMU which waits for a guest");
            return Step::hopeless;
    }
    return Step::again;
}

Rescue::Step Rescue::let_run(Instant until) noexcept {
    const Answer* answer = monitor_.await(monitor_.send(R"("execute":"cont"})"), until);
    if (answer == nullptr) return Step::again;
    if (!answer->error) return monitor_.resume_seen_at() ? Step::runs : Step::again;
    // Its locks may be what is in the way.
    say("the source cannot continue:", answer->description.view());
    kill_dst();
    return Step::again;
}

bool Rescue::await_no_migration() noexcept {
    const Instant until = now() + cleanup_wait;
    Duration pause = look_first;
    while (now() < until) {
        if (!reach_monitor(until)) return false;
        const Answer* answer = monitor_.await(monitor_.send(R"("execute":"query-yank"})"), until);
        if (answer != nullptr && (answer->error || !answer->migration_yank)) return true;
        monitor_.pump_until(std::min(until, now() + pause));
        pause = std::min(pause * 2, look_last);
    }
    say("the source QEMU still cleans up after the migration");
    return false;
}

void Rescue::announce() noexcept {
    if (announced_ || !guest_stood_) return;
    announced_ = monitor_.send(announce_self) != 0;
}

bool Rescue::clean_up() noexcept {
    kill_dst();
    announce();
    if (!await_no_migration()) return false;
    // A cancel that came just before QEMU stopped the guest by itself: let it settle, then look again.
    const Answer* status = monitor_.await(monitor_.send(R"("execute":"query-status"})"), now() + answer_wait);
    if (status != nullptr && !status->error && classify(status->status) != RunState::running &&
        !bring_back()) {
        return false;
    }
    return put_back();
}

bool Rescue::put_back() noexcept {
    const std::uint32_t length = std::min(board_.put_back_length.load(), put_back_bytes_max);
    std::string_view rest(board_.put_back, length);
    bool complete = true;
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        if (line.empty()) continue;
        const Instant until = now() + answer_wait;
        if (!reach_monitor(until)) return false;
        const std::uint64_t before = monitor_.anonymous_answers();
        if (!monitor_.send_line(line)) {
            say("the source's settings are not all put back: connection lost");
            return false;
        }
        while (monitor_.anonymous_answers() == before && monitor_.fd() >= 0 && now() < until) {
            monitor_.pump_until(until);
        }
        const bool answered = monitor_.anonymous_answers() != before;
        if (answered && !monitor_.last_anonymous().error) continue;
        say("the source's settings are not all put back:",
            answered ? monitor_.last_anonymous().description.view() : "no answer");
        if (!answered) return false;  // QEMU answers nothing any more.
        complete = false;             // One refused setting is no reason to leave the others.
    }
    return complete;
}

}  // namespace segue::guard
