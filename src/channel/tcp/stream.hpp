#pragma once
/// \file  The migration stream as a real TCP socket of ours.
///
/// Paced by the kernel (SO_MAX_PACING_RATE, works without fq), short queue (TCP_NOTSENT_LOWAT), progress
/// from TCP_INFO, cut by shutdown(). The descriptor is handed to QEMU; this object keeps its own.
/// Thread: the loop's.

#include <functional>
#include <memory>

#include "base/result.hpp"
#include "channel/channel.hpp"
#include "io/loop.hpp"

namespace segue {

class TcpStream {
public:
    explicit TcpStream(Loop& loop);
    ~TcpStream();
    TcpStream(const TcpStream&) = delete;
    TcpStream& operator=(const TcpStream&) = delete;

    /// Connects (numeric address or name), paces from the first byte, says the token, answers once.
    void connect(const StreamConnect& where, Duration timeout, std::function<void(Result<StreamSample>)> on_answer);
    void pace(std::optional<ByteRate> cap);
    /// TCP_USER_TIMEOUT of the connection, so of QEMU's and the guardian's duplicates as well.
    void limit_silence(Duration silence);
    [[nodiscard]] Result<StreamSample> read() const;
    void cut();
    /// -1 before it is connected. Stays ours.
    [[nodiscard]] int fd() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue
