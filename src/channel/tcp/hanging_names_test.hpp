#pragma once
/// \file  For tests: a name service that hangs.

#include <arpa/inet.h>
#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "channel/tcp/resolver.hpp"

namespace segue {

/// Answers nobody until it is let go, or for 30 s as the system's does; then every name is this host's. Who asked may
/// outlive it.
class HangingNames {
public:
    HangingNames() = default;
    ~HangingNames() { let_go(); }
    HangingNames(const HangingNames&) = delete;
    HangingNames& operator=(const HangingNames&) = delete;

    [[nodiscard]] Resolver::LookUp look_up() const {
        return [gone = gone_](const std::string&, std::uint16_t port) {
            gone.wait_for(std::chrono::seconds{30});
            return loopback(port);
        };
    }
    void let_go() {
        if (!std::exchange(over_, true)) go_.set_value();
    }

private:
    static Result<std::vector<SocketAddress>> loopback(std::uint16_t port) {
        SocketAddress address;
        auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.size = sizeof *in;
        return std::vector{address};
    }

    std::promise<void> go_;
    std::shared_future<void> gone_ = go_.get_future().share();
    bool over_ = false;
};

}  // namespace segue
