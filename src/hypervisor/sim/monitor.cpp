#include "hypervisor/sim/monitor.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
constexpr Duration one{1};

}  // namespace

Duration Monitor::latency() { return rng_.between(microseconds{40}, microseconds{250}); }

void Monitor::arrive(std::function<void()> what) {
    if (!passable()) {
        stuck_.push_back([this, what = std::move(what)] { arrive(what); });
        return;
    }
    last_in_ = std::max(last_in_ + one, agenda_.now() + latency());
    agenda_.at(last_in_, std::move(what));
}

void Monitor::deliver(std::function<void()> what) {
    if (!passable()) {
        stuck_.push_back([this, what = std::move(what)] { deliver(what); });
        return;
    }
    last_out_ = std::max(last_out_ + one, agenda_.now() + latency());
    agenda_.at(last_out_, std::move(what));
}

void Monitor::flush() {
    auto stuck = std::exchange(stuck_, {});
    for (auto& what : stuck) what();
}

void Monitor::send(Work work, bool out_of_band, Reply on_answer) {
    const std::uint64_t id = next_id_++;
    if (!open_) {
        agenda_.after(microseconds{20}, [on_answer = std::move(on_answer)] {
            on_answer(fail(ErrorKind::unavailable, "the monitor is lost"));
        });
        return;
    }
    const bool late = outstanding_.size() > limits::qmp_outstanding_max + 2;
    outstanding_.emplace(id, std::move(on_answer));
    Reply reply = [this, id](Result<GuestAnswer> value) {
        deliver([this, id, value = std::move(value)] {
            const auto found = outstanding_.find(id);
            if (found == outstanding_.end()) return;
            const Reply answer = std::move(found->second);
            outstanding_.erase(found);
            answer(value);
        });
    };
    arrive([this, work = std::move(work), reply = std::move(reply), out_of_band, late] {
        auto run = [work, reply] { work(reply); };
        if (out_of_band && !late) {
            loop_.serve_out_of_band(std::move(run));
        } else {
            loop_.serve(std::move(run), this);
        }
    });
}

void Monitor::notify(const GuestNotice& notice) {
    if (!open_) return;
    deliver([this, notice, connection = connection_] {
        if (open_ && connection == connection_ && on_notice) on_notice(notice);
    });
}

void Monitor::reopen() {
    close();
    open_ = true;
    ++connection_;
}

void Monitor::close() {
    if (!open_) return;
    open_ = false;
    auto outstanding = std::exchange(outstanding_, {});
    for (auto& [id, answer] : outstanding) answer(fail(ErrorKind::unavailable, "the monitor is lost"));
}

}  // namespace segue::sim
