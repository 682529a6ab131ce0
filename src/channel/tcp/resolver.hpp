#pragma once
/// \file  Host names to addresses without holding up the loop.
///
/// Thread: the loop's; a name (not a numeric address) is looked up on a thread of its own. The destructor does not
/// wait for it: the system's resolver can hang for half a minute, and nothing stops it. That thread ends by itself.

#include <netdb.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "io/loop.hpp"

namespace segue {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

class Resolver {
public:
    /// What finds the addresses of a name, on that thread; it may outlive whoever asked.
    using LookUp = std::function<Result<std::vector<SocketAddress>>(const std::string& host, std::uint16_t port)>;

    /// \param look_up  Empty: the system's. Another one is for tests.
    explicit Resolver(Loop& loop, LookUp look_up = {});
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// Answers once, later; not after the destructor. One look-up at a time.
    void resolve(const std::string& host, std::uint16_t port,
                 std::function<void(Result<std::vector<SocketAddress>>)> on_addresses);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue
