#include "app/segue/receive/receive_shell.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>

#include "app/segue/host/memory_promise.hpp"
#include "app/segue/host/receive_listener.hpp"
#include "app/segue/host/receive_look.hpp"
#include "app/segue/process/qemu_process.hpp"
#include "app/segue/receive/receive_control.hpp"
#include "app/segue/receive/receive_journal.hpp"
#include "app/segue/receive/receive_qemu.hpp"
#include "app/segue/vm/vm_arrival.hpp"
#include "app/segue/words/host_name.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/fault_point.hpp"
#include "receive/session.hpp"

namespace segue {
namespace {

constexpr Duration take_stream_max = std::chrono::seconds{5};
constexpr Duration close_journal_max = std::chrono::seconds{5};
constexpr Duration drain_max = std::chrono::seconds{1};

/// Where the tests stop this process (named in tests/; nothing in a shipped build).
void pass_fault_points(receive::Stage stage) {
    using receive::Stage;
    if (stage == Stage::prepared) SEGUE_FAULT_POINT("receive:prepared");
    if (stage == Stage::listening) SEGUE_FAULT_POINT("receive:listening");
    if (stage == Stage::connected) SEGUE_FAULT_POINT("receive:connected");
    if (stage == Stage::accepting) SEGUE_FAULT_POINT("receive:accepting");
    if (stage == Stage::accepted) SEGUE_FAULT_POINT("receive:accepted");
    if (stage == Stage::running) SEGUE_FAULT_POINT("receive:running");
    if (stage == Stage::ending) SEGUE_FAULT_POINT("receive:ending");
}

}  // namespace

struct ReceiveShell::Impl {
    Loop& loop;
    Where where;
    Sink& err;
    std::function<void(int)> on_exit;
    receive::Session session;
    std::unique_ptr<ReceiveJournal> journal;
    std::deque<receive::SessionEvent> events;  ///< Bounded: what is outstanding, and 64 KiB of lines a turn.
    bool draining = false;
    bool leaving = false;
    std::optional<Loop::TimerId> timer;
    std::optional<Loop::TimerId> exit_timer;
    std::string src_host;
    std::string move;
    std::string asked_monitor;  ///< Of the newest `prepare`; Write does not say that of a command.
    bool accepted_before = false;
    std::optional<VmArrival> arrival;  ///< Of a VM that is moved by its definition.
    bool arrival_found = false;        ///< It was begun by an earlier session.
    ReceiveLook look;
    std::optional<receive::RequestId> held;  ///< Of the `prepare` that waits for the look's end.
    std::vector<Obstacle> obstacles;  ///< That it found and that keep no QEMU from starting.
    bool only_looks = false;
    std::optional<MemoryPromise> promise;
    ReceiveQemu qemu;
    std::unique_ptr<ReceiveListener> listener;
    ReceiveControl control;

    Impl(Loop& l, Where w, Sink& e, std::unique_ptr<ReceiveJournal> j, std::function<void(int)> x)
        : loop(l),
          where(std::move(w)),
          err(e),
          on_exit(std::move(x)),
          session(receive::Hello{receive::version_min, receive::version_max, where.version, this_host_name(),
                                 {std::string(receive::vm_feature), std::string(receive::sockets_feature)}, {}}),
          journal(std::move(j)),
          look(l, where.look_up),
          qemu(l, where.guard_program,
               {[this](const GuestNotice& notice) { feed(notice); }, [this] { feed(receive::GuardianGone{}); }}),
          control(l, where.in, where.out,
                  {[this](receive::Message message) { hear(std::move(message)); },
                   [this](const std::string& why) {
                       close_streams();
                       feed(receive::PeerGone{why});
                   }}) {}

    ~Impl() {
        if (timer) loop.cancel(*timer);
        if (exit_timer) loop.cancel(*exit_timer);
    }

    // ---- events in -----------------------------------------------------------------------------------

    void hear(receive::Message message) {
        if (const auto* hello = std::get_if<receive::Hello>(&message)) src_host = hello->host;
        // What comes at the wrong time is the session's to refuse.
        if (auto* prepare = std::get_if<receive::Prepare>(&message);
            prepare && session.stage() == receive::Stage::idle) {
            return look_first(std::move(*prepare));
        }
        feed(receive::FromPeer{std::move(message)});
    }

    /// All that is in the way on this host at once, before anything is started for it.
    ///
    /// What else comes meanwhile does not queue up behind it but goes to the session at once: an abort must not wait
    /// for a name service that hangs. With whichever event the session leaves `idle`, the prepare that is held back is
    /// given up and answered (`pump`), so none is ever taken but from `idle`; and there is one at a time.
    void look_first(receive::Prepare prepare) {
        if (held) return refuse_prepare(prepare.request, "this host is being looked at for another prepare");
        drop_arrival();  // Of an earlier prepare, which started nothing.
        if (prepare.vm && !build_command(prepare)) return;
        held = prepare.request;
        look.look(prepare, [this, prepare](ReceiveLook::Found found) mutable {
            held.reset();
            obstacles = std::move(found.data);
            if (found.network.empty()) return take(std::move(prepare));
            // QEMU would refuse to start: these go with the rest.
            obstacles.insert(obstacles.begin(), found.network.begin(), found.network.end());
            std::string all;
            for (const Obstacle& one : obstacles) all += (all.empty() ? "" : "; ") + one.what;
            say("started nothing: " + all);
            drop_arrival();
            control.send(receive::Failed{prepare.request, {ErrorKind::refused, all, {}}, obstacles});
        });
    }

