#pragma once
/// \file  A QMP connection and the main loop behind it: latency, order, answers that come late or never.
///
/// Commands of one connection arrive in order, and so do answers and events. In-band commands wait while
/// the main loop is held (from before the stop until pre-switchover, and from migrate-continue until the
/// whole stream is written); out-of-band ones do not, unless too many are outstanding (limits.hpp).

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "hypervisor/guest.hpp"
#include "hypervisor/sim/agenda.hpp"
#include "hypervisor/sim/rng.hpp"

namespace segue::sim {

/// QEMU's main loop as far as commands can tell: free, held by the migration, frozen or gone.
class MainLoop {
public:
    /// \param who  The monitor it came by, if it came by one. They are served in turns (QEMU, monitor/qmp.c).
    void serve(std::function<void()> work, const void* who = nullptr) {
        if (gone_) return;
        const auto line = std::ranges::find(waiting_, who, &Line::first);
        if (line != waiting_.end()) {
            line->second.push_back(std::move(work));
        } else {
            waiting_.emplace_back(who, std::deque{std::move(work)});
        }
        drain();
    }
    void serve_out_of_band(std::function<void()> work) {
        if (gone_) return;
        if (frozen_) {
            waiting_.emplace_front(nullptr, std::deque{std::move(work)});
        } else {
            work();
        }
    }
    void hold() { held_ = true; }
    void release() { held_ = false; drain(); }
    void freeze(bool frozen) { frozen_ = frozen; drain(); }
    void end() { gone_ = true; waiting_.clear(); }
    [[nodiscard]] bool held() const { return held_; }

private:
    void drain() {
        if (draining_) return;
        draining_ = true;
        while (!held_ && !frozen_ && !gone_ && !waiting_.empty()) {
            Line line = std::move(waiting_.front());
            waiting_.pop_front();
            auto work = std::move(line.second.front());
            line.second.pop_front();
            if (!line.second.empty()) waiting_.push_back(std::move(line));
            work();
        }
        draining_ = false;
    }
    bool held_ = false;
    bool frozen_ = false;
    bool gone_ = false;
    bool draining_ = false;
    using Line = std::pair<const void*, std::deque<std::function<void()>>>;
    std::deque<Line> waiting_;
};

class Monitor {
public:
    using Reply = std::function<void(Result<GuestAnswer>)>;
    using Work = std::function<void(Reply)>;

    Monitor(Agenda& agenda, MainLoop& loop, Rng rng) : agenda_(agenda), loop_(loop), rng_(rng) {}

    std::function<void(const GuestNotice&)> on_notice;
    /// False while the path to this monitor is black; what is sent meanwhile goes when it is not.
    std::function<bool()> passable = [] { return true; };

    [[nodiscard]] bool open() const { return open_; }
    void send(Work work, bool out_of_band, Reply on_answer);
    void notify(const GuestNotice& notice);
    /// Answers what is outstanding with `unavailable`; commands that were sent are still served.
    void close();
    /// Another client connects; nothing of the one before reaches it.
    void reopen();
    /// The path is passable again.
    void flush();

private:
    void deliver(std::function<void()> what);
    void arrive(std::function<void()> what);
    [[nodiscard]] Duration latency();

    Agenda& agenda_;
    MainLoop& loop_;
    Rng rng_;
    bool open_ = true;
    std::uint64_t connection_ = 1;
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, Reply> outstanding_;
    Instant last_in_;
    Instant last_out_;
    std::vector<std::function<void()>> stuck_;
};

}  // namespace segue::sim
