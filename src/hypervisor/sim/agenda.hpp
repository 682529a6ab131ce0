#pragma once
/// \file  Virtual time: what is to happen, in order. Equal instants happen in the order of insertion.
///
/// Pure. Cost: O(log n) each.

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "units/duration.hpp"

namespace segue::sim {

class Agenda {
public:
    using Work = std::function<void()>;

    [[nodiscard]] Instant now() const { return now_; }
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    [[nodiscard]] Instant next_at() const { return entries_.top().at; }
    void at(Instant when, Work work) {
        entries_.push({when < now_ ? now_ : when, next_++, std::move(work)});
    }
    void after(Duration delay, Work work) { at(now_ + delay, std::move(work)); }
    /// What was planned is forgotten, with all that it holds.
    void clear() { entries_ = {}; }
    /// \pre !empty().
    void run_one() {
        SEGUE_ASSERT(!entries_.empty());
        Work work = std::move(const_cast<Entry&>(entries_.top()).work);
        now_ = entries_.top().at;
        entries_.pop();
        work();
    }

private:
    struct Entry {
        Instant at;
        std::uint64_t number = 0;
        Work work;
        friend bool operator<(const Entry& a, const Entry& b) {
            return a.at != b.at ? a.at > b.at : a.number > b.number;
        }
    };
    // Not zero, so that a forgotten instant is seen.
    Instant now_{std::chrono::seconds{1000}};
    std::uint64_t next_ = 0;
    std::priority_queue<Entry> entries_;
};

}  // namespace segue::sim
