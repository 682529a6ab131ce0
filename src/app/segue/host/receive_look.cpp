#include "app/segue/host/receive_look.hpp"

#include <fmt/format.h>

#include <utility>

#include "app/segue/host/network_check.hpp"
#include "app/segue/words/plain_text.hpp"
#include "vm/networks.hpp"

namespace segue {
namespace {

std::vector<Obstacle> data_obstacles(const Result<DataAddress>& opened) {
    if (opened) return {};
    if (opened.error().kind == ErrorKind::conflict) {
        return {{"data-port", to_string(opened.error()),
                 "end what listens there, or give --data-address another port or a range of them"}};
    }
    return {{"data-address", to_string(opened.error()),
             "give --data-address an address of that host, by which this one reaches it"}};
}

Obstacle no_answer(const std::string& host, Duration waited) {
    return {"data-address",
            fmt::format("the address of '{}' given as --data-address was not found within {} s: its name service does "
                        "not answer", plain_text(host), std::chrono::duration<double>(waited).count()),
            "give --data-address a numeric address of that host, or mend its name service (/etc/resolv.conf there)"};
}

}  // namespace

ReceiveLook::~ReceiveLook() { stop_timer(); }

void ReceiveLook::stop_timer() {
    if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
}

void ReceiveLook::give_up() {
    stop_timer();
    listener_.reset();
}

void ReceiveLook::look(const receive::Prepare& prepare, std::function<void(Found)> then) {
    Found found;
    if (!prepare.command.empty()) {
        const auto networks = vm::networks_in(prepare.command);
        found.network = network_obstacles(networks, look_at_networks(networks, prepare.command.front()));
    }
    if (!prepare.data) return then(std::move(found));
    look_at_data(*prepare.data, [found = std::move(found), then = std::move(then)](std::vector<Obstacle> data) mutable {
        found.data = std::move(data);
        then(std::move(found));
    });
}

void ReceiveLook::look_at_data(const receive::DataPlace& place, std::function<void(std::vector<Obstacle>)> then) {
    receive::Listen listen;
    listen.host = place.host;
    listen.port = place.port;
    listen.port_first = place.port_first;
    listen.port_last = place.port_last;
    timer_ = loop_.at(loop_.now() + at_most_, [this, host = place.host, then] {
        timer_.reset();
        listener_.reset();
        then({no_answer(host, at_most_)});
    });
    listener_ = std::make_unique<ReceiveListener>(
        loop_, std::move(listen),
        ReceiveListener::Callbacks{[this, then = std::move(then)](const Result<DataAddress>& opened) {
                                       // Before anybody is let in.
                                       listener_->close();
                                       // Later: this is one of its own callbacks.
                                       loop_.post([old = std::shared_ptr<ReceiveListener>(std::move(listener_))] {});
                                       stop_timer();
                                       then(data_obstacles(opened));
                                   },
                                   [](const Fd&) {}, [](const std::string&) {}},
        look_up_);
}

}  // namespace segue
