#pragma once
/// \file  Host names to addresses without holding up the loop.
///
/// Thread: the loop's; a name (not a numeric address) is looked up on a thread of its own, which the
/// destructor joins: that may take as long as the system's resolver does.

#include <netdb.h>

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
    explicit Resolver(Loop& loop);
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
