#include "app/segue/jobs/job_socket.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <thread>

#include "app/segue/jobs/job_client.hpp"
#include "app/segue/jobs/job_service.hpp"
#include "base/folder_test.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// A state folder of its own, a loop, and clients that are sockets of this test.
class JobSocketTest : public testing::Test {
protected:
    void open() {
        auto opened = JobSocket::open(loop_, path_, [this](const job::Request& request, const JobSocket::Peer& peer) {
            ++requests_;
            EXPECT_EQ(peer.pid, ::getpid());
            if (std::holds_alternative<job::CancelRequest>(request)) return job::Reply{job::Cancelling{}};
            job::Status status;
            status.job = 7;
            status.vm = std::string(1000, 'v');
            return job::Reply{status};
        });
        ASSERT_TRUE(opened) << to_string(opened.error());
        socket_ = std::move(*opened);
    }

    /// A client of this test, and whether it got in.
    Fd connect(bool wanted = true) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, path_.size());
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const int done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        EXPECT_EQ(done == 0, wanted);
        return fd;
    }
    static std::size_t send(const Fd& fd, std::string_view text) {
        const ssize_t count = ::send(fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    void run_for(Duration time) {
        loop_.at(loop_.now() + time, [this] { loop_.stop(); });
        loop_.run();
    }
    /// What came; `ended` tells whether the other side has closed.
    static std::string receive(const Fd& fd, bool* ended = nullptr) {
        std::string text;
        std::array<char, 65536> bytes{};
        for (;;) {
            const ssize_t count = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (ended != nullptr) *ended = count == 0 || (count < 0 && errno != EAGAIN);
            if (count <= 0) return text;
            text.append(bytes.data(), static_cast<std::size_t>(count));
        }
    }
    static mode_t mode_of(const std::string& path) {
        struct stat found {};
        EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
        return found.st_mode & 07777;
    }

    TestFolder folder_;
    Loop loop_;
    std::string state_ = folder_.path();
    std::string path_ = job_socket_path(state_, 7);
    std::unique_ptr<JobSocket> socket_;
    int requests_ = 0;
};

constexpr std::string_view ask_status = "{\"type\":\"status\",\"version\":1}\n";
constexpr std::string_view ask_cancel = "{\"type\":\"cancel\",\"version\":1}\n";

TEST_F(JobSocketTest, answers_several_requests_of_one_client_in_order) {
    open();
    const Fd client = connect();
    send(client, std::string(ask_status) + std::string(ask_cancel));
    run_for(milliseconds{50});
    send(client, ask_status.substr(0, 9));
    run_for(milliseconds{20});
    send(client, ask_status.substr(9));
    run_for(milliseconds{50});
    bool ended = true;
    const std::string text = receive(client, &ended);
    EXPECT_FALSE(ended);
    EXPECT_EQ(requests_, 3);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
    EXPECT_LT(text.find("\"type\":\"status\""), text.find("\"type\":\"cancelling\""));
}

TEST_F(JobSocketTest, is_for_its_owner_alone_and_gone_in_the_end) {
    fs::create_directories(fs::path(path_).parent_path());
    fs::permissions(fs::path(path_).parent_path(), fs::perms{0755});
    open();
    EXPECT_EQ(mode_of(path_), 0600U);
    EXPECT_EQ(mode_of(state_ + "/jobs"), 0700U);
    socket_.reset();
    EXPECT_FALSE(fs::exists(path_));
}

TEST_F(JobSocketTest, takes_the_place_of_one_whose_process_is_dead_and_of_no_other) {
    open();
    EXPECT_EQ(JobSocket::open(loop_, path_, {}).error().kind, ErrorKind::conflict);
    EXPECT_TRUE(fs::exists(path_));
    // What a killed process leaves: the name, and nobody who listens.
    fs::rename(path_, path_ + ".kept");
    {
        const Fd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, path_.size());
        ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    auto second = JobSocket::open(loop_, path_, {});
    ASSERT_TRUE(second) << to_string(second.error());
    // The first one is not named so any more, and must leave the second's name alone.
    socket_.reset();
    EXPECT_TRUE(fs::exists(path_));
    second->reset();
    EXPECT_FALSE(fs::exists(path_));
}

TEST_F(JobSocketTest, refuses_a_path_that_is_too_long_and_a_folder_that_is_none) {
    const auto refused = JobSocket::open(loop_, job_socket_path(state_ + "/" + std::string(100, 'x'), 7), {});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("107"), std::string::npos);
    fs::create_directory_symlink("/tmp", state_ + "/jobs");
    EXPECT_FALSE(JobSocket::open(loop_, path_, {}));
}

TEST_F(JobSocketTest, tells_a_broken_line_once_and_closes) {
    open();
    for (const std::string& line : {std::string("garbage\n"), std::string("{\"type\":\"status\",\"version\":9}\n"),
                                    std::string(job::line_bytes_max + 1, 'x')}) {
        const Fd client = connect();
        for (std::size_t at = 0; at < line.size();) {
            at += send(client, std::string_view(line).substr(at));
            run_for(milliseconds{20});
        }
        run_for(milliseconds{50});
        bool ended = false;
        const std::string text = receive(client, &ended);
        EXPECT_TRUE(ended);
        EXPECT_TRUE(text.starts_with("{\"type\":\"error\",\"version\":1,")) << text;
        EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
    }
    EXPECT_EQ(requests_, 0);
}

