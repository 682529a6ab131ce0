#pragma once
/// \file  What both sides of a move hold of their QEMU: the monitor connection and the process.
///
/// Thread: the loop's. Callbacks are never called from inside the constructor, and none after the
/// destructor, which any of them may call.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "hypervisor/qemu/connection.hpp"
#include "hypervisor/qemu/process.hpp"
#include "io/loop.hpp"
#include "units/duration.hpp"

namespace segue::qemu {

class Attachment {
public:
    struct Callbacks {
        std::function<void(Result<void>)> on_ready;   ///< Exactly once.
        std::function<void(const QmpEvent&)> on_event;
        std::function<void(Error)> on_lost;           ///< The connection, after it was ready.
        std::function<void()> on_died;                ///< The process, at most once.
    };

    Attachment(Loop& loop, std::string path, std::string side, Callbacks callbacks);
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    [[nodiscard]] Connection& connection() noexcept { return *connection_; }
    /// Absent before it is ready and where it cannot be proven which process it is.
    [[nodiscard]] const std::optional<Process>& process() const noexcept { return process_; }
    [[nodiscard]] const std::string& version() const noexcept { return version_; }
    /// No longer connected.
    [[nodiscard]] bool lost() const noexcept { return lost_; }

    /// Calls `action` on the loop, later, unless this is destroyed before.
    void after(Duration delay, std::function<void()> action);
    [[nodiscard]] Instant now() const noexcept { return loop_.now(); }

private:
    void connected(const Result<Greeting>& greeting);
    void find_process(const Result<boost::json::value>& query_cpus_fast);

    Loop& loop_;
    Callbacks callbacks_;
    std::string version_;
    std::optional<Process> process_;
    std::optional<Loop::WatchId> death_watch_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool ready_ = false;
    bool lost_ = false;
    std::unique_ptr<Connection> connection_;
};

}  // namespace segue::qemu
