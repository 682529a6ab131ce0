#pragma once
/// \file  Where lines go: standard output and standard error that never hold up a migration.
///
/// A terminal stopped with Ctrl-S, a dead ssh connection or a pipe that nobody reads would block a plain
/// write, and with it the loop; the guardian would take that for a stalled Segue and roll back. So lines
/// wait here and are written when they can be, and the unimportant ones are dropped.
/// Thread: the loop's. Errors: none; a sink whose reader is gone swallows everything. The program must
/// ignore SIGPIPE.

#include <optional>
#include <string>
#include <string_view>

#include "io/fd.hpp"
#include "units/duration.hpp"

namespace segue {

/// What may happen to text that cannot be written now.
enum class Weight {
    passing,  ///< Progress: dropped when anything waits already.
    kept,     ///< Dropped when more than `Sink::waiting_bytes_max` wait.
    result,   ///< Never dropped.
};

class Sink {
public:
    /// Some thousand lines: more than a migration says in an hour.
    static constexpr std::size_t waiting_bytes_max = 256 * 1024;

    virtual ~Sink() = default;
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;

    /// Never blocks.
    virtual void write(std::string_view text, Weight weight) = 0;
    /// Blocks until all is written, the reader is gone, or `at_most` has passed. For the end only.
    virtual void drain(std::optional<Duration> at_most) = 0;

protected:
    Sink() = default;
};

class FdSink final : public Sink {
public:
    /// \param fd  Stays the caller's. Its own flags are not changed: other programs share them.
    explicit FdSink(int fd);

    void write(std::string_view text, Weight weight) override;
    void drain(std::optional<Duration> at_most) override;
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

private:
    /// Writes what can be written now.
    void pump();
    [[nodiscard]] long write_some(std::string_view text) const;

    int fd_;
    Fd own_;  ///< The same terminal or pipe opened once more, so that O_NONBLOCK is ours alone.
    bool socket_ = false;
    bool gone_ = false;
    std::string waiting_;
};

}  // namespace segue
