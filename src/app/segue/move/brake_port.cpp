#include "app/segue/move/brake_port.hpp"

#include <sched.h>

#include <utility>
#include <variant>

#include "base/assert.hpp"

namespace segue {
namespace {

/// One reading outstanding and a setting or two; more means that nobody waits for answers.
constexpr std::size_t commands_max = 64;

/// The worker must not wait behind the busy guests that it is to hold; every stretch of its work is short.
void put_first() {
    sched_param lowest{};
    lowest.sched_priority = 1;
    static_cast<void>(::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest));
}

}  // namespace

BrakePort::BrakePort(Loop& loop, std::string name) : brake_(std::move(name)), worker_(loop) {
    worker_.perform([] {
        put_first();
        return nullptr;
    });
}

BrakePort::~BrakePort() {
    worker_.perform([this] {
        static_cast<void>(brake_.perform(BrakeClose{}));
        return nullptr;
    });
}

void BrakePort::submit(const BrakeCommand& command, OnAnswer on_answer) {
    SEGUE_ASSERT(worker_.outstanding() < commands_max);
    if (std::holds_alternative<BrakeClose>(command)) held_.clear();
    // `on_answer` is moved along, never copied: what it owns must end on the loop's thread.
    worker_.perform([this, command, on_answer = std::move(on_answer)]() mutable -> WorkerThread::Answer {
        auto answer = brake_.perform(command);
        const bool opened = answer && std::holds_alternative<BrakeOpen>(command);
        return [this, answer = std::move(answer), on_answer = std::move(on_answer), opened,
                held = opened ? brake_.held() : std::vector<HeldGroup>{}]() mutable {
            if (opened) held_ = std::move(held);
            // It may destroy this object.
            on_answer(std::move(answer));
        };
    });
}

const std::vector<HeldGroup>& BrakePort::held() const { return held_; }

}  // namespace segue
