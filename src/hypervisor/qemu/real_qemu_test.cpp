#include "hypervisor/qemu/real_qemu_test.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "hypervisor/qemu/connection.hpp"
#include "io/fd.hpp"

namespace segue::qemu {

namespace fs = std::filesystem;

std::string qemu_program(const std::string& version) {
    const char* lab = std::getenv("SEGUE_LAB");
    const std::string home = lab != nullptr ? lab : "/var/tmp/segue-lab";
    const std::string path =
        version == "10" ? home + "/qemu10/qemu-system-x86_64" : "/usr/bin/qemu-system-x86_64";
    return ::access(path.c_str(), X_OK) == 0 ? path : std::string{};
}

namespace {

/// Bound and listening: the file is there from bind() on, and a connect before listen() is refused.
bool listening(const std::string& path) {
    std::ifstream sockets("/proc/net/unix");
    for (std::string line; std::getline(sockets, line);) {
        if (line.ends_with(" " + path) && line.find(" 00010000 ") != std::string::npos) return true;
    }
    return false;
}

/// Inherited by a child.
Fd listen_at(const std::string& path) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(socket.get(), 1), 0);
    return socket;
}

}  // namespace

RealQemu::RealQemu(const std::string& program, const std::vector<std::string>& arguments, Listener listener) {
    Fd passed;
    std::vector<std::string> words{program};
    if (listener == Listener::this_process) {
        passed = listen_at(monitor());
        words.insert(words.end(), {"-chardev", "socket,id=m,server=on,wait=off,fd=" + std::to_string(passed.get()),
                                   "-mon", "chardev=m,mode=control"});
    } else {
        words.insert(words.end(), {"-qmp", "unix:" + monitor() + ",server=on,wait=off"});
    }
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int log = ::open(folder_.file("log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ::dup2(log, 1);
        ::dup2(log, 2);
        if (::chdir(folder().c_str()) == 0) ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    for (int i = 0; i < 500 && !listening(monitor()) && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++i) {
        const timespec pause{0, 10'000'000};
        ::nanosleep(&pause, nullptr);
    }
}

RealQemu::~RealQemu() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

std::string RealQemu::ask(const std::string& command) const {
    Loop loop;
    std::string text;
    Connection connection(loop, monitor(), "test", std::chrono::seconds{3},
                          {.on_ready = [](const auto&) {}, .on_event = [](const auto&, Instant) {},
                           .on_lost = [](const auto&) {}});
    connection.execute(command, {}, std::chrono::seconds{3}, [&](const Result<boost::json::value>& reply) {
        text = reply ? boost::json::serialize(*reply) : to_string(reply.error());
    });
    run_until(loop, [&text] { return !text.empty(); });
    return text;
}

std::unique_ptr<RealQemu> QemuTest::start(std::vector<std::string> more, const std::vector<std::string>& last) const {
    std::vector<std::string> arguments{"-machine", "pc", "-m", "130M", "-nodefaults", "-display", "none"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), last.begin(), last.end());
    return std::make_unique<RealQemu>(program, arguments);
}

}  // namespace segue::qemu
