#include "store/file/experience_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "io/fd.hpp"
#include "store/experience_codec.hpp"

namespace segue {
namespace {

/// Ten entries and a curve need less than 4 KiB.
constexpr std::size_t file_bytes_max = 64 * 1024;

std::string kernel_words(int code) { return std::generic_category().message(code); }

std::unexpected<Error> failed(std::string what, int code) {
    return fail(ErrorKind::unavailable, std::move(what), kernel_words(code));
}

/// The text of a file; empty and no error where there is none.
Result<std::string> read_file(const std::string& path) {
    // O_NONBLOCK: a FIFO in its place must not hold us up.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return errno == ENOENT ? Result<std::string>(std::string()) : failed("it cannot be opened", errno);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return failed("it cannot be read", errno);
    if (!S_ISREG(status.st_mode)) return fail(ErrorKind::corrupt, "it is no regular file");
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("it cannot be read", errno);
        if (count == 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() > file_bytes_max) return fail(ErrorKind::corrupt, "it is too large");
    }
    if (text.empty()) return fail(ErrorKind::corrupt, "it is empty");
    return text;
}

Result<void> write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("it cannot be written", errno);
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fsync(fd) != 0) return failed("it cannot be written", errno);
    return {};
}

/// Removes the temporary file unless it was renamed into place.
class Temporary {
public:
    explicit Temporary(std::string path) : path_(std::move(path)) {}
    ~Temporary() { if (!path_.empty()) ::unlink(path_.c_str()); }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    Result<void> rename_to(const std::string& target) {
        if (std::rename(path_.c_str(), target.c_str()) != 0) return failed("it cannot be replaced", errno);
        path_.clear();
        return {};
    }

private:
    std::string path_;
};

Result<void> replace_file(const std::string& folder, const std::string& path, std::string_view text) {
    std::string name = path + ".XXXXXX";
    const Fd fd(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd) return failed("its folder cannot be written", errno);
    Temporary temporary(name);
    constexpr mode_t everyone_reads = 0644;
    ::fchmod(fd.get(), everyone_reads);
    if (auto written = write_all(fd.get(), text); !written) return written;
    if (auto renamed = temporary.rename_to(path); !renamed) return renamed;
    // The rename itself is on the disk once the folder is. That failing loses a lesson at most.
    const Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) ::fsync(directory.get());
    return {};
}

/// The parsed file; empty where there is none.
Result<Remembered> read_remembered(const std::string& path) {
    SEGUE_TRY(text, read_file(path));
    if (text.empty()) return Remembered{};
    return parse_remembered(text);
}

}  // namespace

ExperienceFile::ExperienceFile(std::string state_folder) : folder_(std::move(state_folder) + "/learned") {}

std::string ExperienceFile::path_of(const std::string& guest_key) const { return folder_ + "/" + guest_key + ".json"; }

Recollection ExperienceFile::load(const std::string& guest_key, WallTime now) {
    Recollection recollection;
    const std::string path = path_of(guest_key);
    auto remembered = read_remembered(path);
    if (!remembered) {
        recollection.warning = fmt::format("what was learned of this guest is not used: {}: {}", path,
                                           to_string(remembered.error()));
        return recollection;
    }
    forget_old(*remembered, now);
    for (const auto& entry : remembered->costs) recollection.fixed_costs.push_back(entry.costs);
    for (const auto& entry : remembered->rollbacks) {
        recollection.rollback_worst = std::max(recollection.rollback_worst, entry.took);
    }
    if (remembered->guest) recollection.guest = std::move(remembered->guest->memory);
    return recollection;
}

std::string ExperienceFile::remember(const std::string& guest_key, const Lesson& lesson, WallTime now) {
    if (!lesson.costs && !lesson.rollback && !lesson.guest) return {};
    const std::string path = path_of(guest_key);
    const auto warning = [&](const Error& error) {
        return fmt::format("what this move taught is not kept for the next one: {}: {}", path, to_string(error));
    };
    std::error_code problem;
    std::filesystem::create_directories(folder_, problem);
    if (problem) return warning({ErrorKind::unavailable, "its folder cannot be made", problem.message()});
    auto read = read_remembered(path);
    // A damaged file is replaced; `load` has warned of it.
    Remembered remembered = read ? std::move(*read) : Remembered{};
    add_lesson(remembered, lesson, now);
    forget_old(remembered, now);
    const auto replaced = replace_file(folder_, path, render_remembered(remembered, guest_key));
    return replaced ? std::string() : warning(replaced.error());
}

}  // namespace segue
