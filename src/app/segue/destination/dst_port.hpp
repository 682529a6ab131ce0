#pragma once
/// \file  The destination's side as the engine sees it: a QEMU of this host, or one behind `segue receive`.
///
/// The rules of hypervisor/guest.hpp hold: no callback from inside of `submit`, each command answered once.
/// Thread: the loop's; the loop must outlive it. Any callback may destroy it.

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "app/segue/words/dst_host.hpp"
#include "hypervisor/guest.hpp"
#include "io/loop.hpp"
#include "migration/request.hpp"
#include "receive/client.hpp"

namespace segue {

class DstPort {
public:
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;

    DstPort() = default;
    virtual ~DstPort() = default;
    DstPort(const DstPort&) = delete;
    DstPort& operator=(const DstPort&) = delete;

    virtual void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) = 0;
    /// The move is over: how, in the words of docs/json-output.md, and why, for the other host's journal. Nobody is
    /// called from here on but `on_left`, once: whether what that host had for this move was ended within 5 s, as far
    /// as it can be seen.
    virtual void leave(const std::string& outcome, const std::string& reason, std::function<void(bool)> on_left) = 0;
    /// For the guardian, the caller's to close; -1 where its process cannot be seen from this host.
    [[nodiscard]] virtual int duplicate_pidfd() const = 0;
    /// As the other host calls itself; empty on this one, and before it is ready.
    [[nodiscard]] virtual std::string host_name() const = 0;
    /// Of the control connection, as measured when it was made; 0 on this host.
    [[nodiscard]] virtual Duration round_trip() const = 0;
};

struct DstPortCallbacks {
    /// Exactly once: it can be asked, or what is in the way.
    std::function<void(std::expected<void, Finding>)> on_ready;
    std::function<void(const GuestNotice&)> on_notice;
    std::function<void(const std::string&)> on_note;  ///< What the other host says to the operator.
};

/// \param data  Where it will listen: what is in the way of that is told with its facts.
[[nodiscard]] std::unique_ptr<DstPort> make_local_dst(Loop& loop, std::string monitor, DstPortCallbacks callbacks,
                                                      std::optional<DataAddress> data = {});
[[nodiscard]] std::unique_ptr<DstPort> make_remote_dst(Loop& loop, const DstHost& host, receive::ClientPlan plan,
                                                       DstPortCallbacks callbacks);

}  // namespace segue