TEST_F(JobSocketTest, closes_who_says_nothing_or_never_ends_a_line) {
    open();
    const Fd silent = connect();
    const Fd slow = connect();
    for (int i = 0; i < 5; ++i) {
        send(slow, " ");
        run_for(job_socket::patience / 4);
    }
    bool silent_ended = false;
    bool slow_ended = false;
    receive(silent, &silent_ended);
    receive(slow, &slow_ended);
    EXPECT_TRUE(silent_ended);
    EXPECT_TRUE(slow_ended);
}

TEST_F(JobSocketTest, holds_little_for_who_does_not_read_and_closes_him) {
    open();
    const Fd client = connect();
    for (int i = 0; i < 40; ++i) {
        while (send(client, ask_status) > 0) {
        }
        run_for(milliseconds{10});
    }
    const int asked = requests_;
    EXPECT_GT(asked, 10);
    run_for(milliseconds{200});
    EXPECT_EQ(requests_, asked) << "nothing is read of him while answers wait";
    run_for(job_socket::patience);
    bool ended = false;
    receive(client, &ended);
    EXPECT_TRUE(ended);
}

TEST_F(JobSocketTest, lets_eight_in_and_tells_the_ninth) {
    open();
    std::vector<Fd> clients;
    for (std::size_t i = 0; i <= job_socket::clients_max; ++i) {
        clients.push_back(connect());
        run_for(milliseconds{5});
    }
    bool ended = false;
    EXPECT_NE(receive(clients.back(), &ended).find("too many"), std::string::npos);
    EXPECT_TRUE(ended);
    send(clients.front(), ask_status);
    run_for(milliseconds{50});
    EXPECT_FALSE(receive(clients.front()).empty());
    clients.front().reset();
    run_for(milliseconds{20});
    const Fd next = connect();
    send(next, ask_status);
    run_for(milliseconds{50});
    EXPECT_NE(receive(next).find("\"type\":\"status\""), std::string::npos);
}

TEST_F(JobSocketTest, hears_nobody_while_deaf_and_everybody_after) {
    open();
    const Fd before = connect();
    run_for(milliseconds{20});
    socket_->deafen(true);
    const Fd later = connect();
    send(before, ask_status);
    send(later, ask_cancel);
    run_for(job_socket::patience + milliseconds{200});
    EXPECT_EQ(requests_, 0);
    socket_->deafen(false);
    run_for(milliseconds{50});
    EXPECT_EQ(requests_, 2);
    bool ended = true;
    EXPECT_FALSE(receive(before, &ended).empty());
    EXPECT_FALSE(ended) << "its time stood still";
    EXPECT_NE(receive(later).find("cancelling"), std::string::npos);
}

TEST_F(JobSocketTest, is_asked_by_the_client_in_time_or_not_at_all) {
    EXPECT_EQ(ask_job(path_, job::StatusRequest{}, milliseconds{100}).error().kind, ErrorKind::refused);
    open();
    Result<job::Reply> good = fail(ErrorKind::invalid, "");
    Result<job::Reply> late = good;
    std::thread asking([&] { good = ask_job(path_, job::StatusRequest{}, std::chrono::seconds{2}); });
    run_for(milliseconds{300});
    asking.join();
    ASSERT_TRUE(good) << to_string(good.error());
    EXPECT_EQ(std::get<job::Status>(*good).job, 7);
    socket_->deafen(true);
    std::thread waiting([&] { late = ask_job(path_, job::StatusRequest{}, milliseconds{100}); });
    run_for(milliseconds{300});
    waiting.join();
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, ErrorKind::timed_out);
}

TEST_F(JobSocketTest, of_a_move_cancels_it_once_and_says_who_asked) {
    int cancelled = 0;
    std::vector<std::string> notes;
    JobService service(loop_, state_, {7, "qmp:/a", "h1", "h2", milliseconds{300}, std::nullopt},
                       {[&] { ++cancelled; }, [&](const std::string& line) { notes.push_back(line); }});
    const Fd client = connect();
    send(client, std::string(ask_cancel) + std::string(ask_cancel) + std::string(ask_status));
    run_for(milliseconds{50});
    EXPECT_EQ(cancelled, 1);
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_NE(notes[0].find("process " + std::to_string(::getpid())), std::string::npos);
    service.note(StageReport{Duration{0}, "held"});
    send(client, ask_status);
    run_for(milliseconds{50});
    const std::string text = receive(client);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
    service.note(StageReport{Duration{0}, "undoing"});
    run_for(milliseconds{50});
    EXPECT_NE(receive(client).find("\"stage\":\"undoing\""), std::string::npos);
}

TEST_F(JobSocketTest, that_cannot_be_made_costs_the_move_a_note) {
    std::vector<std::string> notes;
    JobService service(loop_, state_ + "/" + std::string(100, 'x'),
                       {7, "qmp:/a", "h1", "h2", milliseconds{300}, std::nullopt},
                       {[] {}, [&](const std::string& line) { notes.push_back(line); }});
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_NE(notes[0].find("segue status and segue cancel will not work for job 7"), std::string::npos) << notes[0];
    service.note(StageReport{Duration{0}, "held"});
}

}  // namespace
}  // namespace segue
