#include "hypervisor/qemu/src_guest.hpp"

#include <boost/json/array.hpp>
#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "hypervisor/qemu/attachment.hpp"
#include "hypervisor/qemu/call.hpp"
#include "hypervisor/qemu/facts.hpp"
#include "hypervisor/qemu/settings.hpp"
#include "hypervisor/qemu/wire.hpp"
#include "model/page_sampling.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using CallPtr = std::shared_ptr<Call>;

constexpr std::string_view stream_name = "segue-stream";
constexpr Duration poll_pause = milliseconds{10};
constexpr Duration opening_answer_timeout = std::chrono::seconds{10};
/// One 100 ms window of QEMU's rate limit and the rest of the one before, with some to spare.
constexpr Duration two_windows = milliseconds{250};
/// A QEMU without a running guest quits within 100 ms; one that hangs is killed.
constexpr Duration quit_grace = std::chrono::seconds{3};

template <class Value>
json::object one(std::string_view key, Value&& value) {
    json::object object;
    object[key] = std::forward<Value>(value);
    return object;
}

}  // namespace

struct SrcGuest::Impl {
    Impl(Loop& loop, std::string path, std::function<void(Result<void>)> on_ready, OnNotice on_notice_in)
        : on_notice(std::move(on_notice_in)),
          qemu(loop, std::move(path), "source",
               {.on_ready = std::move(on_ready),
                .on_event = [this](const QmpEvent& event) { noticed(event); },
                .on_lost = [this](Error error) { lost(std::move(error)); },
                .on_died = [this] { died(); }}) {}

    OnNotice on_notice;
    int stream = -1;
    std::optional<Originals> found;    ///< Once Prepare has read them.
    bool native = false;               ///< This QEMU has avail-switchover-bandwidth.
    std::optional<Share> own_brake_floor;
    std::int64_t max_bandwidth_wanted = 0;
    std::int64_t max_bandwidth_set = 0;
    bool opening = false;              ///< `max-bandwidth` is still that of the opening.
    Changes changes;
    std::vector<CallPtr> ends;         ///< SrcEnd calls that wait for the death.
    bool told_to_quit = false;
    Attachment qemu;

    void noticed(const QmpEvent& event);
    /// By a copy, since the callee may destroy this.
    void tell(const GuestNotice& notice) const { OnNotice{on_notice}(notice); }
    void lost(Error error);
    void died();
    void answer_ends();
    void run_script(const CallPtr& call, std::string_view script);
    void set_parameters(const CallPtr& call, const SwitchoverParameters& parameters);
    void prepare_from(const CallPtr& call, const json::value& capabilities, const json::value& parameters);
    void watch_opening();
    void end_opening(bool raise);
    void allow(const CallPtr& call, const SrcAllowSwitchover& command);
    void poll_dirty_rate(const CallPtr& call);
    void poll_forgotten(const CallPtr& call);
    void put_back_capabilities(const CallPtr& call);

    void on(const SrcInspect&, const CallPtr& call);
    void on(const SrcSampleDirtying& command, const CallPtr& call);
    void begin_sample(const SrcSampleDirtying& command, const CallPtr& call);
    void on(const SrcPrepare& command, const CallPtr& call);
    void on(const SrcTakeStream&, const CallPtr& call);
    void on(const SrcStop&, const CallPtr& call) { call->order("stop", {}); }
    void on(const SrcStart&, const CallPtr& call);
    void on(const SrcReadProgress&, const CallPtr& call);
    void on(const SrcAllowSwitchover& command, const CallPtr& call);
    void on(const SrcContinue&, const CallPtr& call);
    void on(const SrcCancel&, const CallPtr& call) { call->order("migrate_cancel", {}); }
    void on(const SrcYank&, const CallPtr& call);
    void on(const SrcRun&, const CallPtr& call) { call->order("cont", {}); }
    void on(const SrcReadRunState&, const CallPtr& call);
    void on(const SrcAwaitForgotten&, const CallPtr& call) { poll_forgotten(call); }
    void on(const SrcPutBack& command, const CallPtr& call);
    void on(const SrcAnnounce&, const CallPtr& call);
    void on(const SrcEnd&, const CallPtr& call);
};

// ---- Notices ---------------------------------------------------------------------------------------

// The callee of a notice may destroy this: nothing follows it.
void SrcGuest::Impl::lost(Error error) {
    // All that can be seen of its end where its process is out of sight.
    if (told_to_quit && !qemu.process()) answer_ends();
    tell(SrcLost{std::move(error)});
}

void SrcGuest::Impl::died() {
    answer_ends();
    tell(SrcDied{});
}

