#pragma once
/// \file  The guardian in virtual time: the very rules of guard/rules.hpp on the very board, and the same
///        order of deeds as app/guard (claim, cut, yank, cancel, look, kill and cont if completed).

#include <functional>
#include <optional>

#include "guard/rules.hpp"
#include "hypervisor/sim/context.hpp"
#include "hypervisor/sim/dst_qemu.hpp"
#include "hypervisor/sim/link.hpp"
#include "hypervisor/sim/src_qemu.hpp"

namespace segue::sim {

class Guardian {
public:
    Guardian(Context& context, Link& link, SrcQemu& src, DstQemu& dst, Rng rng);

    using OnAnswer = std::function<void(Result<GuardAnswer>)>;
    void submit(const GuardCommand& command, OnAnswer on_answer);
    void segue_died();
    void die();
    [[nodiscard]] bool alive() const { return alive_; }
    [[nodiscard]] bool left() const { return left_; }
    [[nodiscard]] bool started() const { return started_; }

private:
    void take(const GuardNote& note);
    void look();
    void look_at(Instant when);
    void roll_back(guard::RollbackReason reason);
    void rely_on_segue(Instant began);
    void bring_back();
    void attempt(int number);
    void judge(RunState state, int number);
    void brought_back();
    void clean_up();
    void put_back();
    void leave();
    void kill_dst();
    [[nodiscard]] bool monitor_ready() const;
    [[nodiscard]] guard::Stage stage() const { return static_cast<guard::Stage>(board().stage.load()); }
    [[nodiscard]] guard::Board& board() const { return context_.board; }
    [[nodiscard]] Duration late() { return rng_.between(Duration{0}, context_.plan.guard.lateness_worst); }
    void tell_segue(const GuardNotice& notice);

    Context& context_;
    Link& link_;
    SrcQemu& src_;
    DstQemu& dst_;
    Rng rng_;
    bool started_ = false;
    bool alive_ = true;
    bool left_ = false;
    bool holds_stream_ = false;
    bool segue_dead_ = false;
    bool busy_ = false;  ///< Rolling back.
    bool released_ = false;
    bool script_ = false;
    std::optional<bool> outcome_;  ///< Of the rollback.
    std::optional<Instant> stop_seen_;
    bool resume_seen_ = false;
    std::uint64_t timer_ = 0;
};

}  // namespace segue::sim
