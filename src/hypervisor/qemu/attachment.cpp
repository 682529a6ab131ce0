#include "hypervisor/qemu/attachment.hpp"

#include <utility>
#include <vector>

#include "hypervisor/qemu/wire.hpp"

namespace segue::qemu {
namespace {

/// A monitor that is free greets within a millisecond, but its QEMU may be starting on a busy host.
constexpr Duration greeting_timeout = std::chrono::seconds{3};
constexpr Duration first_answer_timeout = std::chrono::seconds{3};

}  // namespace

Attachment::Attachment(Loop& loop, std::string path, std::string side, Callbacks callbacks)
    : loop_(loop), callbacks_(std::move(callbacks)) {
    connection_ = std::make_unique<Connection>(
        loop, std::move(path), std::move(side), greeting_timeout,
        Connection::Callbacks{
            .on_ready = [this](const Result<Greeting>& greeting) { connected(greeting); },
            // Copies are called, since the callee may destroy this and with it the callbacks.
            .on_event =
                [this](const QmpEvent& event, Instant) {
                    const auto on_event = callbacks_.on_event;
                    on_event(event);
                },
            .on_lost =
                [this](Error error) {
                    lost_ = true;
                    // Before readiness the loss is told by the answer to query-cpus-fast.
                    const auto on_lost = callbacks_.on_lost;
                    if (ready_) on_lost(std::move(error));
                }});
}

Attachment::~Attachment() {
    if (death_watch_) loop_.unwatch(*death_watch_);
}

void Attachment::connected(const Result<Greeting>& greeting) {
    if (!greeting) return std::exchange(callbacks_.on_ready, nullptr)(std::unexpected(greeting.error()));
    version_ = greeting->version;
    connection_->execute("query-cpus-fast", {}, first_answer_timeout,
                         [this](const Result<boost::json::value>& reply) { find_process(reply); });
}

void Attachment::find_process(const Result<boost::json::value>& reply) {
    if (!reply && outcome_unknown(reply.error().kind)) {
        return std::exchange(callbacks_.on_ready, nullptr)(std::unexpected(reply.error()));
    }
    std::vector<pid_t> threads;
    if (reply) {
        for (const boost::json::value& cpu : elements(&*reply)) {
            threads.push_back(static_cast<pid_t>(integer_of(member(cpu, "thread-id")).value_or(0)));
        }
    }
    process_ = Process::with_threads(connection_->peer_pid(), threads);
    if (process_) {
        death_watch_ = loop_.watch_readable(process_->pidfd(), [this] {
            loop_.unwatch(*std::exchange(death_watch_, std::nullopt));
            const auto on_died = callbacks_.on_died;
            on_died();
        });
    }
    ready_ = true;
    std::exchange(callbacks_.on_ready, nullptr)({});
}

void Attachment::after(Duration delay, std::function<void()> action) {
    loop_.at(loop_.now() + delay, [token = std::weak_ptr(alive_), action = std::move(action)] {
        if (!token.expired()) action();
    });
}

}  // namespace segue::qemu
