#pragma once
/// \file  A journal on a thread of its own: requests in from the loop, answers back on the loop. A disk can
///        take seconds for one fsync; the loop must never wait for it while a guest may be standing.
///
/// Thread: all calls on the loop's. Requests are performed one after another, in the order in which they
/// came. Every request is answered exactly once, never from inside the call, unless the JournalThread is
/// destroyed first. Cost: the WorkerThread's, about 0.1 ms beside the journal's own time.
///
/// An answer may come late (a slow disk): who asks keeps a deadline of his own and must take a record whose
/// answer is outstanding for possibly there.

#include <functional>
#include <memory>

#include "io/loop.hpp"
#include "io/worker_thread.hpp"
#include "store/journal.hpp"

namespace segue {

namespace journal {
/// A move has one durable request outstanding and a few others; more means that the disk stands still.
inline constexpr std::size_t requests_max = 64;
}  // namespace journal

class JournalThread {
public:
    /// The journal is used by the new thread only from here on. `loop` must outlive this.
    JournalThread(Loop& loop, std::unique_ptr<Journal> journal);
    /// Performs what was asked for, then ends the thread: this waits for the disk. Nobody is answered.
    ~JournalThread() = default;
    JournalThread(const JournalThread&) = delete;
    JournalThread& operator=(const JournalThread&) = delete;

    using OnDone = std::function<void(Result<void>)>;
    void append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability, OnDone on_done);

    /// Any other request: `work` runs on the journal's thread, `answer` on the loop. `unavailable` when
    /// journal::requests_max requests wait already; `work` is not run then.
    template <class T>
    void ask(std::function<Result<T>(Journal&)> work, std::function<void(Result<T>)> answer) {
        // The answer is moved along, never copied: what it owns must not end on the journal's thread.
        perform([work = std::move(work),
                 answer = std::move(answer)](Journal* journal) mutable -> std::function<void()> {
            auto result = std::make_shared<Result<T>>(journal != nullptr ? work(*journal) : too_many());
            return [answer = std::move(answer), result] { answer(std::move(*result)); };
        });
    }

private:
    /// Run with the journal on its thread, or with null on the loop when there is no room; returns what is
    /// to be run on the loop.
    using Request = std::function<std::function<void()>(Journal*)>;
    void perform(Request request);
    [[nodiscard]] static std::unexpected<Error> too_many();

    std::unique_ptr<Journal> journal_;  ///< The worker's alone; it outlives the thread.
    WorkerThread worker_;
};

}  // namespace segue
