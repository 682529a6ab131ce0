#include "channel/tcp/tcp_info.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include "io/fd.hpp"

namespace segue {
namespace {

/// A connection over the loopback, whose round trip takes microseconds.
class ShortPath {
public:
    ShortPath() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                  sender_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address);
        auto* any = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(listener_.get(), any, size), 0);
        EXPECT_EQ(::listen(listener_.get(), 1), 0);
        EXPECT_EQ(::getsockname(listener_.get(), any, &size), 0);
        EXPECT_EQ(::connect(sender_.get(), any, size), 0);
    }
    [[nodiscard]] int sender() const { return sender_.get(); }
    [[nodiscard]] bool choose(const std::string& control) const {
        return ::setsockopt(sender(), IPPROTO_TCP, TCP_CONGESTION, control.data(),
                            static_cast<socklen_t>(control.size())) == 0;
    }
    [[nodiscard]] std::string control() const {
        std::array<char, 16> name{};
        socklen_t size = name.size() - 1;
        EXPECT_EQ(::getsockopt(sender(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size), 0);
        return name.data();
    }

private:
    Fd listener_;
    Fd sender_;
};

TEST(TcpInfo, bbr_gives_way_to_cubic_where_a_round_trip_is_short) {
    const ShortPath path;
    const ShortPath other;
    const bool both = other.choose("cubic") && path.choose("bbr");
    const std::string before = path.control();
    prefer_cubic_on_short_path(path.sender());
    EXPECT_EQ(path.control(), both ? "cubic" : before);
}

TEST(TcpInfo, what_else_an_operator_has_chosen_stays) {
    const ShortPath path;
    ASSERT_TRUE(path.choose("reno")) << "every kernel has it";
    prefer_cubic_on_short_path(path.sender());
    EXPECT_EQ(path.control(), "reno");
}

}  // namespace
}  // namespace segue
