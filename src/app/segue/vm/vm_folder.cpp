#include "app/segue/vm/vm_folder.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "store/sqlite/owner_process.hpp"
#include "vm/description.hpp"

namespace segue {
namespace {

namespace json = boost::json;

constexpr std::size_t file_bytes_max = 64 * 1024;

std::string kernel_words(int code) { return std::generic_category().message(code); }

std::unexpected<Error> failed(const std::string& what, int code) {
    return fail(ErrorKind::refused, what, kernel_words(code));
}

std::unexpected<Error> not_understood(const std::string& path) {
    return fail(ErrorKind::corrupt,
                fmt::format("{} cannot be understood: see what runs (segue vm list), then take the file away", path));
}

/// An object of a file, or nothing where there is no file.
Result<std::optional<json::object>> read_object(const std::string& path) {
    SEGUE_TRY(text, read_small_file(path));
    if (!text) return std::optional<json::object>();
    json::error_code problem;
    json::value value = json::parse(*text, problem);
    if (problem || !value.is_object()) return not_understood(path);
    return std::optional<json::object>(std::move(value.get_object()));
}

std::optional<std::string> text_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return std::string(value->get_string());
}

std::optional<std::int64_t> number_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return std::nullopt;
    json::error_code problem;
    const auto number = value->to_number<std::int64_t>(problem);
    return problem ? std::nullopt : std::optional(number);
}

Result<std::optional<MoveOwner>> read_process(const std::string& folder) {
    const std::string path = folder + "/process.json";
    SEGUE_TRY(object, read_object(path));
    if (!object) return std::optional<MoveOwner>();
    const auto pid = number_of(*object, "pid");
    const auto ticks = number_of(*object, "start_ticks");
    const auto boot = text_of(*object, "boot_id");
    if (!pid || !ticks || !boot) return not_understood(path);
    return std::optional(MoveOwner{*pid, static_cast<std::uint64_t>(*ticks), *boot});
}

Result<std::optional<VmMoved>> read_moved(const std::string& folder) {
    const std::string path = folder + "/moved.json";
    SEGUE_TRY(object, read_object(path));
    if (!object) return std::optional<VmMoved>();
    const auto host = text_of(*object, "host");
    const auto at = text_of(*object, "at");
    const auto job = number_of(*object, "job");
    if (!host || !at || !job) return not_understood(path);
    return std::optional(VmMoved{*host, *job, *at});
}

Result<std::optional<VmArriving>> read_arriving(const std::string& folder) {
    const std::string path = folder + "/arriving.json";
    SEGUE_TRY(object, read_object(path));
    if (!object) return std::optional<VmArriving>();
    const auto move = text_of(*object, "move");
    const auto from = text_of(*object, "from");
    const auto at = text_of(*object, "at");
    const auto* fresh = object->if_contains("fresh");
    if (!move || !from || !at || fresh == nullptr || !fresh->is_bool()) return not_understood(path);
    return std::optional(VmArriving{*move, *from, *at, fresh->get_bool()});
}

Result<void> write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed(path + " cannot be written", errno);
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fsync(fd) != 0) return failed(path + " cannot be written", errno);
    return {};
}

}  // namespace

std::string vm_folder(const std::string& state_folder, const std::string& name) {
    return state_folder + "/vms/" + name;
}

std::vector<std::string> vm_names(const std::string& state_folder) {
    std::vector<std::string> names;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(state_folder + "/vms", problem), end; !problem && at != end;
         at.increment(problem)) {
        std::string name = at->path().filename().string();
        std::error_code ignored;
        if (at->is_directory(ignored) && vm::is_vm_name(name)) names.push_back(std::move(name));
    }
    std::ranges::sort(names);
    return names;
}

Result<std::optional<std::string>> read_small_file(const std::string& path) {
    // O_NONBLOCK: a FIFO in its place must not hold us up.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::optional<std::string>();
    if (!fd) return failed(path + " cannot be opened", errno);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return failed(path + " cannot be read", errno);
    if (!S_ISREG(status.st_mode)) return fail(ErrorKind::invalid, path + " is no regular file");
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed(path + " cannot be read", errno);
        if (count == 0) return std::optional(std::move(text));
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() > file_bytes_max) return fail(ErrorKind::invalid, path + " is larger than 64 KiB");
    }
}

