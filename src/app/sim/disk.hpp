#pragma once
/// \file  One host's journal on its disk, and the thread with which one process writes there, in virtual time.
///
/// A write is in the journal when the disk has done it, not when it was asked for. A process that is killed loses
/// what its thread had not begun; what was under way happens or not, by the seed; so does the fsync that was under
/// way when the host lost its power, which takes with it all that no fsync came after.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "hypervisor/sim/agenda.hpp"
#include "hypervisor/sim/plan.hpp"
#include "hypervisor/sim/rng.hpp"
#include "store/journal_memory.hpp"

namespace segue::sim {

class JournalWriter;

class HostDisk {
public:
    HostDisk(Agenda& agenda, DiskPlan plan, Rng rng) : agenda_(agenda), plan_(plan), rng_(rng) {}
    HostDisk(const HostDisk&) = delete;
    HostDisk& operator=(const HostDisk&) = delete;

    [[nodiscard]] MemoryJournal& journal() { return journal_; }
    void slow_down(Duration length) { next_fsync_ = length; }  ///< The next fsync takes so long.
    void fail_writes(bool broken);
    void lose_power();
    [[nodiscard]] bool ever_failed() const { return ever_failed_; }
    /// When each fsync that was waited for was asked for.
    [[nodiscard]] const std::vector<Instant>& fsyncs() const { return fsyncs_; }

private:
    friend class JournalWriter;
    Agenda& agenda_;
    DiskPlan plan_;
    Rng rng_;
    MemoryJournal journal_;
    std::optional<Duration> next_fsync_;
    bool ever_failed_ = false;
    std::vector<Instant> fsyncs_;
    std::vector<JournalWriter*> writers_;
};

/// One process's journal thread.
class JournalWriter {
public:
    explicit JournalWriter(HostDisk& disk);
    ~JournalWriter();
    JournalWriter(const JournalWriter&) = delete;
    JournalWriter& operator=(const JournalWriter&) = delete;

    enum class Cost { read, soon, durable };
    /// `work` on the journal when its turn comes; `then` after it, if the process lives.
    void ask(Cost cost, std::function<void(Journal&)> work, std::function<void()> then);
    /// The process is killed.
    void kill();

private:
    friend class HostDisk;
    struct Request {
        Cost cost{};
        std::function<void(Journal&)> work;
        std::function<void()> then;
    };
    void begin();
    void done(std::uint64_t number);
    void power_lost();

    HostDisk& disk_;
    std::deque<Request> queue_;  ///< The first is under way.
    bool alive_ = true;
    std::uint64_t number_ = 0;
    std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
};

}  // namespace segue::sim
