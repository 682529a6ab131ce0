// From the greeting to a QEMU that has the stream: what the source may ask, and in which order.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "receive/codec.hpp"
#include "receive/session.hpp"

namespace segue::receive {
namespace {

constexpr Duration change_max = std::chrono::seconds{5};
constexpr Duration read_max = std::chrono::milliseconds{200};

/// What is not as the source expects it; empty when all is.
std::string unlike(const Expected& expected, const GuestFacts& facts) {
    if (!expected.uuid.empty() && expected.uuid != facts.uuid) return "its uuid is " + facts.uuid;
    if (!expected.machine_type.empty() && expected.machine_type != facts.machine_type)
        return "its machine type is " + facts.machine_type;
    if (expected.vcpus != 0 && expected.vcpus != facts.vcpus) return fmt::format("it has {} vCPUs", facts.vcpus);
    if (expected.memory.count != 0 && expected.memory != facts.memory)
        return fmt::format("it has {} bytes of memory", facts.memory.count);
    return {};
}

const RunState* state_in(const Result<GuestAnswer>& answer) {
    return answer ? std::get_if<RunState>(&*answer) : nullptr;
}

}  // namespace

// ---- Greeting --------------------------------------------------------------------------------------

void Session::on(const Hello& m) {
    if (!common_version(ours_hello_, m)) {
        fail_request(RequestId{0}, ErrorKind::unsupported,
                     fmt::format("the source speaks versions {} to {} of the protocol, this segue {} to {}: update the "
                                 "older one", m.versions_min, m.versions_max, ours_hello_.versions_min,
                                 ours_hello_.versions_max));
        return close_control("no common version with the source");
    }
    if (!m.move) return close_control("the source named no move");
    stage_ = Stage::recalling;
    effects_.emplace_back(Recall{*m.move});
}

void Session::on(const Recalled& event) {
    if (stage_ != Stage::recalling) return;
    recalled_ = event;
    accepted_ = recorded_accepted_ = event.accepted;
    if (event.tombstone) {
        tombstone_ = Tombstone::durable;
        if (!event.qemu_alive) {
            dead_ = true;
            return greet(Stage::aborted);
        }
        greet(Stage::ending);  // It was decided; the last session did not live to see it done.
        return kill();
    }
    if (!event.qemu_alive) {
        dead_ = event.begun;
        return greet(event.accepted ? Stage::died : event.begun ? Stage::orphan : Stage::idle);
    }
    ready_waits_ = true;
    effects_.emplace_back(AttachQemu{event.monitor});
}

void Session::on_recalled_state(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::recalling) return;  // It died meanwhile.
    const auto* state = state_in(answer);
    const bool running = state && *state == RunState::running;
    if (running && !recalled_.ran) effects_.emplace_back(Write{Record::ran, {}});
    greet(running || recalled_.ran ? Stage::running : Stage::accepted);
}

void Session::greet(Stage stage) {
    stage_ = stage;
    send(ours_hello_);
    // With nothing to accept they carry no word, but say that the connection lives.
    if (stage != Stage::idle) start_leases();
}

void Session::start_leases() {
    leasing_ = true;
    next_lease_ = now_;
    alive_at_ = now_;
}

// ---- Preparing -------------------------------------------------------------------------------------

void Session::on(const Prepare& m) {
    if (stage_ != Stage::idle) {
        return fail_request(m.request, ErrorKind::conflict, "this move has a destination, or had one, already");
    }
    if (m.monitor.empty() && m.command.empty()) {
        return fail_request(m.request, ErrorKind::unsupported, "this destination does not start VMs by definition");
    }
    prepare_ = m;
    stage_ = Stage::preparing;
    prepare_waits_ = true;
    alive_at_ = now_;
    // Before anything exists: a session that comes after us must find what we leave.
    effects_.emplace_back(Write{Record::begun, m.monitor});
}

