#include "hypervisor/qemu/outbox.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace segue::qemu {
namespace {

/// One sendmsg(); what it returned.
ssize_t send_some(int socket, const char* bytes, std::size_t size, int passed) {
    // sendmsg() does not write through iov_base; the type is C's.
    iovec part{const_cast<char*>(bytes), size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (passed >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &passed, sizeof(int));
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

void Outbox::push(std::string bytes, Fd passed) {
    frames_.push_back(Frame{std::move(bytes), 0, std::move(passed), false});
}

void Outbox::push_ahead(std::string bytes) {
    auto place = frames_.begin();
    while (place != frames_.end() && (place->written > 0 || place->ahead)) ++place;
    frames_.insert(place, Frame{std::move(bytes), 0, Fd(), true});
}

Outbox::Flush Outbox::flush(int socket) {
    while (!frames_.empty()) {
        Frame& frame = frames_.front();
        const ssize_t sent = send_some(socket, frame.bytes.data() + frame.written,
                                       frame.bytes.size() - frame.written, frame.passed.get());
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return Flush::blocked;
            error_number_ = errno;
            return Flush::broken;
        }
        // With the first byte the receiver has the descriptor; a second copy would be one too many.
        if (sent > 0) frame.passed.reset();
        frame.written += static_cast<std::size_t>(sent);
        if (frame.written == frame.bytes.size()) frames_.pop_front();
    }
    return Flush::empty;
}

}  // namespace segue::qemu
