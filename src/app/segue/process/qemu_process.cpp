#include "app/segue/process/qemu_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

/// In the child, of a process that may have threads: system calls only.
[[noreturn]] void become(char* const* argv, char* const* environment, const char* folder, int go, int input, int log) {
    ::setsid();
    ::setpriority(PRIO_PROCESS, 0, 0);
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &usual, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(input, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    char told = 0;
    ssize_t count = 0;
    do {
        count = ::read(go, &told, 1);
    } while (count < 0 && errno == EINTR);
    if (count != 1) ::_exit(126);
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    if (*folder != '\0' && ::chdir(folder) != 0) ::_exit(126);
    ::execvpe(argv[0], argv, environment);
    constexpr std::string_view complaint = "segue: the command could not be run: ";
    static_cast<void>(!::write(STDERR_FILENO, complaint.data(), complaint.size()));
    const char* const reason = ::strerrordesc_np(errno);
    static_cast<void>(!::write(STDERR_FILENO, reason, std::strlen(reason)));
    ::_exit(127);
}

std::unexpected<Error> os_error(std::string what) {
    return fail(ErrorKind::refused, std::move(what), std::strerror(errno));
}

constexpr int log_tries_max = 3;

/// Locked for as long as QEMU has it as its output, whoever else has died: so that it can be told from a log
/// that nobody writes any more.
Fd open_log(const std::string& path) {
    for (int tries = 0; tries < log_tries_max; ++tries) {
        Fd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
        struct stat seen {};
        if (!log || ::flock(log.get(), LOCK_SH) != 0 || ::fstat(log.get(), &seen) != 0) return {};
        if (seen.st_nlink > 0) return log;  // Else it was taken for an old one before it was locked.
    }
    return {};
}

/// MOVE.log; nothing else in that folder is ours to take away.
bool is_log_of_a_move(const std::filesystem::path& path) {
    const std::string move = path.stem().string();
    constexpr std::size_t digits = 32;
    return path.extension() == ".log" && move.size() == digits &&
           move.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// Of QEMUs that have ended since they were started here. Or every move would leave a file for ever.
void forget_old_logs(const std::filesystem::path& folder) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        if (!is_log_of_a_move(entry.path())) continue;
        const Fd log(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (log && ::flock(log.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
    }
}

}  // namespace

Result<std::string> monitor_in(const std::vector<std::string>& command) {
    if (std::ranges::find(command, "-daemonize") != command.end()) {
        return fail(ErrorKind::invalid, "the command has -daemonize: leave it out, QEMU gets a session of its own "
                                        "without it");
    }
    for (std::size_t i = 0; i + 1 < command.size(); ++i) {
        if (command[i] != "-qmp" && command[i] != "--qmp") continue;
        constexpr std::string_view scheme = "unix:";
        if (!command[i + 1].starts_with(scheme)) continue;
        const std::string rest = command[i + 1].substr(scheme.size());
        std::string path = rest.substr(0, rest.find(','));
        if (path.starts_with('/')) return path;
    }
    return fail(ErrorKind::invalid, "the command has no monitor for Segue: give it -qmp unix:PATH,server=on,wait=off "
                                    "with an absolute PATH");
}

std::vector<std::string> sockets_in(const std::vector<std::string>& command) {
    std::vector<std::string> sockets;
    for (const std::string& word : command) {
        std::vector<std::string> pieces(1);
        for (const char c : word) {
            if (c == ',') pieces.emplace_back();
            else pieces.back() += c;
        }
        const bool serves = std::ranges::any_of(pieces, [](const std::string& piece) {
            return piece == "server" || piece == "server=on" || piece == "server=yes" || piece == "server=true";
        });
        if (!serves) continue;
        for (const std::string& piece : pieces) {
            for (const std::string_view scheme : {"unix:", "path="}) {
                if (piece.starts_with(scheme)) sockets.push_back(piece.substr(scheme.size()));
            }
        }
    }
    return sockets;
}

Result<QemuProcess> QemuProcess::prepare(std::vector<std::string> command, std::string log_path,
                                         ProcessPlace place) {
    QemuProcess process;
    process.log_path_ = std::move(log_path);
    const Fd input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    forget_old_logs(std::filesystem::path(process.log_path_).parent_path());
    const Fd log = open_log(process.log_path_);
    if (!input || !log) return os_error("no log for the destination's QEMU at " + process.log_path_);
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return os_error("no pipe for the destination's QEMU");
    const Fd go(pipe[0]);
    process.go_ = Fd(pipe[1]);
    std::vector<char*> argv;
    for (auto& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    // The first of a name counts.
    std::vector<std::string>& variables = place.environment;
    variables.emplace_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    variables.emplace_back("LC_ALL=C.UTF-8");
    std::vector<char*> environment;
    for (auto& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);

    process.pid_ = ::fork();
    if (process.pid_ < 0) return os_error("no process for the destination's QEMU");
    if (process.pid_ == 0) {
        ::close(pipe[1]);  // Or the end of segue receive would not be seen at the other one.
        become(argv.data(), environment.data(), place.folder.c_str(), go.get(), input.get(), log.get());
    }
    process.pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid_, 0U)));
    if (!process.pidfd_) return os_error("no pidfd of the destination's QEMU");
    return process;
}

void QemuProcess::run() {
    const char go = 1;
    static_cast<void>(!::write(go_.get(), &go, 1));
    go_.reset();
}

bool QemuProcess::dead() const noexcept {
    pollfd entry{pidfd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
}

void QemuProcess::end() {
    constexpr int end_max_ms = 1000;
    go_.reset();
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0U);
    pollfd entry{pidfd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, end_max_ms) > 0) ::waitpid(pid_, nullptr, WNOHANG);
    forget_log();
}

void QemuProcess::forget_log() const { ::unlink(log_path_.c_str()); }

std::string QemuProcess::last_words() const {
    const Fd log(::open(log_path_.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 1024> bytes{};
    const off_t size = log ? ::lseek(log.get(), 0, SEEK_END) : 0;
    const off_t from = std::max<off_t>(size - static_cast<off_t>(bytes.size()), 0);
    const ssize_t count = log ? ::pread(log.get(), bytes.data(), bytes.size(), from) : 0;
    std::string text(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    while (text.ends_with('\n')) text.pop_back();
    return plain_text(text);
}

}  // namespace segue
