// Ending what was not accepted: its QEMU seen dead and the tombstone durable, in whichever order.
#include <fmt/format.h>

#include <utility>

#include "receive/session.hpp"

namespace segue::receive {
namespace {

constexpr Duration kill_max = std::chrono::seconds{2};
constexpr Duration kill_again = std::chrono::milliseconds{500};

}  // namespace

void Session::on(const Abort& m) {
    switch (stage_) {
        case Stage::accepting:
        case Stage::accepted:
        case Stage::running:
        case Stage::died:
            return send(Refused{m.request, fmt::format("a word was accepted: the guest belongs here (stage {})",
                                                       to_string(stage_)), dead_});
        case Stage::refused:
        case Stage::aborted: return send(Aborted{m.request});
        case Stage::idle:
        case Stage::orphan:
        case Stage::preparing:
        case Stage::prepared:
        case Stage::listening:
        case Stage::connected:
        case Stage::ending: break;
        case Stage::greeting:
        case Stage::recalling:
        case Stage::over: return;
    }
    if (aborts_.size() >= outstanding_max) {
        return fail_request(m.request, ErrorKind::conflict, "it is being aborted already");
    }
    aborts_.push_back(m.request);
    if (stage_ != Stage::ending) return end("aborted by the source: " + m.reason);
    if (!dead_ && !killing_ && !record_first()) kill();
    if (tombstone_ == Tombstone::failed) write_tombstone();
}

/// From here on no word is taken, whatever becomes of the kill and the record.
void Session::end(std::string why) {
    log("ending the destination: " + why);
    note_end(why);
    stage_ = Stage::ending;
    effects_.emplace_back(CloseListener{});
    if (word_ && !taking_back_) refuse_word(std::move(why));
    if (!record_first()) kill();
    write_tombstone();
    maybe_ended();
}

/// An accepted guest is killed only once it is on the disk that it never ran: whoever finds `accepted` and no QEMU
/// must take the guest for one that ran and died, and the source's whole copy would be lost for it.
bool Session::record_first() const {
    return taking_back_ && recorded_accepted_ && !dead_ && tombstone_ != Tombstone::durable;
}

void Session::kill() {
    if (dead_ || killing_ || ready_waits_) return;
    if (have_qemu_) {
        killing_ = true;
        return ask_qemu(DstKill{}, kill_max, &Session::on_killed);
    }
    if (recalled_.qemu_alive) {
        ready_waits_ = true;
        effects_.emplace_back(AttachQemu{recalled_.monitor});
        return;
    }
    dead_ = true;  // There never was one.
}

void Session::on_killed(const Result<GuestAnswer>& answer) {
    killing_ = false;
    if (answer) return qemu_died();
    log("the destination's QEMU was not seen dead: " + to_string(answer.error()));
    if (stage_ == Stage::ending) kill_again_at_ = now_ + kill_again;
}

void Session::qemu_died() {
    if (dead_) return;
    dead_ = true;
    have_qemu_ = false;
    kill_again_at_.reset();
    read_again_at_.reset();
    switch (stage_) {
        case Stage::recalling:
            if (!accepted_) return greet(Stage::orphan);
            return greet(Stage::died);
        case Stage::orphan:
        case Stage::preparing:
        case Stage::prepared:
        case Stage::listening:
        case Stage::connected:
            end("its QEMU ended");
            return send(Died{false});  // After the refusal of a word under way.
        case Stage::accepting:
            // `cont` was never sent.
            taking_back_ = true;
            end("its QEMU ended before the guest was continued");
            [[fallthrough]];
        case Stage::ending:
            // Before the tombstone is durable: the source's guest may be standing and wait for this.
            if (!taking_back_) send(Died{false});
            else if (word_) send(Refused{*std::exchange(word_, std::nullopt), "the guest did not run here", true});
            return maybe_ended();
        case Stage::accepted:
            if (cont_ == ContAnswer::refused) {
                taking_back_ = true;
                end("its QEMU refused to continue the guest, and ended");
                if (word_) send(Refused{*std::exchange(word_, std::nullopt), "the guest did not run here", true});
                return;
            }
            [[fallthrough]];
        case Stage::running:
            stage_ = Stage::died;
            send(Died{true});
            if (word_) {
                fail_request(*std::exchange(word_, std::nullopt), ErrorKind::unavailable,
                             "its QEMU ended after the word was accepted; whether the guest ran is not known");
            }
            return;
        case Stage::greeting:
        case Stage::idle:
        case Stage::refused:
        case Stage::aborted:
        case Stage::died:
        case Stage::over: return;
    }
}

void Session::write_tombstone() {
    if (tombstone_ == Tombstone::writing || tombstone_ == Tombstone::durable) return;
    tombstone_ = Tombstone::writing;
    effects_.emplace_back(Write{Record::tombstone, {}});
}

void Session::on_tombstone_written(const Result<void>& durable) {
    if (durable) {
        tombstone_ = Tombstone::durable;
        if (taking_back_ && stage_ == Stage::ending) kill();
        return maybe_ended();
    }
    tombstone_ = Tombstone::failed;
    log("the tombstone could not be made durable: " + to_string(durable.error()));
    if (record_first()) kill_again_at_ = now_ + kill_again;
    // This session takes no word all the same; but none may say `aborted` that another could forget.
    for (const auto request : std::exchange(aborts_, {})) {
        fail_request(request, ErrorKind::refused, "the tombstone could not be made durable; abort again",
                     to_string(durable.error()));
    }
}

void Session::maybe_ended() {
    if (stage_ != Stage::ending || !dead_ || tombstone_ != Tombstone::durable) return;
    stage_ = taking_back_ ? Stage::refused : Stage::aborted;
    for (const auto request : std::exchange(aborts_, {})) send(Aborted{request});
}

}  // namespace segue::receive
