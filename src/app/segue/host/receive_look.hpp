#pragma once
/// \file  What is looked at on the destination's host before anything of a move is started there.
///
/// Thread: the loop's.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/segue/host/receive_listener.hpp"
#include "channel/tcp/resolver.hpp"
#include "hypervisor/guest.hpp"
#include "io/loop.hpp"
#include "receive/message.hpp"

namespace segue {

class ReceiveLook {
public:
    struct Found {
        std::vector<Obstacle> network;  ///< Because of which its QEMU would not start.
        std::vector<Obstacle> data;     ///< Because of which the data connection could not come.
    };

    /// Half of what the source waits for the facts: a name service that hangs is told as what it is.
    static constexpr Duration look_max = std::chrono::seconds{5};

    /// \param at_most,look_up  Other ones are for tests.
    explicit ReceiveLook(Loop& loop, Resolver::LookUp look_up = {}, Duration at_most = look_max)
        : loop_(loop), look_up_(std::move(look_up)), at_most_(at_most) {}
    ~ReceiveLook();
    ReceiveLook(const ReceiveLook&) = delete;
    ReceiveLook& operator=(const ReceiveLook&) = delete;

    /// Whether the data connection can be listened for, by doing so for a moment. `then` comes once, later, within
    /// `at_most`.
    void look_at_data(const receive::DataPlace& place, std::function<void(std::vector<Obstacle>)> then);
    /// \param prepare  With the command, also of a VM by its definition. `then` comes once, perhaps at once. One look
    /// at a time.
    void look(const receive::Prepare& prepare, std::function<void(Found)> then);
    [[nodiscard]] bool under_way() const { return listener_ != nullptr; }
    /// Nobody wants to know any more: `then` does not come. Not from inside of it.
    void give_up();

private:
    void stop_timer();

    Loop& loop_;
    Resolver::LookUp look_up_;
    Duration at_most_;
    std::optional<Loop::TimerId> timer_;
    std::unique_ptr<ReceiveListener> listener_;
};

}  // namespace segue