    void give_up_held() {
        look.give_up();
        drop_arrival();
        refuse_prepare(*std::exchange(held, std::nullopt), "the move was ended meanwhile");
    }

    void refuse_prepare(receive::RequestId request, std::string why) {
        say("started nothing: " + why);
        control.send(receive::Failed{request, {ErrorKind::conflict, std::move(why), {}}});
    }

    void take(receive::Prepare prepare) {
        only_looks = prepare.only_looks;
        asked_monitor = prepare.monitor;
        if (!prepare.command.empty()) asked_monitor = monitor_in(prepare.command).value_or("");
        feed(receive::FromPeer{std::move(prepare)});
    }

    /// From the definition, with this host's values; the session knows commands only.
    [[nodiscard]] bool build_command(receive::Prepare& prepare) {
        auto begun = VmArrival::begin(where.state_folder, move, src_host, *prepare.vm);
        if (!begun) {
            say("refused a VM: " + to_string(begun.error()));
            control.send(receive::Failed{prepare.request, begun.error()});
            return false;
        }
        arrival.emplace(std::move(*begun));
        journal->know_vm(arrival->name());
        prepare.command = arrival->command();
        return true;
    }

    /// Once: from then on the VM's folder belongs to whoever takes its lock.
    void drop_arrival() {
        if (arrival) arrival->abandon();
        arrival.reset();
    }

    void feed(receive::SessionEvent event) {
        events.push_back(std::move(event));
        pump();
    }
    /// Never re-entered: what an effect causes at once waits in the queue for its turn.
    void pump() {
        if (draining || leaving) return;
        draining = true;
        while (!events.empty() && !leaving) {
            const receive::SessionEvent next = std::move(events.front());
            events.pop_front();
            const receive::Stage before = session.stage();
            const auto effects = session.step(next, loop.now());
            // Before the answer to what ended it, and before the connection is closed for it.
            if (held && session.stage() != receive::Stage::idle) give_up_held();
            // Before what the new stage asks for is done.
            if (session.stage() != before) pass_fault_points(session.stage());
            for (const auto& effect : effects) {
                std::visit([this](const auto& e) { perform(e); }, effect);
            }
            if (session.stage() == receive::Stage::running && arrival) arrival->arrived();
        }
        draining = false;
        arm();
    }

    void arm() {
        if (timer) loop.cancel(*std::exchange(timer, std::nullopt));
        if (leaving) return;
        timer = loop.at(session.wake_at(), [this] {
            timer.reset();
            feed(receive::Tick{});
        });
    }

    // ---- effects out ---------------------------------------------------------------------------------

    void perform(const receive::Send& effect) { control.send(effect.message); }
    void perform(const receive::Log& effect) { say(effect.line); }

    void perform(const receive::Recall& effect) {
        move = effect.move.hex;
        journal->recall(effect.move, src_host, [this](Result<receive::Recalled> known) {
            if (!known) return refuse(known.error());
            accepted_before = known->accepted;
            qemu.know(journal->left_qemu());
            if (known->begun) arrival = VmArrival::find(where.state_folder, move);
            arrival_found = arrival.has_value();
            feed(std::move(*known));
        });
    }

    void perform(const receive::StartQemu& effect) {
        const std::string folder = where.state_folder + "/receive";
        ::mkdir(folder.c_str(), 0700);
        const std::string log = arrival ? arrival->log_path() : folder + "/" + move + ".log";
        const ProcessPlace place = arrival ? ProcessPlace{arrival->environment(), "/"} : ProcessPlace{};
        qemu.start(effect.command, log, place, [this](Result<void> r) { ready(std::move(r)); });
    }
    void perform(const receive::AttachQemu& effect) {
        qemu.attach(effect.monitor, !accepted_before, [this](Result<void> r) { ready(std::move(r)); });
    }
    void ready(Result<void> result) {
        if (result) journal->know_qemu(qemu.pid());
        if (result && arrival && !arrival_found) {
            if (auto known = arrival->know_process(qemu.pid()); !known) say(to_string(known.error()));
        }
        feed(receive::QemuReady{std::move(result)});
    }

    void perform(const receive::Qemu& effect) {
        qemu.submit(effect.command, effect.timeout, [this, id = effect.id](Result<GuestAnswer> value) {
            if (value) add_of_host(*value);
            feed(receive::QemuAnswer{id, std::move(value)});
        });
    }

