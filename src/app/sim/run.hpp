#pragma once
/// \file  One run: Segue in a simulated world, one fault, the world healed, `segue recover` if there is something left
///        to do, and every promise checked. Flow in runner.cpp, faults in run_faults.cpp, recover in run_recover.cpp.

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/checks.hpp"
#include "app/sim/dst_host.hpp"
#include "app/sim/process.hpp"
#include "app/sim/runner.hpp"
#include "recovery/recovery.hpp"

namespace segue::sim {

class Run {
public:
    Run(const Scenario& scenario, std::function<void(const std::string&)> on_line);
    /// The agenda holds processes, and these the disks that end before it.
    ~Run() { agenda().clear(); }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    RunResult run();

private:
    [[nodiscard]] Agenda& agenda() { return world_.agenda(); }
    [[nodiscard]] Instant now() { return agenda().now(); }
    void log(std::string_view who, const std::string& what);
    void violation(std::string what);

    // ---- the flow (runner.cpp)
    [[nodiscard]] Hooks hooks();
    void create_job();
    void start_segue();
    [[nodiscard]] Process::Callbacks callbacks(bool recover);
    [[nodiscard]] std::unique_ptr<RemoteClient> connect(bool recovering);
    void stepped();
    void stage_begins(Moment moment);
    void cancel(const std::string& why);
    void finished(const Summary& summary);
    void segue_gone();
    void heal();
    [[nodiscard]] bool dst_unreachable() const;
    [[nodiscard]] RunResult conclude();

    // ---- faults (run_faults.cpp)
    void strike();
    /// False: there was nothing to hurt.
    [[nodiscard]] bool hurt(Fault fault);
    [[nodiscard]] bool hurt_at_all(Fault fault);
    [[nodiscard]] bool hurt_link(Fault fault);
    [[nodiscard]] bool hurt_qemu(Fault fault);
    [[nodiscard]] bool hurt_source(Fault fault);
    [[nodiscard]] bool hurt_remote(Fault fault);
    [[nodiscard]] bool struck_with(Fault fault) const {
        return std::ranges::find(struck_with_, fault) != struck_with_.end();
    }
    void end_segue(const std::string& how);
    void lose_src_host();
    [[nodiscard]] Duration length_of(Fault fault) const {
        return fault == scenario_.fault ? scenario_.length : scenario_.second_length;
    }
    void lasts(Fault fault, std::function<void()> undo) { agenda().after(length_of(fault), std::move(undo)); }
    [[nodiscard]] Harm harm_of(const Command& command);

    // ---- recover (run_recover.cpp)
    [[nodiscard]] std::optional<MoveRecord> src_record();
    [[nodiscard]] bool recover_needed();
    void after_segue();
    void recover_when_quiet(Instant since);
    void recover();
    void recover_again(Duration pause);
    void recovered(const Summary& summary);

    const Scenario scenario_;
    const std::function<void(const std::string&)> on_line_;
    RunResult result_;
    Instant began_;
    World world_;
    Rng rng_;
    HostDisk src_disk_;
    std::unique_ptr<DstHost> dst_host_;
    std::shared_ptr<ControlLink> control_;  ///< The newest.
    Migration migration_;
    std::unique_ptr<Process> segue_;
    std::vector<std::unique_ptr<Recovery>> recoveries_;
    std::vector<std::unique_ptr<Process>> recovers_;
    JobId job_{};
    std::string boot_id_ = "boot-a-1";

    MigrationStage stage_ = MigrationStage::inspecting;
    std::string_view who_ = "segue";
    Instant until_{std::chrono::seconds{1000} + over_after};
    bool over_ = false;  ///< Segue has ended, by itself or not.
    bool healed_ = false;
    bool killed_by_guardian_ = false;
    bool moment_seen_ = false;
    bool harm_armed_ = false;
    int harm_in_ = 0;
    std::optional<Instant> struck_at_;
    std::vector<Fault> struck_with_;
    std::optional<Instant> finished_at_;
    std::optional<Instant> gone_at_;
    std::optional<Summary> summary_;
    std::optional<Summary> recovered_;
    Truth at_finish_;
};

}  // namespace segue::sim
