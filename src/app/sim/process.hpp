#pragma once
/// \file  One program at the source in virtual time: `segue`, or `segue recover`. It performs the effects of its state
///        machine on the simulated parts and feeds the answers back, as app/segue/move/engine.cpp does on real ones;
///        and it checks that what the journal must say first is there first.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "app/sim/disk.hpp"
#include "app/sim/remote_client.hpp"
#include "hypervisor/sim/world.hpp"
#include "migration/migration.hpp"

namespace segue::sim {

/// A state machine of the shape of Migration.
struct Machine {
    std::function<Effects(Instant)> start;
    std::function<Effects(const Event&, Instant)> step;
    std::function<Instant()> wake_at;
    std::function<bool()> finished;
};

/// What becomes of one command and its answer.
struct Harm {
    bool happens = true;
    bool lost = false;
    Duration late{0};
};

class Process {
public:
    struct Callbacks {
        std::function<void(std::string_view who, const std::string& what)> log;
        std::function<void(std::string)> violation;
        std::function<void()> on_stepped;
        std::function<Harm(const Command&)> on_command;
        std::function<void(StepKind)> on_step;  ///< Asked to be written.
        std::function<void(const Summary&)> on_finish;
        std::function<void()> on_gone;  ///< It ended by itself, its record closed if it could be.
    };
    struct Job {
        JobId id{};
        MoveOwner owner;
    };
    Process(World& world, HostDisk& disk, Machine machine, Job job, Rng rng, Callbacks callbacks);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    /// \param remote  Null where the destination is reached directly.
    void start(std::unique_ptr<RemoteClient> remote);
    void deliver(Event event);
    /// It stands still for so long.
    void stall(Duration length);
    void kill();
    void vanish();  ///< With its host.

    [[nodiscard]] bool alive() const { return alive_; }
    [[nodiscard]] bool finished() const { return machine_.finished(); }
    [[nodiscard]] RemoteClient* remote() { return remote_.get(); }

private:
    void step(const Event& event);
    void act(Effects effects);
    void schedule_tick();
    void finish(const Summary& summary);
    void leave();
    void answer(CommandId id, Result<AnswerValue> value);
    template <class T>
    std::function<void(const Result<T>&)> answerer(CommandId id, Duration late);
    void perform(const Submit& submit);
    void perform_in_world(const Submit& submit, CommandId id, Duration late);
    void perform(const JournalStep& step, CommandId id, Duration late);
    void answer_of_the_gone(const DstCommand& command, std::function<void(Result<GuestAnswer>)> on_answer);
    void append(const JournalStep& step, std::function<void(Result<void>)> then);
    void check_written_ahead(const Command& command);
    void plant(const Command& command);
    void plant_in_recover(const Command& command, Result<GuestAnswer>& value) const;
    [[nodiscard]] Agenda& agenda() { return world_.agenda(); }
    [[nodiscard]] Instant now() { return agenda().now(); }

    World& world_;
    HostDisk& disk_;
    Machine machine_;
    Job job_;
    Rng rng_;
    Callbacks callbacks_;
    std::unique_ptr<JournalWriter> writer_;
    std::unique_ptr<RemoteClient> remote_;
    receive::SayBye bye_;  ///< Once it has finished.
    std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
    bool alive_ = true;
    bool stalled_ = false;
    std::deque<Event> inbox_;
    std::uint64_t tick_ = 0;
    int steps_at_once_ = 0;
    Instant last_step_;
    std::set<CommandId> ids_;
    std::set<CommandId> open_;
    bool finish_said_ = false;
};

[[nodiscard]] JournalStamp stamp_at(Instant now, const std::string& boot_id);

}  // namespace segue::sim