Result<VmRecord> load_vm(const std::string& state_folder, const std::string& name) {
    VmRecord record;
    record.name = name;
    record.folder = vm_folder(state_folder, name);
    struct stat status{};
    if (::stat(record.folder.c_str(), &status) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return record;
        return failed(record.folder + " cannot be read", errno);
    }
    record.exists = true;
    SEGUE_TRY(text, read_small_file(record.folder + "/vm.toml"));
    record.text = std::move(text);
    SEGUE_TRY(uuid, read_small_file(record.folder + "/uuid"));
    if (uuid) {
        record.uuid = uuid->substr(0, uuid->find('\n'));
        if (!vm::is_uuid(record.uuid)) return not_understood(record.folder + "/uuid");
    }
    SEGUE_TRY(process, read_process(record.folder));
    record.process = std::move(process);
    SEGUE_TRY(moved, read_moved(record.folder));
    record.moved = std::move(moved);
    SEGUE_TRY(arriving, read_arriving(record.folder));
    record.arriving = std::move(arriving);
    return record;
}

bool vm_runs(const VmRecord& record) { return record.process && look_for(*record.process) != Liveness::gone; }

Result<void> make_vm_folder(const std::string& folder) {
    std::error_code problem;
    std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), problem);
    constexpr mode_t ours_alone = 0700;
    if (problem || (::mkdir(folder.c_str(), ours_alone) != 0 && errno != EEXIST)) {
        return failed(folder + " cannot be made", problem ? problem.value() : errno);
    }
    return {};
}

Result<void> write_vm_file(const std::string& folder, std::string_view file, std::string_view text) {
    const std::string path = fmt::format("{}/{}", folder, file);
    std::string temporary = path + ".XXXXXX";
    const Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return failed(path + " cannot be written", errno);
    auto written = write_all(fd.get(), text, path);
    if (written && std::rename(temporary.c_str(), path.c_str()) != 0) {
        written = failed(path + " cannot be replaced", errno);
    }
    if (!written) ::unlink(temporary.c_str());
    return written;
}

Result<void> write_vm_process(const std::string& folder, const MoveOwner& process) {
    const json::object object{
        {"pid", process.pid}, {"start_ticks", process.start_ticks}, {"boot_id", process.boot_id}};
    return write_vm_file(folder, "process.json", json::serialize(object) + "\n");
}

Result<void> write_vm_arriving(const std::string& folder, const VmArriving& arriving) {
    const json::object object{
        {"move", arriving.move}, {"from", arriving.from}, {"at", arriving.at}, {"fresh", arriving.fresh}};
    return write_vm_file(folder, "arriving.json", json::serialize(object) + "\n");
}

Result<void> mark_moved(const std::string& state_folder, const std::string& name, const std::string& host, JobId job,
                        WallInstant at) {
    const std::string folder = vm_folder(state_folder, name);
    if (auto made = make_vm_folder(folder); !made) return made;
    const json::object object{{"host", host}, {"job", static_cast<std::int64_t>(job)}, {"at", utc_text(at)}};
    if (auto written = write_vm_file(folder, "moved.json", json::serialize(object) + "\n"); !written) return written;
    const Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) {
        return failed(folder + " is not known to be on the disk", errno);
    }
    return {};
}

void remove_vm_file(const std::string& folder, std::string_view file) {
    ::unlink(fmt::format("{}/{}", folder, file).c_str());
}

void remove_vm_remains(const std::string& folder) {
    for (const char* file : {"process.json", "control.qmp", "guard.qmp", "spare.qmp"}) remove_vm_file(folder, file);
}

void settle_vm_folder(const std::string& folder) {
    const Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) ::fsync(directory.get());
}

std::string utc_text(WallInstant at) {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(
                                                    std::chrono::time_point_cast<std::chrono::seconds>(at))));
}

Result<VmLock> VmLock::take(const std::string& state_folder, const std::string& name) {
    const std::string folder = state_folder + "/vms";
    std::error_code problem;
    std::filesystem::create_directories(folder, problem);
    // Beside the VM's folder, which may come and go; no VM's name begins with a dot.
    const std::string path = fmt::format("{}/.{}.lock", folder, name);
    constexpr mode_t ours_alone = 0600;
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, ours_alone));
    if (!file) return failed(path + " cannot be opened", errno);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return failed(path + " cannot be locked", errno);
        return fail(ErrorKind::conflict,
                    fmt::format("{} is being started, or is arriving, just now: wait for that (segue vm list)", name));
    }
    return VmLock(std::move(file));
}

}  // namespace segue