    /// What this host knows beside QEMU and its process.
    void add_of_host(GuestAnswer& answer) {
        auto* facts = std::get_if<GuestFacts>(&answer);
        if (facts == nullptr) return;
        facts->host.obstacles = obstacles;
        const Bytes needs{std::max<std::int64_t>(facts->memory.count - facts->host.memory_taken.count, 0)};
        // Said before the others are read: of two that ask at once, one at least sees the other.
        if (!only_looks && !promise) {
            promise.emplace(where.state_folder, move, needs, facts->pid, facts->host.memory_taken);
        }
        facts->host.memory_promised = promised_to_others(where.state_folder, move);
    }

    void perform(const receive::OpenListener& effect) {
        journal->write_listening();
        listener = std::make_unique<ReceiveListener>(
            loop, effect.request,
            ReceiveListener::Callbacks{
                [this](Result<DataAddress> address) { feed(receive::ListenerOpen{std::move(address)}); },
                [this](Fd connection) {
                    qemu.take_stream(std::move(connection), take_stream_max, [this](Result<void> taken) {
                        feed(receive::DataConnected{std::move(taken)});
                    });
                },
                [this](std::string who) { feed(receive::StrangerRefused{std::move(who)}); }},
            where.look_up);
    }
    void perform(const receive::CloseListener&) {
        if (!listener) return;
        listener->close();
        // Later: this may be one of its own callbacks.
        loop.post([old = std::shared_ptr<ReceiveListener>(std::move(listener))] {});
    }

    void perform(const receive::Write& effect) {
        const bool begun = effect.record == receive::Record::begun;
        if (begun && asked_monitor.empty()) {
            // A command without a monitor: refused when it is started, and then there is nothing to find again.
            return loop.post([this] { feed(receive::Written{receive::Record::begun, {}}); });
        }
        journal->write(effect.record, begun ? asked_monitor : std::string(),
                       [this, record = effect.record](Result<void> durable) {
                           feed(receive::Written{record, std::move(durable)});
                       });
    }

    void perform(const receive::ClaimGuest&) { events.emplace_back(receive::Claimed{qemu.claim()}); }
    void perform(const receive::Note& effect) { qemu.note(effect.armed, effect.alive_at); }

    void perform(const receive::CloseControl&) {
        control.close();
        close_streams();
    }
    void perform(const receive::Exit& effect) {
        say(effect.why);
        leave(effect.status, effect.ended);
        settle_arrival(effect.stage);
    }

    /// What was not undone and did not arrive is left as it is, for the session that finishes the move.
    void settle_arrival(receive::Stage left_in) {
        using receive::Stage;
        if (!arrival) return;
        // Died: the guest is this host's, and crashed.
        if (left_in == Stage::running || left_in == Stage::died) arrival->arrived();
        const bool undone = left_in == Stage::aborted || left_in == Stage::refused || left_in == Stage::ending;
        if (undone || (left_in == Stage::idle && !arrival_found)) drop_arrival();
    }

    // ---- the end -------------------------------------------------------------------------------------

    void say(const std::string& line) { err.write("segue receive: " + plain_text(line) + "\n", Weight::kept); }

    /// Nothing is there yet, and nothing can be known: the peer is told, and that is all.
    void refuse(const Error& error) {
        say(to_string(error));
        control.send(receive::Failed{receive::RequestId{0}, error});
        leave(2);
    }

    /// So that the peer sees the end even while this process still has something to do.
    void close_streams() const {
        const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
        if (!nothing) return;
        ::dup2(nothing.get(), where.in);
        ::dup2(nothing.get(), where.out);
    }

    void leave(int status, receive::HowEnded how = {}) {
        leaving = true;
        if (listener) listener->close();
        // A QEMU that should be dead and is not stays the guardian's.
        if (status == 0) qemu.release();
        const std::string words = status == 0 ? std::string() : qemu.take_last_words();
        if (!words.empty()) say("its QEMU said: " + words);
        control.drain(drain_max);
        const auto end = [this, status](const Result<void>& closed) {
            if (!on_exit) return;
            if (!closed) say("the journal's record was not closed: " + to_string(closed.error()));
            std::exchange(on_exit, nullptr)(status);
        };
        exit_timer = loop.at(loop.now() + close_journal_max, [end] {
            end(fail(ErrorKind::timed_out, "its disk did not answer within 5 s"));
        });
        journal->close(status, std::move(how), end);
    }
};

ReceiveShell::ReceiveShell(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReceiveShell::~ReceiveShell() = default;

Result<std::unique_ptr<ReceiveShell>> ReceiveShell::open(Loop& loop, Where where, Sink& err,
                                                         std::function<void(int)> on_exit) {
    SEGUE_TRY(journal, ReceiveJournal::open(loop, where.state_folder));
    auto impl = std::make_unique<Impl>(loop, std::move(where), err, std::move(journal), std::move(on_exit));
    impl->arm();
    return std::unique_ptr<ReceiveShell>(new ReceiveShell(std::move(impl)));
}

void ReceiveShell::stop() { impl_->feed(receive::StopRequested{}); }

}  // namespace segue
