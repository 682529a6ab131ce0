#include "channel/tcp/resolver.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

using Addresses = Result<std::vector<SocketAddress>>;

Addresses look_up(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (failed != 0) {
        return fail(ErrorKind::unavailable, "cannot find the address of '" + host + "' given as --data-address",
                    ::gai_strerror(failed));
    }
    std::vector<SocketAddress> addresses;
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        SocketAddress address;
        if (entry->ai_addrlen > sizeof(address.storage)) continue;
        std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
        address.size = entry->ai_addrlen;
        addresses.push_back(address);
    }
    ::freeaddrinfo(list);
    return addresses;
}

}  // namespace

struct Resolver::Impl {
    explicit Impl(Loop& loop_in) : loop(loop_in), done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        SEGUE_ASSERT(done);
    }
    ~Impl() {
        if (watch) loop.unwatch(*watch);
        // Before the members that it writes to.
        if (thread.joinable()) thread.join();
    }

    void finish() {
        if (watch) loop.unwatch(*std::exchange(watch, std::nullopt));
        if (thread.joinable()) thread.join();
        std::uint64_t count = 0;
        (void)!::read(done.get(), &count, sizeof(count));
        const auto answer = std::exchange(on_addresses, nullptr);
        Addresses result = *std::exchange(addresses, std::nullopt);
        answer(std::move(result));
    }

    Loop& loop;
    Fd done;
    std::optional<Loop::WatchId> watch;
    std::function<void(Addresses)> on_addresses;
    std::optional<Addresses> addresses;  ///< Written by the thread before `done` is.
    std::thread thread;
};

Resolver::Resolver(Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
Resolver::~Resolver() = default;

void Resolver::resolve(const std::string& host, std::uint16_t port, std::function<void(Addresses)> on_addresses) {
    SEGUE_ASSERT(!impl_->on_addresses);
    impl_->on_addresses = std::move(on_addresses);
    impl_->watch = impl_->loop.watch_readable(impl_->done.get(), [impl = impl_.get()] { impl->finish(); });
    const auto tell = [impl = impl_.get()](Addresses result) {
        impl->addresses = std::move(result);
        const std::uint64_t one = 1;
        (void)!::write(impl->done.get(), &one, sizeof(one));
    };
    // A numeric address needs no resolver and no thread.
    if (auto numeric = look_up(host, port, AI_NUMERICHOST)) return tell(std::move(numeric));
    impl_->thread = std::thread([tell, host, port] { tell(look_up(host, port, 0)); });
}

}  // namespace segue