/// On the loop, later: an answer may end in the destruction of this.
void SrcGuest::Impl::answer_ends() {
    for (const CallPtr& call : std::exchange(ends, {})) call->answer_later(Done{});
}

void SrcGuest::Impl::noticed(const QmpEvent& event) {
    const json::value data = event.data;
    if (event.name == "STOP") return tell(SrcStopped{});
    if (event.name == "RESUME") return tell(SrcResumed{});
    if (event.name == "MIGRATION_PASS") {
        return tell(SrcPassBegan{integer_of(member(data, "pass")).value_or(0)});
    }
    if (event.name == "MIGRATION") {
        return tell(SrcStatusChanged{migration_status(text_of(member(data, "status")))});
    }
}

void SrcGuest::Impl::on(const SrcInspect&, const CallPtr& call) {
    read_facts(qemu, Side::source, found ? &*found : nullptr, call->left(), [call](Result<GuestFacts> facts) {
        if (!facts) return call->answer(std::unexpected(std::move(facts).error()));
        call->answer(std::move(*facts));
    });
}

/// What another Segue or tool began to measure ends by itself; nothing can end it sooner.
void SrcGuest::Impl::on(const SrcSampleDirtying& command, const CallPtr& call) {
    call->ask("query-dirty-rate", {}, [this, command, call](const json::value& reply) {
        if (text_of(member(reply, "status")) != "measuring") return begin_sample(command, call);
        call->again(poll_pause, "the end of a sample that is not ours", [this, command, call] { on(command, call); });
    });
}

void SrcGuest::Impl::begin_sample(const SrcSampleDirtying& command, const CallPtr& call) {
    json::object arguments;
    const bool brief = command.interval < std::chrono::seconds{1};
    const Duration interval = brief ? command.interval : std::chrono::seconds{calc_time(command.interval)};
    if (brief) arguments["calc-time-unit"] = "millisecond";
    arguments["calc-time"] = brief ? std::chrono::ceil<std::chrono::milliseconds>(interval).count()
                                   : calc_time(command.interval);
    arguments["sample-pages"] = sample_pages_per_gib(command.memory);
    // The other modes crash QEMU 7.2 under TCG (qemu.md 5.4).
    arguments["mode"] = "page-sampling";
    call->ask("calc-dirty-rate", std::move(arguments), [this, call, interval](const json::value&) {
        call->again(interval, "the sample of dirtied memory",
                    [this, call] { poll_dirty_rate(call); });
    });
}

void SrcGuest::Impl::poll_dirty_rate(const CallPtr& call) {
    call->ask("query-dirty-rate", {}, [this, call](const json::value& reply) {
        if (const auto rate = measured_dirty_rate(reply)) return call->answer(*rate);
        call->again(poll_pause, "the sample of dirtied memory", [this, call] { poll_dirty_rate(call); });
    });
}

void SrcGuest::Impl::on(const SrcPrepare& command, const CallPtr& call) {
    changes.add(call);
    max_bandwidth_wanted = max_bandwidth(command.cap);
    own_brake_floor = command.own_brake_floor;
    call->ask("query-migrate-capabilities", {}, [this, call](const json::value& capabilities) {
        call->ask("query-migrate-parameters", {}, [this, call, capabilities](const json::value& parameters) {
            prepare_from(call, capabilities, parameters);
        });
    });
}

void SrcGuest::Impl::prepare_from(const CallPtr& call, const json::value& capabilities,
                                  const json::value& parameters) {
    const Originals now = originals(Side::source, capabilities, parameters);
    // Prepared twice, the first state is the one to put back.
    if (!found) found = now;
    native = now.parameters.contains("avail-switchover-bandwidth");
    // With a native switchover bandwidth nothing depends on QEMU's own limiter, and our socket paces.
    if (native) max_bandwidth_wanted = 0;
    const auto set_limits = [this, call] {
        SwitchoverParameters limits = never_switch_over(native);
        limits.max_bandwidth = opening_max_bandwidth;
        set_parameters(call, limits);
    };
    const auto wanted = capabilities_to_change(Side::source, now, own_brake_floor.has_value());
    const auto set_capabilities = [call, wanted, set_limits] {
        if (wanted.empty()) return set_limits();
        call->ask("migrate-set-capabilities", capability_arguments(wanted),
                  [set_limits](const auto&) { set_limits(); });
    };
    if (!own_brake_floor) return set_capabilities();
    call->ask("migrate-set-parameters", throttle_arguments(*own_brake_floor),
              [set_capabilities](const auto&) { set_capabilities(); });
}

void SrcGuest::Impl::set_parameters(const CallPtr& call, const SwitchoverParameters& parameters) {
    if (parameters.max_bandwidth) max_bandwidth_set = *parameters.max_bandwidth;
    call->order("migrate-set-parameters", parameter_arguments(parameters));
}

