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
    /// The thread's too: it may outlive the resolver.
    struct Found {
        Fd done{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        std::optional<Addresses> addresses;  ///< Written before `done` is, read after the thread was joined.
    };

    Impl(Loop& loop_in, LookUp look_up_in)
        : loop(loop_in), look_up_name(std::move(look_up_in)), found(std::make_shared<Found>()) {
        SEGUE_ASSERT(found->done);
        if (look_up_name) return;
        look_up_name = [](const std::string& host, std::uint16_t port) { return look_up(host, port, 0); };
    }
    ~Impl() {
        if (watch) loop.unwatch(*watch);
        // It may hang in getaddrinfo, which nothing ends; all that it touches is its own.
        if (thread.joinable()) thread.detach();
    }

    void finish() {
        if (watch) loop.unwatch(*std::exchange(watch, std::nullopt));
        // It has nothing left to do.
        if (thread.joinable()) thread.join();
        std::uint64_t count = 0;
        (void)!::read(found->done.get(), &count, sizeof(count));
        const auto answer = std::exchange(on_addresses, nullptr);
        Addresses result = *std::exchange(found->addresses, std::nullopt);
        answer(std::move(result));
    }

    Loop& loop;
    LookUp look_up_name;
    std::shared_ptr<Found> found;
    std::optional<Loop::WatchId> watch;
    std::function<void(Addresses)> on_addresses;
    std::thread thread;
};

Resolver::Resolver(Loop& loop, LookUp look_up) : impl_(std::make_unique<Impl>(loop, std::move(look_up))) {}
Resolver::~Resolver() = default;

void Resolver::resolve(const std::string& host, std::uint16_t port, std::function<void(Addresses)> on_addresses) {
    SEGUE_ASSERT(!impl_->on_addresses);
    impl_->on_addresses = std::move(on_addresses);
    impl_->watch = impl_->loop.watch_readable(impl_->found->done.get(), [impl = impl_.get()] { impl->finish(); });
    const auto tell = [found = impl_->found](Addresses result) {
        found->addresses = std::move(result);
        const std::uint64_t one = 1;
        (void)!::write(found->done.get(), &one, sizeof(one));
    };
    // A numeric address needs no resolver and no thread.
    if (auto numeric = look_up(host, port, AI_NUMERICHOST)) return tell(std::move(numeric));
    impl_->thread = std::thread([tell, look_up = impl_->look_up_name, host, port] { tell(look_up(host, port)); });
}

}  // namespace segue