void Session::on_begun_written(const Result<void>& durable) {
    if (stage_ != Stage::preparing) return;
    if (!durable) {
        stage_ = Stage::idle;
        prepare_waits_ = false;
        return fail_request(prepare_.request, ErrorKind::refused, "the destination's journal cannot be written",
                            to_string(durable.error()));
    }
    ready_waits_ = true;
    if (prepare_.command.empty()) {
        effects_.emplace_back(AttachQemu{prepare_.monitor});
    } else {
        started_ = true;
        effects_.emplace_back(StartQemu{prepare_.command});
    }
}

void Session::on(const QemuReady& event) {
    ready_waits_ = false;
    have_qemu_ = event.ready.has_value();
    if (stage_ == Stage::ending) {
        if (std::exchange(prepare_waits_, false)) {
            fail_request(prepare_.request, ErrorKind::conflict, "the move was ended meanwhile");
        }
        if (!have_qemu_ && recalled_.qemu_alive) {
            // It hangs or its monitor is taken; its process is known from the journal all the same.
            log("the monitor of this move's QEMU cannot be reached: " + to_string(event.ready.error()));
            have_qemu_ = true;
        }
        kill();
        return maybe_ended();
    }
    if (stage_ == Stage::recalling) {
        if (!have_qemu_) {
            monitor_lost_ = true;
            log("the QEMU of this move cannot be reached: " + to_string(event.ready.error()));
            return greet(accepted_ ? Stage::accepted : Stage::orphan);
        }
        if (!accepted_) return greet(Stage::orphan);
        guest_claimed_ = true;
        return ask_qemu(DstReadRunState{}, read_max, &Session::on_recalled_state);
    }
    if (stage_ != Stage::preparing) return;
    // The source could not give a sign of life before: leases begin when its QEMU is there.
    alive_at_ = now_;
    prepare_waits_ = false;
    if (!have_qemu_) {
        stage_ = Stage::idle;
        started_ = false;
        const auto& error = event.ready.error();
        return fail_request(prepare_.request, error.kind, error.message, error.source);
    }
    ours_ = started_;
    if (ours_) note_guardian();
    ask_qemu(DstInspect{}, change_max, &Session::on_facts);
}

void Session::on_facts(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::preparing) {
        return fail_request(prepare_.request, ErrorKind::conflict, "the move was ended meanwhile");
    }
    const auto* facts = answer ? std::get_if<GuestFacts>(&*answer) : nullptr;
    Result<void> fits{};
    if (!facts) {
        fits = fail(ErrorKind::corrupt, "the destination gave no facts");
        if (!answer) fits = std::unexpected(answer.error());
    } else if (auto what = unlike(prepare_.expected, *facts); !what.empty()) {
        fits = fail(ErrorKind::refused, "the destination is not what the source expects: " + what);
    } else if (auto line = encode(Prepared{prepare_.request, *facts}); !line) {
        fits = std::unexpected(line.error());
    }
    if (!fits) {
        fail_request(prepare_.request, fits.error().kind, fits.error().message, fits.error().source);
        if (started_) return end("the destination could not be used");
        stage_ = Stage::idle;
        have_qemu_ = false;
        return;
    }
    stage_ = Stage::prepared;
    start_leases();
    if (ours_) note_guardian();
    send(Prepared{prepare_.request, *facts});
}

// ---- Settings --------------------------------------------------------------------------------------

void Session::order(RequestId request, DstCommand command) {
    // Once the guest runs here, only its settings may still be put back.
    const bool after_the_move = stage_ == Stage::running && std::holds_alternative<DstPutBack>(command);
    if (((stage_ != Stage::prepared || listen_) && !after_the_move) || order_) {
        return fail_request(request, ErrorKind::conflict,
                            fmt::format("not in stage {}, or not two at once", to_string(stage_)));
    }
    if (guardian_gone_ && !after_the_move) {
        return fail_request(request, ErrorKind::refused, "the guardian beside the destination ended");
    }
    order_ = request;
    ours_ = true;
    note_guardian();
    ask_qemu(std::move(command), change_max, &Session::on_ordered);
}

void Session::on(const ClearAutostart& m) {
    order(m.request, DstClearAutostart{});
    if (order_ == m.request) autostart_cleared_ = true;
}

