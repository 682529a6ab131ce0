#pragma once
/// \file  The source QEMU, to the letter of qemu.md sections 1 and 4: 100 ms windows, a threshold from
///        the last one, exact sync only below it, the zero-threshold hole, the stop with drain and flush
///        under the lock, the hold, the blackout in which nothing in-band is answered, cancel by state.

#include <cstdint>
#include <functional>
#include <vector>

#include "hypervisor/sim/context.hpp"
#include "hypervisor/sim/link.hpp"
#include "hypervisor/sim/memory.hpp"
#include "hypervisor/sim/monitor.hpp"

namespace segue::sim {

class SrcQemu {
public:
    SrcQemu(Context& context, Link& link, Memory& memory, Rng rng);

    [[nodiscard]] Monitor& segue_monitor() { return segue_; }
    [[nodiscard]] Monitor& guard_monitor() { return guard_; }
    [[nodiscard]] Monitor::Work work_of(const SrcCommand& command);
    void submit(Monitor& monitor, const SrcCommand& command, Monitor::Reply on_answer);

    /// The migration thread works up to now; true while it has something to do.
    bool tick();
    [[nodiscard]] bool in_blackout() const {
        return status_ == MigrationStatus::pre_switchover || status_ == MigrationStatus::device;
    }
    [[nodiscard]] MigrationStatus status() const { return status_; }
    void return_path_shut();  ///< The destination has loaded.
    void die();
    [[nodiscard]] const Memory& memory() const { return memory_; }
    /// The next drain and flush takes this long.
    void slow_flush(Duration length) { context_.plan.qemu.drain_and_flush = length; }
    /// The migration thread is given no CPU: nothing more is written to the stream.
    void starve(bool starved) { starved_ = starved; }
    void freeze_loop(bool frozen) { loop_.freeze(frozen); }

private:
    void set_status(MigrationStatus status);
    void notify(const GuestNotice& notice);
    void let_run();
    [[nodiscard]] Result<GuestAnswer> facts() const;
    [[nodiscard]] Result<GuestAnswer> prepare(const SrcPrepare& command);
    [[nodiscard]] Result<GuestAnswer> start();
    [[nodiscard]] Result<GuestAnswer> allow(const SrcAllowSwitchover& command);
    void go_on(const Monitor::Reply& reply);
    [[nodiscard]] Result<GuestAnswer> cancel();
    [[nodiscard]] Result<GuestAnswer> yank();
    void stop(const Monitor::Reply& reply);
    void as_before();
    void run(const Monitor::Reply& reply);
    void quit(const Monitor::Reply& reply);
    [[nodiscard]] Result<GuestAnswer> put_back();
    void await_forgotten(const Monitor::Reply& reply);
    [[nodiscard]] SrcProgress progress() const;

    void work();
    void copy();
    bool check();
    void close_window();
    void begin_stop();
    void send_rest();
    void fail_migration();
    void ended();
    /// Sends what fits; true when `pending_` is empty and the last chunk is out.
    bool send_pending(std::int64_t& budget);
    [[nodiscard]] std::int64_t pending_bytes() const {
        return static_cast<std::int64_t>(pending_count_) * chunk_bytes;
    }

    Context& context_;
    Link& link_;
    Memory& memory_;
    Rng rng_;
    MainLoop loop_;
    Monitor segue_;
    Monitor guard_;

    RunState run_state_ = RunState::running;
    MigrationStatus status_ = MigrationStatus::none;
    bool has_stream_ = false;
    bool registered_ = false;   ///< query-yank knows the migration.
    bool stopping_ = false;     ///< Between the decision to stop and pre-switchover.
    bool failing_ = false;
    bool ran_before_ = true;    ///< When the migration stopped the guest.
    bool all_written_ = false;
    bool starved_ = false;
    std::uint64_t attempt_ = 0;

    // Parameters.
    double downtime_limit_ms_ = 300;
    double max_bandwidth_ = 128.0 * 1024 * 1024;
    double switchover_bandwidth_ = 0;

    // The migration thread.
    std::vector<std::uint8_t> pending_;
    std::size_t pending_count_ = 0;
    std::size_t cursor_ = 0;
    std::int64_t chunk_left_ = 0;
    Parcel chunk_now_;
    std::int64_t device_left_ = 0;
    std::int64_t syncs_ = 0;
    double threshold_ = 0;
    Instant window_began_;
    std::int64_t window_written_ = 0;
    Instant wrote_at_;
    Instant silent_until_;
    Instant next_check_;
    Instant worked_until_;
    bool sampled_ = false;  ///< Once at least.
};

}  // namespace segue::sim
