#include "app/sim/dst_host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "app/sim/dst_receive.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;

/// A guardian has this long to end what it may end when its segue receive is dead.
constexpr Duration guardian_has_had_its_time = milliseconds{60};

}  // namespace

DstHost::DstHost(World& world, const Plan& plan, Callbacks callbacks)
    : world_(world), plan_(plan), callbacks_(std::move(callbacks)), rng_(world.rng("dst-host")),
      clock_{plan.remote.clock_offset, plan.remote.clock_ppm},
      disk_(world.agenda(), plan.dst_disk, world.rng("dst-disk")) {}

DstHost::~DstHost() = default;

DstReceive* DstHost::newest() const { return all_.empty() || !all_.back()->alive() ? nullptr : all_.back().get(); }

void DstHost::connect(std::shared_ptr<ControlLink> link) {
    all_.push_back(std::make_shared<DstReceive>(*this, std::move(link), 3000 + static_cast<std::int64_t>(all_.size())));
    all_.back()->start();
}

void DstHost::on_qemu(const GuestNotice& notice) {
    for (const auto& receive : all_) {
        if (receive->attached()) receive->feed(notice);
    }
    if (!std::holds_alternative<DstDied>(notice)) return;
    for (const auto& guardian : guardians_) guardian->look();
}

bool DstHost::take_stream() {
    auto* receive = newest();
    if (receive == nullptr || !receive->listens()) return false;
    receive->take_stream();
    return true;
}

bool DstHost::kill_receive() {
    auto* receive = newest();
    if (receive == nullptr) return false;
    receive->die();
    const auto guardian = receive->guardian();
    if (!guardian || !guardian->alive() || !guardian->armed()) return true;
    world_.agenda().after(guardian_has_had_its_time, [this, guardian] {
        const bool claimed = guardian->board().claim.load() == static_cast<std::uint32_t>(guard::DstClaim::claimed);
        if (guardian->alive() && !claimed && world_.truth().dst_alive) {
            callbacks_.violation("segue receive died, and its guardian left the unaccepted destination alive");
        }
    });
    return true;
}

bool DstHost::freeze_receive(bool frozen) {
    auto* receive = newest();
    if (receive == nullptr) return false;
    receive->freeze(frozen);
    return true;
}

bool DstHost::kill_guardian() {
    for (const auto& guardian : guardians_ | std::views::reverse) {
        if (!guardian->alive()) continue;
        guardian->die();
        for (const auto& receive : all_) {
            if (receive->guardian() == guardian) receive->guardian_died();
        }
        return true;
    }
    return false;
}

void DstHost::lose_power() {
    for (const auto& receive : all_) receive->vanish();
    for (const auto& guardian : guardians_) guardian->die();
    world_.kill_dst();
    disk_.lose_power();
    boot_id_ = "boot-b-2";
}

bool DstHost::guardian_alive() const {
    return std::ranges::any_of(guardians_, [](const auto& guardian) { return guardian->alive(); });
}

bool DstHost::receive_alive() const { return newest() != nullptr; }

std::optional<MoveRecord> DstHost::record() {
    const auto latest = disk_.journal().latest(1);
    return latest && !latest->empty() ? std::optional(latest->front()) : std::nullopt;
}

}  // namespace segue::sim