void Session::on(const Settings& m) {
    order(m.request, DstPrepare{});
    if (order_ == m.request) settings_made_ = true;
}

void Session::on(const PutBack& m) {
    // The source undoes the move without waiting for what it asked for before.
    if (order_ && !putting_back_ && !put_back_waits_) {
        put_back_waits_ = m.request;
        return;
    }
    // The data connection cannot be made: without a listener this is a QEMU that waits, as before.
    if (stage_ == Stage::listening && !order_) {
        effects_.emplace_back(CloseListener{});
        listen_.reset();
        stage_ = Stage::prepared;
    }
    order(m.request, DstPutBack{});
    if (order_ == m.request) putting_back_ = true;
}

void Session::on_ordered(const Result<GuestAnswer>& answer) {
    const RequestId request = *std::exchange(order_, std::nullopt);
    const bool was_put_back = std::exchange(putting_back_, false);
    if (!answer) {
        fail_request(request, answer.error().kind, answer.error().message, answer.error().source);
    } else {
        if (was_put_back && stage_ == Stage::prepared) {
            ours_ = started_;
            settings_made_ = false;
            note_guardian();
        }
        send(Did{request});
    }
    if (const auto waits = std::exchange(put_back_waits_, std::nullopt)) on(PutBack{*waits});
}

// ---- The data connection ---------------------------------------------------------------------------

void Session::on(const Listen& m) {
    if (stage_ != Stage::prepared || order_ || listen_ || !autostart_cleared_ || !settings_made_) {
        return fail_request(m.request, ErrorKind::conflict, "listening comes once, after its settings were made");
    }
    listen_ = m;
    listened_ = true;
    ask_qemu(DstReadRunState{}, change_max, &Session::on_listen_state);
}

void Session::on_listen_state(const Result<GuestAnswer>& answer) {
    const auto* state = state_in(answer);
    if (stage_ == Stage::prepared && state && *state == RunState::inmigrate) {
        effects_.emplace_back(OpenListener{*listen_});
        return;
    }
    fail_request(std::exchange(listen_, std::nullopt)->request, ErrorKind::conflict,
                 "the destination does not wait for a migration", answer ? "" : to_string(answer.error()));
}

void Session::on(const ListenerOpen& event) {
    if (!listen_) return;
    const RequestId request = listen_->request;
    if (!event.address || stage_ != Stage::prepared) {
        listen_.reset();
        if (event.address) effects_.emplace_back(CloseListener{});
        return fail_request(request, event.address ? ErrorKind::conflict : event.address.error().kind,
                            "the destination could not listen", event.address ? "" : to_string(event.address.error()));
    }
    stage_ = Stage::listening;
    send(Listening{request, event.address->host, event.address->port});
}

void Session::on(const DataConnected& event) {
    // It was on its way when the settings were put back: its one migrate-incoming is used up.
    if (stage_ == Stage::prepared) return end("a data connection came that was no longer awaited");
    if (stage_ != Stage::listening) return;
    effects_.emplace_back(CloseListener{});
    if (!event.handed_over) {
        return end("QEMU did not take the data connection: " + to_string(event.handed_over.error()));
    }
    stage_ = Stage::connected;
    send(Connected{});
}

// ---- The truth -------------------------------------------------------------------------------------

void Session::on(const Status& m) {
    if (status_.size() >= outstanding_max) {
        return fail_request(m.request, ErrorKind::conflict, "too many questions at once");
    }
    status_.push_back(m.request);
    if (!have_qemu_) return reply_status(RunState::other);
    if (status_.size() == 1) ask_qemu(DstReadRunState{}, read_max, &Session::on_status_state);
}

void Session::on_status_state(const Result<GuestAnswer>& answer) {
    const auto* state = state_in(answer);
    reply_status(state ? *state : RunState::other);
}

void Session::reply_status(RunState state) {
    const bool alive = have_qemu_ || (recalled_.qemu_alive && !dead_);
    for (const auto request : std::exchange(status_, {})) {
        send(StatusReply{request, stage_, state, accepted_, tombstone_ == Tombstone::durable, alive});
    }
}

}  // namespace segue::receive
