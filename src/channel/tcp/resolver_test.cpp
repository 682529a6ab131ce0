#include "channel/tcp/resolver.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <future>
#include <memory>
#include <optional>
#include <string>

#include "channel/tcp/hanging_names_test.hpp"
#include "io/run_loop_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Addresses = Result<std::vector<SocketAddress>>;

struct ResolverTest : testing::Test {
    Loop loop;
    std::optional<Addresses> answer;

    void ask(Resolver& resolver, const std::string& host) {
        resolver.resolve(host, 4444, [this](Addresses addresses) {
            answer = std::move(addresses);
            loop.stop();
        });
        EXPECT_FALSE(answer) << "answered from inside of resolve";
    }
};

TEST_F(ResolverTest, NumericAddressesNeedNoNameService) {
    Resolver resolver(loop, [](const std::string&, std::uint16_t) -> Addresses {
        ADD_FAILURE() << "it was asked";
        return fail(ErrorKind::unavailable, "");
    });
    ask(resolver, "192.0.2.7");
    run_at_most(loop, seconds{5});
    ASSERT_TRUE(answer && *answer);
    const auto& address = reinterpret_cast<const sockaddr_in&>((*answer)->front().storage);
    EXPECT_EQ(address.sin_port, htons(4444));
}

TEST_F(ResolverTest, NamesAreLookedUpByTheSystem) {
    Resolver resolver(loop);
    ask(resolver, "localhost");
    run_at_most(loop, seconds{5});
    ASSERT_TRUE(answer && *answer) << (answer ? to_string(answer->error()) : "no answer");
    EXPECT_FALSE((*answer)->empty());
}

TEST_F(ResolverTest, DoesNotHoldUpItsOwnerWhileTheNameServiceHangs) {
    HangingNames names;
    const auto ended = std::make_shared<std::promise<void>>();
    const auto look_up = [hang = names.look_up(), ended](const std::string& host, std::uint16_t port) {
        auto addresses = hang(host, port);
        ended->set_value();
        return addresses;
    };
    const Instant began = loop.now();
    {
        Resolver resolver(loop, look_up);
        ask(resolver, "slow.example");
        run_at_most(loop, milliseconds{20});
    }
    EXPECT_LT(loop.now() - began, seconds{2});
    names.let_go();
    ended->get_future().wait();
    run_at_most(loop, milliseconds{20});
    EXPECT_FALSE(answer) << "answered after its end";
}

}  // namespace
}  // namespace segue
