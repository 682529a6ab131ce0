#include "app/sim/dst_guardian.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// A killed QEMU that is not gone yet is killed again.
constexpr Duration look_again = milliseconds{100};

}  // namespace

void DstGuardian::note(bool armed, Instant alive_at) {
    const bool rings = armed != (board_.armed.load() != 0);
    board_.alive_at_ns.store(alive_at.since_boot.count());
    board_.armed.store(armed ? 1 : 0);
    if (rings) look();
}

bool DstGuardian::claim() { return guard::decide(board_, guard::DstClaim::claimed); }

void DstGuardian::release() {
    board_.released.store(1);
    look();
}

void DstGuardian::receive_died() {
    receive_alive_ = false;
    look_at(agenda_.now() + rng_.between(microseconds{100}, milliseconds{3}));
}

void DstGuardian::look_at(Instant when) {
    agenda_.at(when, [self = shared_from_this(), number = ++timer_] {
        if (number == self->timer_) self->look();
    });
}

void DstGuardian::look() {
    if (!alive_) return;
    guard::DstView view;
    view.now = clock_.at(agenda_.now());
    view.claim = static_cast<guard::DstClaim>(board_.claim.load());
    view.armed = board_.armed.load() != 0;
    view.alive_at = {Duration{board_.alive_at_ns.load()}};
    if (host_.knows_no_deadline) view.alive_at = view.now;
    view.released = board_.released.load() != 0;
    view.receive_alive = receive_alive_;
    view.qemu_alive = host_.qemu_alive();
    const auto advice = guard::advise(view);
    switch (advice.action) {
        case guard::DstAction::leave: alive_ = false; return;
        case guard::DstAction::wait:
            if (advice.wake_at - view.now > std::chrono::hours{1}) return;
            return look_at(clock_.when(advice.wake_at) + rng_.between(Duration{0}, milliseconds{2}));
        case guard::DstAction::kill:
            if (!guard::decide(board_, guard::DstClaim::killed)) return look();
            host_.log(receive_alive_ ? "kills the QEMU: no sign of life for 2 s" : "kills the QEMU: its segue died");
            agenda_.after(rng_.between(microseconds{200}, milliseconds{3}), host_.kill_qemu);
            return look_at(agenda_.now() + look_again);
    }
}

}  // namespace segue::sim