void SrcGuest::Impl::on(const SrcTakeStream&, const CallPtr& call) {
    if (stream < 0) {
        return call->answer_later(fail(ErrorKind::conflict, "there is no stream to hand to the source QEMU"));
    }
    qemu.connection().execute_with_fd("getfd", one("fdname", stream_name), stream, call->left(),
                                      call->handler([call](const json::value&) { call->answer(Done{}); }));
}

// Until its first 100 ms window is over QEMU's threshold is 0, and with that it skips the exact sync and
// stops the guest as soon as the stale count is 0 (qemu.md 0.2): a small or idle guest is through its first
// pass by then, and what it dirtied meanwhile would all be sent while it stands. So a migration opens at
// 64 KiB/s, which no guest finishes in a window, and is let go when `mbps` shows that one has passed.
void SrcGuest::Impl::on(const SrcStart&, const CallPtr& call) {
    opening = max_bandwidth_set == opening_max_bandwidth;
    call->ask("migrate", one("uri", "fd:" + std::string(stream_name)), [this, call](const json::value&) {
        if (opening) watch_opening();
        call->answer(Done{});
    });
}

void SrcGuest::Impl::watch_opening() {
    qemu.connection().execute("query-migrate", {}, opening_answer_timeout, [this](const Result<json::value>& reply) {
        if (!opening) return;
        if (!reply) return end_opening(!outcome_unknown(reply.error().kind));
        const MigrationStatus status = src_progress(*reply).status;
        const bool under_way = status == MigrationStatus::setup || status == MigrationStatus::active;
        if (!under_way) return end_opening(false);
        if (first_window_over(*reply)) return end_opening(true);
        qemu.after(poll_pause, [this] {
            if (opening) watch_opening();
        });
    });
}

void SrcGuest::Impl::end_opening(bool raise) {
    opening = false;
    if (!raise) return;
    max_bandwidth_set = max_bandwidth_wanted;
    // A refusal cannot be: the same parameter was taken before. Slow is all that it could lead to.
    qemu.connection().execute("migrate-set-parameters", one("max-bandwidth", max_bandwidth_wanted),
                              opening_answer_timeout, [](const auto&) {});
}

void SrcGuest::Impl::on(const SrcReadProgress&, const CallPtr& call) {
    call->ask("query-migrate", {}, [call](const json::value& reply) { call->answer(src_progress(reply)); });
}

void SrcGuest::Impl::on(const SrcAllowSwitchover& command, const CallPtr& call) {
    changes.add(call);
    const ByteRate basis = native ? command.bandwidth : command.cap;
    if (basis.per_second <= 0) {
        return call->answer_later(fail(ErrorKind::invalid, native ? "the switchover bandwidth must be above 0"
                                                                  : "this QEMU needs a cap to bound its own estimate"));
    }
    if (!opening) return allow(call, command);
    call->again(poll_pause, "the first window of the migration", [this, call, command] { on(command, call); });
}

void SrcGuest::Impl::allow(const CallPtr& call, const SrcAllowSwitchover& command) {
    if (native) return set_parameters(call, native_switchover(command.budget, command.bandwidth));
    const SwitchoverParameters wanted = emulated_switchover(command.budget, command.cap);
    const std::int64_t lower = wanted.max_bandwidth.value_or(0);
    // The window that is open has begun under the old maximum: where that was much higher (2 % is within
    // what the stream's pacing keeps free), its estimate could admit more than the budget. So the new
    // maximum goes first and the limit follows when only windows under it count.
    const bool steep = max_bandwidth_set == 0 || max_bandwidth_set - lower > max_bandwidth_set / 50;
    if (!steep) return set_parameters(call, wanted);
    max_bandwidth_set = lower;
    call->ask("migrate-set-parameters", one("max-bandwidth", lower), [this, call, wanted](const json::value&) {
        call->again(two_windows, "QEMU's next estimate of the bandwidth",
                    [this, call, wanted] { set_parameters(call, wanted); });
    });
}

// ---- Switchover and the ways back ------------------------------------------------------------------

void SrcGuest::Impl::on(const SrcContinue&, const CallPtr& call) {
    call->order("migrate-continue", one("state", "pre-switchover"));
}

void SrcGuest::Impl::on(const SrcYank&, const CallPtr& call) {
    json::array instances;
    instances.push_back(one("type", "migration"));
    qemu.connection().execute_out_of_band("yank", one("instances", std::move(instances)), call->left(),
                                          call->handler([call](const json::value&) { call->answer(Done{}); }));
}

