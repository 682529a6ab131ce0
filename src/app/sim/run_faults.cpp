// What each fault does to the running world.
#include <fmt/format.h>

#include <algorithm>

#include "app/sim/run.hpp"
#include "app/sim/words.hpp"

namespace segue::sim {
namespace {

using std::chrono::seconds;

constexpr Duration slow_fsync = seconds{1};

}  // namespace

void Run::strike() {
    if (scenario_.fault == Fault::none || !segue_->alive()) return;
    const auto stage = moment_of(stage_);
    if (!hurt(scenario_.fault)) {
        log("fault", "nothing was there to hurt");
        return;
    }
    // Of these only the command that they hurt counts.
    result_.struck = !harm_armed_;
    result_.struck_in = is_step(scenario_.moment) || scenario_.moment == Moment::stopping ? scenario_.moment : stage;
    struck_at_ = now();
    if (scenario_.cancel_on_top) {
        agenda().after(*scenario_.cancel_on_top, [this] { cancel("the user cancels on top"); });
    }
    if (!scenario_.second) return;
    agenda().after(scenario_.second_after, [this] {
        if (!healed_) static_cast<void>(hurt(*scenario_.second));
    });
}

bool Run::hurt(Fault fault) {
    log("fault", std::string(to_string(fault)));
    struck_with_.push_back(fault);
    if (hurt_at_all(fault)) return true;
    struck_with_.pop_back();
    return false;
}

bool Run::hurt_at_all(Fault fault) {
    if (needs_remote(fault)) return dst_host_ && hurt_remote(fault);
    if (fault == Fault::timeout_short || fault == Fault::cont_refused || fault == Fault::slow_flush) {
        if (fault == Fault::cont_refused) world_.refuse_dst_cont();
        if (fault == Fault::slow_flush) world_.slow_flush(length_of(fault));
        return true;
    }
    if (fault == Fault::lost_answer || fault == Fault::late_answer) {
        harm_armed_ = true;
        return !migration_.finished();
    }
    if (fault == Fault::user_cancel) {
        const bool hears = !migration_.finished();
        cancel("the user cancels");
        return hears;
    }
    if (fault == Fault::src_fsync_slow) src_disk_.slow_down(slow_fsync);
    if (fault == Fault::src_journal_fails) {
        src_disk_.fail_writes(true);
        lasts(fault, [this] { src_disk_.fail_writes(false); });
    }
    if (fault == Fault::src_fsync_slow || fault == Fault::src_journal_fails) return true;
    return hurt_link(fault) || hurt_qemu(fault) || hurt_source(fault);
}

bool Run::hurt_link(Fault fault) {
    const auto hold_control = [this](bool held) {
        if (!control_) return;
        for (const Way way : {Way::to_dst, Way::to_src}) control_->hold(way, held);
    };
    if (fault == Fault::return_path_lost) world_.lose_return_path();
    if (fault == Fault::link_collapse || fault == Fault::black_hole) {
        world_.link_factor(fault == Fault::black_hole ? 0 : 0.01);
        // The control connection may use the same wire.
        const bool both = fault == Fault::black_hole && scenario_.effect_happens;
        if (both) hold_control(true);
        lasts(fault, [this, both, hold_control] {
            world_.link_factor(1);
            if (both) hold_control(false);
        });
    }
    return fault == Fault::return_path_lost || fault == Fault::link_collapse || fault == Fault::black_hole;
}

bool Run::hurt_qemu(Fault fault) {
    const auto& truth = world_.truth();
    if (fault == Fault::dst_frozen && truth.dst_alive) {
        world_.freeze_dst(true);
        lasts(fault, [this] { world_.freeze_dst(false); });
        return true;
    }
    if (fault == Fault::dst_dies && truth.dst_alive) {
        world_.kill_dst();
        return true;
    }
    if (fault == Fault::src_dies && truth.src_alive) {
        world_.kill_src();
        return true;
    }
    if (fault == Fault::src_monitor_lost && truth.src_alive) {
        world_.lose_src_monitor();
        return true;
    }
    return false;
}

bool Run::hurt_source(Fault fault) {
    const auto& guardian = world_.guardian();
    const bool guarded = guardian.started() && guardian.alive() && !guardian.left();
    if (fault == Fault::guardian_killed || fault == Fault::segue_and_guardian_killed) {
        if (!guarded) return false;
        world_.kill_guardian();
        if (fault == Fault::segue_and_guardian_killed) end_segue("SIGKILL");
        return true;
    }
    if (fault == Fault::segue_killed) end_segue("SIGKILL");
    if (fault == Fault::segue_stalled) segue_->stall(length_of(fault));
    if (fault == Fault::src_host_lost) lose_src_host();
    return fault == Fault::segue_killed || fault == Fault::segue_stalled || fault == Fault::src_host_lost;
}

bool Run::hurt_remote(Fault fault) {
    const auto hold = [this](bool held) {
        for (const Way way : {Way::to_dst, Way::to_src}) control_->hold(way, held);
    };
    if (fault == Fault::receive_killed) return dst_host_->kill_receive();
    if (fault == Fault::dst_guardian_killed) return dst_host_->kill_guardian();
    // The guardian first, or it would end the QEMU in between.
    if (fault == Fault::receive_and_guardian_killed) {
        return dst_host_->receive_alive() && dst_host_->kill_guardian() && dst_host_->kill_receive();
    }
    if (fault == Fault::receive_stalled) {
        lasts(fault, [this] { dst_host_->freeze_receive(false); });
        return dst_host_->freeze_receive(true);
    }
    if (fault == Fault::both_segues_killed) {
        end_segue("SIGKILL");
        return dst_host_->kill_receive();
    }
    if (fault == Fault::control_cut) control_->cut(scenario_.notice_src, scenario_.notice_dst);
    if (fault == Fault::control_deaf_dst) control_->lose(Way::to_dst);
    if (fault == Fault::control_deaf_src) control_->lose(Way::to_src);
    if (fault == Fault::control_black_hole) {
        hold(true);
        lasts(fault, [hold] { hold(false); });
    }
    if (fault == Fault::dst_host_lost) {
        world_.link_factor(0);
        for (const Way way : {Way::to_dst, Way::to_src}) control_->lose(way);
        dst_host_->lose_power();
    }
    if (fault == Fault::dst_fsync_slow) dst_host_->disk().slow_down(slow_fsync);
    if (fault == Fault::dst_journal_fails) {
        dst_host_->disk().fail_writes(true);
        lasts(fault, [this] { dst_host_->disk().fail_writes(false); });
    }
    auto* client = segue_->remote();
    if (client != nullptr && fault == Fault::word_late) client->delay_word(length_of(fault));
    if (client != nullptr && fault == Fault::duplicate_answer) client->repeat_answer(scenario_.which, length_of(fault));
    return client != nullptr || (fault != Fault::word_late && fault != Fault::duplicate_answer);
}

void Run::end_segue(const std::string& how) {
    if (!segue_->alive()) return;
    log("fault", "Segue ends: " + how);
    segue_->kill();
    if (!finished_at_) gone_at_ = now();
    if (!killed_by_guardian_) world_.kill_segue();
    after_segue();
}

/// With all that runs on it; where the destination is on the same host, with that as well.
void Run::lose_src_host() {
    world_.link_factor(0);
    if (control_) {
        for (const Way way : {Way::to_dst, Way::to_src}) control_->lose(way);
    }
    segue_->vanish();
    if (!recovers_.empty()) recovers_.back()->vanish();
    world_.lose_src_power();
    if (!dst_host_) world_.kill_dst();
    src_disk_.lose_power();
    boot_id_ = "boot-a-2";
    if (!finished_at_) gone_at_ = now();
    world_.kill_segue();
    after_segue();
}

/// What the armed fault does to this command.
Harm Run::harm_of(const Command& command) {
    // Shared memory and files of this host, not a connection.
    if (std::holds_alternative<GuardCommand>(command) || std::holds_alternative<BrakeCommand>(command)) return {};
    if (!harm_armed_) return {};
    if (harm_in_++ < scenario_.which) return {};
    harm_armed_ = false;
    result_.struck = true;
    if (struck_with(Fault::late_answer)) {
        log("fault", fmt::format("the answer to {} comes late", name_of(command)));
        return {true, false, std::min<Duration>(scenario_.length, seconds{20})};
    }
    log("fault", fmt::format("the answer to {} is lost, {}", name_of(command),
                             scenario_.effect_happens ? "its effect is not" : "as is its effect"));
    return {scenario_.effect_happens, true, {}};
}

}  // namespace segue::sim
