#include "app/sim/disk.hpp"

#include <algorithm>
#include <utility>

namespace segue::sim {
namespace {

using std::chrono::microseconds;

}  // namespace

void HostDisk::fail_writes(bool broken) {
    ever_failed_ = ever_failed_ || broken;
    journal_.fail_writes(broken ? std::optional(Error{ErrorKind::refused, "no space left on device", {}})
                                : std::nullopt);
}

void HostDisk::lose_power() {
    for (auto* writer : writers_) writer->power_lost();
    journal_.lose_power();
}

JournalWriter::JournalWriter(HostDisk& disk) : disk_(disk) { disk_.writers_.push_back(this); }
JournalWriter::~JournalWriter() {
    *here_ = false;
    std::erase(disk_.writers_, this);
}

void JournalWriter::ask(Cost cost, std::function<void(Journal&)> work, std::function<void()> then) {
    if (!alive_) return;
    if (cost == Cost::durable) disk_.fsyncs_.push_back(disk_.agenda_.now());
    queue_.push_back({cost, std::move(work), std::move(then)});
    if (queue_.size() == 1) begin();
}

void JournalWriter::begin() {
    Duration took = disk_.rng_.between(microseconds{20}, microseconds{200});
    if (queue_.front().cost == Cost::durable) {
        took = disk_.rng_.between(disk_.plan_.fsync_min, disk_.plan_.fsync_max);
        if (disk_.next_fsync_) took = *std::exchange(disk_.next_fsync_, std::nullopt);
    }
    disk_.agenda_.after(took, [this, here = here_, number = ++number_] {
        if (*here) done(number);
    });
}

void JournalWriter::done(std::uint64_t number) {
    if (number != number_ || queue_.empty()) return;
    const Request request = std::move(queue_.front());
    queue_.pop_front();
    request.work(disk_.journal_);
    if (!alive_) return;
    if (!queue_.empty()) begin();
    if (request.then) request.then();
}

void JournalWriter::kill() {
    if (!std::exchange(alive_, false) || queue_.empty()) return;
    queue_.resize(1);
    if (disk_.rng_.chance(0.5)) queue_.clear();
}

void JournalWriter::power_lost() {
    alive_ = false;
    ++number_;
    if (!queue_.empty() && queue_.front().cost == Cost::durable && disk_.rng_.chance(0.5)) {
        queue_.front().work(disk_.journal_);
    }
    queue_.clear();
}

}  // namespace segue::sim
