#pragma once
/// \file  What is looked at on the destination's host before anything of a move is started there.
///
/// Thread: the loop's.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/segue/host/receive_listener.hpp"
#include "hypervisor/guest.hpp"
#include "receive/message.hpp"

namespace segue {

class ReceiveLook {
public:
    struct Found {
        std::vector<Obstacle> network;  ///< Because of which its QEMU would not start.
        std::vector<Obstacle> data;     ///< Because of which the data connection could not come.
    };

    explicit ReceiveLook(Loop& loop) : loop_(loop) {}

    /// Whether the data connection can be listened for, by doing so for a moment. `then` comes once, later.
    void look_at_data(const receive::DataPlace& place, std::function<void(std::vector<Obstacle>)> then);
    /// \param prepare  With the command, also of a VM by its definition. `then` comes once, perhaps at once. One look
    /// at a time.
    void look(const receive::Prepare& prepare, std::function<void(Found)> then);
    [[nodiscard]] bool under_way() const { return listener_ != nullptr; }

private:
    Loop& loop_;
    std::unique_ptr<ReceiveListener> listener_;
};

}  // namespace segue