void SrcGuest::Impl::on(const SrcReadRunState&, const CallPtr& call) {
    call->ask("query-status", {}, [call](const json::value& reply) {
        const auto state = run_state_reply(reply);
        if (!state) return call->answer(std::unexpected(state.error()));
        call->answer(state->state);
    });
}

void SrcGuest::Impl::poll_forgotten(const CallPtr& call) {
    call->ask_ahead("query-yank", {}, [this, call](const json::value& reply) {
        if (!yankable_migration(reply)) return call->answer(Done{});
        call->again(poll_pause, "the source QEMU's clean-up of the migration", [this, call] { poll_forgotten(call); });
    });
}

// Parameters first: they are never refused, capabilities are while a migration is cleaned up.
void SrcGuest::Impl::on(const SrcPutBack& command, const CallPtr& call) {
    opening = false;
    changes.give_up();
    const auto put_back = [this, call, script = command.script] {
        if (!found) return run_script(call, script);
        call->ask("migrate-set-parameters", found->parameters,
                  [this, call](const json::value&) { put_back_capabilities(call); });
    };
    // A descriptor that no migration took would stay open in QEMU; most often there is none by now.
    call->ask_either_way("closefd", one("fdname", stream_name), put_back);
}

void SrcGuest::Impl::put_back_capabilities(const CallPtr& call) {
    const auto done = [this, call] {
        found.reset();
        call->answer(Done{});
    };
    if (!found) return done();
    const auto restored = capabilities_to_restore(Side::source, *found);
    if (restored.empty()) return done();
    call->ask("migrate-set-capabilities", capability_arguments(restored), [done](const json::value&) { done(); });
}

void SrcGuest::Impl::on(const SrcAnnounce&, const CallPtr& call) {
    call->order("announce-self", announce_arguments());
}

/// Line by line; each is a whole command (settings.hpp: put_back_script).
void SrcGuest::Impl::run_script(const CallPtr& call, std::string_view script) {
    if (script.empty()) return call->answer(Done{});
    const auto end = std::min(script.find('\n'), script.size());
    const std::string rest(script.substr(std::min(end + 1, script.size())));
    boost::system::error_code problem;
    const json::value line = json::parse(json::string_view(script.data(), end), problem);
    const std::string command(text_of(member(line, "execute")));
    const json::value* arguments = member(line, "arguments");
    if (problem || command.empty() || arguments == nullptr || !arguments->is_object()) {
        return call->answer(fail(ErrorKind::corrupt, "what is kept of the source's settings cannot be read"));
    }
    call->ask(command, arguments->get_object(), [this, call, rest](const json::value&) { run_script(call, rest); });
}

// ---- The end ---------------------------------------------------------------------------------------

void SrcGuest::Impl::on(const SrcEnd&, const CallPtr& call) {
    const auto& process = qemu.process();
    if (process && process->dead()) return call->answer_later(Done{});
    if (!process && qemu.lost()) {
        if (told_to_quit) return call->answer_later(Done{});
        return call->answer_later(fail(ErrorKind::unavailable,
                                       "the source QEMU's process cannot be seen from here, and its monitor is gone"));
    }
    ends.push_back(call);
    qemu.after(call->left(), [this, call] {
        std::erase(ends, call);
        call->answer(fail(ErrorKind::timed_out, "the source QEMU was not seen to end in time"));
    });
    told_to_quit = true;
    // Its death or the loss of the connection answers the call, not the reply.
    if (!qemu.lost()) qemu.connection().execute("quit", {}, call->left(), [](const auto&) {});
    if (!process) return;
    qemu.after(qemu.lost() ? Duration{0} : quit_grace, [this, call] {
        if (std::ranges::find(ends, call) == ends.end()) return;
        if (auto killed = qemu.process()->kill(); !killed) {
            std::erase(ends, call);
            call->answer(std::unexpected(killed.error()));
        }
    });
}

// ---- The face --------------------------------------------------------------------------------------

SrcGuest::SrcGuest(Loop& loop, std::string monitor_path, std::function<void(Result<void>)> on_ready,
                   OnNotice on_notice)
    : impl_(std::make_unique<Impl>(loop, std::move(monitor_path), std::move(on_ready), std::move(on_notice))) {}

SrcGuest::~SrcGuest() = default;

void SrcGuest::submit(const SrcCommand& command, Duration timeout, OnAnswer on_answer) {
    const auto call = std::make_shared<Call>(impl_->qemu, timeout, std::move(on_answer));
    std::visit([this, &call](const auto& c) { impl_->on(c, call); }, command);
}

void SrcGuest::set_stream(int fd) { impl_->stream = fd; }

}  // namespace segue::qemu
