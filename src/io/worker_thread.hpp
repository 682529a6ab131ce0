#pragma once
/// \file  A thread beside the loop for work that blocks (a disk, the kernel's slower files): jobs in from the loop,
///        answers back on the loop. Who has several kinds of work writes a face over it, as JournalThread and
///        BrakePort do; what they share is here.
///
/// Thread: every call on the loop's. Jobs run one after another on the worker's, in the order in which they came;
/// their answers on the loop's, in the same order, never from inside a call. No lock is held while either runs: both
/// may take as long as they like, an answer may call here and may destroy the WorkerThread.
/// Ownership: what a job holds has ended, on the worker's thread, before its answer can run. An answer, run or not,
/// ends on the loop's thread: what must end there is moved into it, never copied.
/// Signals are blocked on the worker: they are for the loop, and one that ends the process must not be taken there.
/// Errors: none of its own; an answer carries what its job found. An exception from a job ends the process.
/// Cost: a thread, an eventfd, and two thread switches a job: about 0.1 ms, more on a busy host.
/// Bound: the caller's. It looks at `outstanding()` and refuses what is too much, by `answer_later`.

#include <cstddef>
#include <functional>
#include <memory>

#include "io/loop.hpp"

namespace segue {

class WorkerThread {
public:
    using Answer = std::function<void()>;  ///< May be empty: there is nothing to tell.
    using Job = std::function<Answer()>;

    /// `loop` must outlive this.
    explicit WorkerThread(Loop& loop);
    /// Runs every job that was asked for, however many wait, then ends the thread: it waits as long as they take.
    /// Nobody is answered from here on. What jobs use must be there until this returns.
    ~WorkerThread();
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;

    void perform(Job job);

    /// Runs `answer` as if a job had given it, but does not wait for the jobs.
    void answer_later(Answer answer);

    /// Jobs asked for whose answers did not run yet.
    [[nodiscard]] std::size_t outstanding() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace segue
