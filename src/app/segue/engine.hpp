#pragma once
/// \file  One migration on real parts: performs the effects of the state machine and feeds its events.
///
/// Thread: everything on the loop's thread, but flushing disk images, which has a thread of its own.
/// The engine decides nothing; what it does is written in migration/.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/loop.hpp"
#include "migration/event.hpp"

namespace segue {

class Engine {
public:
    struct Where {
        std::string src_monitor;
        std::optional<std::string> guard_monitor;
        std::string dst_monitor;
        std::string guard_program;
    };
    struct Callbacks {
        std::function<void(const Report&)> on_report;
        /// Both sides' facts are known: what is remembered of this guest, if anything.
        std::function<Experience(const GuestFacts& src)> recall;
        /// The last call. The loop may be stopped.
        std::function<void(const Summary&)> on_finish;
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
