#pragma once
/// \file  One migration on real parts: performs the effects of the state machine and feeds its events.
///
/// Thread: everything on the loop's thread, but flushing disk images, which has a thread of its own.
/// The engine decides nothing; what it does is written in migration/.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/segue/words/dst_host.hpp"
#include "io/loop.hpp"
#include "migration/event.hpp"
#include "policy/policy.hpp"
#include "receive/message.hpp"
#include "store/sqlite/journal_thread.hpp"

namespace segue {

class Engine {
public:
    /// A destination behind `segue receive`.
    struct Remote {
        DstHost host;
        std::vector<std::string> dst_command;  ///< Empty: the QEMU at `dst_monitor` waits there, ...
        std::optional<receive::VmText> vm;     ///< ... or the other host builds the command from this.
        std::uint16_t port_first = 0;          ///< 0: no range.
        std::uint16_t port_last = 0;
        std::string segue_version;  ///< Of this program, for the greeting.
        /// Makes `dst_command` of what the source is, sockets and all. Empty: it is as it stands.
        std::function<Result<std::vector<std::string>>(const GuestFacts& src)> build_command = {};
    };
    /// This move in the journal of this host. The thread must outlive the engine.
    struct Job {
        JournalThread* journal = nullptr;
        JobId id{};
        MoveOwner owner;
        /// Whether another move of this guest has not ended.
        std::function<std::optional<Finding>(const GuestFacts& src)> obstacle;
        /// The guest runs on `host` and was recorded so: its definition here must not start any more. Durable; called
        /// on the journal's thread, before the source's QEMU is ended. Empty: it has no definition.
        std::function<Result<void>(const std::string& host)> mark = {};
        /// Runs --on-success and waits for its end; called on the journal's thread, after `mark`. Empty: there is none.
        std::function<Result<void>(const RunOnSuccess& asked, const std::string& host)> on_success = {};
    };
    struct Where {
        std::string src_monitor;
        std::optional<std::string> guard_monitor;
        std::string dst_monitor;
        std::string guard_program;
        std::optional<Remote> remote = {};
        std::string move_id = {};       ///< 32 hex digits, of the journal and of the protocol.
        std::optional<Job> job = {};    ///< None: a dry run, which writes no step.
        /// What else is in the way of moving this guest. May be empty.
        std::function<std::optional<Finding>(const GuestFacts& src)> check = {};
        /// Who steers. Empty: the patient policy.
        std::unique_ptr<Policy> policy = {};
    };
    struct Callbacks {
        std::function<void(const Report&)> on_report;
        /// Both sides' facts are known: what is remembered of this guest, if anything.
        std::function<Experience(const GuestFacts& src)> recall;
        /// What the other host says to the operator; may be empty.
        std::function<void(const std::string&)> on_note;
        /// The move is over.
        std::function<void(const Summary&)> on_finish;
        /// The last call, after on_finish: whether the other host has ended what it had for this move, as far as it can
        /// be seen, within 5 s. The loop may be stopped.
        std::function<void(bool ended)> on_left;
    };

    Engine(Loop& loop, Request request, Where where, Callbacks callbacks);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    void start();
    void cancel();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue
