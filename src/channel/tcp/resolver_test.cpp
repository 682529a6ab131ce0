#include "channel/tcp/resolver.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <future>
#include <memory>
#include <optional>

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Addresses = Result<std::vector<SocketAddress>>;

/// A name service that answers nobody until it is let go, or for 5 s. Its threads' too.
struct HangingNames {
    std::promise<void> let_go;
    std::promise<void> ended;
    std::shared_future<void> gone = let_go.get_future().share();
};

Resolver::LookUp look_up_with(const std::shared_ptr<HangingNames>& names) {
    return [names](const std::string&, std::uint16_t) -> Addresses {
        names->gone.wait_for(seconds{5});
        names->ended.set_value();
        return fail(ErrorKind::unavailable, "no such name");
    };
}

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
    void run(Duration most) {
        const auto timer = loop.at(loop.now() + most, [this] { loop.stop(); });
        loop.run();
        loop.cancel(timer);
    }
};

TEST_F(ResolverTest, NumericAddressesNeedNoNameService) {
    Resolver resolver(loop, [](const std::string&, std::uint16_t) -> Addresses {
        ADD_FAILURE() << "it was asked";
        return fail(ErrorKind::unavailable, "");
    });
    ask(resolver, "192.0.2.7");
    run(seconds{5});
    ASSERT_TRUE(answer && *answer);
    const auto& address = reinterpret_cast<const sockaddr_in&>((*answer)->front().storage);
    EXPECT_EQ(address.sin_port, htons(4444));
}

TEST_F(ResolverTest, NamesAreLookedUpByTheSystem) {
    Resolver resolver(loop);
    ask(resolver, "localhost");
    run(seconds{5});
    ASSERT_TRUE(answer && *answer) << (answer ? to_string(answer->error()) : "no answer");
    EXPECT_FALSE((*answer)->empty());
}

TEST_F(ResolverTest, DoesNotHoldUpItsOwnerWhileTheNameServiceHangs) {
    const auto names = std::make_shared<HangingNames>();
    const Instant began = loop.now();
    {
        Resolver resolver(loop, look_up_with(names));
        ask(resolver, "slow.example");
        run(milliseconds{20});
    }
    EXPECT_LT(loop.now() - began, seconds{2});
    names->let_go.set_value();
    names->ended.get_future().wait();
    run(milliseconds{20});
    EXPECT_FALSE(answer) << "answered after its end";
}

}  // namespace
}  // namespace segue
