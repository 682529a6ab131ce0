#pragma once
/// \file  Where the data connection of a move is awaited: a TCP listener, and in front of it the one-time token.
///
/// The rules are receive/token_check.hpp's; this moves bytes. Of a connection only the token and its newline
/// are read: what follows is the stream and stays in the socket.
/// Thread: the loop's.

#include <sys/socket.h>

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "channel/tcp/resolver.hpp"
#include "hypervisor/guest.hpp"
#include "io/fd.hpp"
#include "io/loop.hpp"
#include "receive/message.hpp"
#include "receive/token_check.hpp"

namespace segue {

class ReceiveListener {
public:
    struct Callbacks {
        std::function<void(Result<DataAddress>)> on_open;  ///< Once, later.
        /// The first stranger who said the token. At most once; nobody else is let in afterwards.
        std::function<void(Fd connection)> on_data;
        std::function<void(std::string who)> on_refused;
    };

    /// Begins to listen where `request` says. The callbacks may call `close`, but not destroy this.
    ReceiveListener(Loop& loop, receive::Listen request, Callbacks callbacks, Resolver::LookUp look_up = {});
    ~ReceiveListener();
    ReceiveListener(const ReceiveListener&) = delete;
    ReceiveListener& operator=(const ReceiveListener&) = delete;

    /// No stranger is listened to any more.
    void close();

private:
    struct Stranger {
        Fd socket;
        std::string who;
        receive::TokenCheck check;
        Loop::WatchId watch{};
        Loop::TimerId timer{};
    };
    using Place = std::list<Stranger>::iterator;

    [[nodiscard]] Result<DataAddress> open(SocketAddress address);
    [[nodiscard]] Result<Fd> bind_to(SocketAddress& address) const;
    void accept_some();
    void take(Fd socket, std::string who);
    void read_token(Place stranger);
    void dismiss(Place stranger, receive::TokenVerdict verdict, const std::string& why);
    void stop_listening();
    void stop_if_closed();

    Loop& loop_;
    receive::Listen request_;
    Callbacks callbacks_;
    Resolver resolver_;
    receive::TokenGate gate_;
    Fd listener_;
    bool closed_ = false;
    std::optional<Loop::WatchId> watch_;
    std::list<Stranger> strangers_;  ///< At most receive::strangers_at_once_max.
};

}  // namespace segue
