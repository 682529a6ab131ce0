#include "app/segue/destination/dst_port.hpp"

#include <utility>

#include "app/segue/destination/remote_dst.hpp"
#include "app/segue/host/receive_look.hpp"
#include "hypervisor/qemu/dst_guest.hpp"
#include "io/links.hpp"

namespace segue {
namespace {

class LocalDst final : public DstPort {
public:
    LocalDst(Loop& loop, std::string monitor, DstPortCallbacks callbacks, std::optional<DataAddress> data)
        : loop_(loop),
          look_(loop),
          data_(std::move(data)),
          guest_(
              loop, std::move(monitor),
              [on_ready = std::move(callbacks.on_ready)](Result<void> ready) {
                  if (ready) return on_ready({});
                  on_ready(std::unexpected(Finding{to_string(ready.error()),
                                                   "check --dst-qmp, the QMP socket of the QEMU that waits"}));
              },
              std::move(callbacks.on_notice)) {}

    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) override {
        if (!std::holds_alternative<DstInspect>(command) || !data_ || look_.under_way()) {
            return guest_.submit(command, timeout, std::move(on_answer));
        }
        guest_.submit(command, timeout, [this, on_answer = std::move(on_answer)](Result<GuestAnswer> answer) {
            auto* facts = answer ? std::get_if<GuestFacts>(&*answer) : nullptr;
            // In another network namespace addresses and ports are others.
            if (facts == nullptr || !in_this_network(facts->pid)) return on_answer(std::move(answer));
            look_.look_at_data({data_->host, data_->port, 0, 0},
                               [on_answer, facts = *facts](std::vector<Obstacle> obstacles) mutable {
                                   facts.host.obstacles = std::move(obstacles);
                                   on_answer(GuestAnswer(std::move(facts)));
                               });
        });
    }
    /// There is nothing on this host that is not this process's own.
    void leave(const std::string&, const std::string&, std::function<void(bool)> on_left) override {
        loop_.post([on_left = std::move(on_left)] { on_left(true); });
    }
    [[nodiscard]] int duplicate_pidfd() const override { return guest_.duplicate_pidfd(); }
    [[nodiscard]] std::string host_name() const override { return {}; }
    [[nodiscard]] Duration round_trip() const override { return Duration{0}; }

private:
    Loop& loop_;
    ReceiveLook look_;
    std::optional<DataAddress> data_;
    qemu::DstGuest guest_;
};

class FarDst final : public DstPort {
public:
    FarDst(Loop& loop, const DstHost& host, receive::ClientPlan plan, DstPortCallbacks callbacks)
        : guest_(loop, host, std::move(plan), std::move(callbacks.on_ready), std::move(callbacks.on_notice),
                 std::move(callbacks.on_note)) {}

    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) override {
        guest_.submit(command, timeout, std::move(on_answer));
    }
    void leave(const std::string& outcome, const std::string& reason, std::function<void(bool)> on_left) override {
        guest_.leave(outcome, reason, std::move(on_left));
    }
    [[nodiscard]] int duplicate_pidfd() const override { return guest_.duplicate_pidfd(); }
    [[nodiscard]] std::string host_name() const override {
        return guest_.peer() ? guest_.peer()->host : std::string();
    }
    [[nodiscard]] Duration round_trip() const override { return guest_.round_trip(); }

private:
    RemoteDst guest_;
};

}  // namespace

std::unique_ptr<DstPort> make_local_dst(Loop& loop, std::string monitor, DstPortCallbacks callbacks,
                                        std::optional<DataAddress> data) {
    return std::make_unique<LocalDst>(loop, std::move(monitor), std::move(callbacks), std::move(data));
}

std::unique_ptr<DstPort> make_remote_dst(Loop& loop, const DstHost& host, receive::ClientPlan plan,
                                         DstPortCallbacks callbacks) {
    return std::make_unique<FarDst>(loop, host, std::move(plan), std::move(callbacks));
}

}  // namespace segue
