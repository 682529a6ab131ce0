#include "app/segue/vm/foreign_vm.hpp"

#include <dirent.h>
#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "app/segue/words/plain_text.hpp"
#include "io/links.hpp"
#include "vm/foreign.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

/// What /proc separates by zeros.
std::vector<std::string> words_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
    return words;
}

std::string link_of(const std::string& path) {
    std::error_code none;
    std::string target = fs::read_symlink(path, none).string();
    constexpr std::string_view gone = " (deleted)";
    if (target.ends_with(gone)) target.resize(target.size() - gone.size());
    return target;
}

std::map<int, vm::HandedFd> fds_of(const std::string& process) {
    std::map<int, vm::HandedFd> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(process + "/fd", none)) {
        const std::string name = entry.path().filename().string();
        int number = -1;
        std::from_chars(name.data(), name.data() + name.size(), number);
        std::error_code gone;
        const std::string target = fs::read_symlink(entry.path(), gone).string();
        vm::HandedFd fd;
        if (target == "/dev/net/tun") {
            fd.tap = tun_name_in(process + "/fdinfo/" + name);
        } else if (target.starts_with('/') && !target.ends_with(" (deleted)")) {
            fd.path = target;
        }
        found.emplace(number, std::move(fd));
    }
    return found;
}

/// Those that somebody named: the others are told by where they sit.
std::map<std::string, std::string> named_devices(const GuestFacts& src) {
    std::map<std::string, std::string> devices;
    for (const Device& device : src.devices) {
        const bool named = device.place != "peripheral-anon" && device.place != "unattached" &&
                           !device.place.starts_with("pci ");
        if (named) devices.emplace(device.place, device.type);
    }
    return devices;
}

}  // namespace

Result<std::vector<std::string>> command_of_foreign(const GuestFacts& src, const std::string& monitor,
                                                    const std::vector<vm::PathChange>& paths) {
    if (src.pid == 0) {
        return fail(ErrorKind::refused, "the process behind the source's monitor cannot be seen, so that its command "
                                        "line is not known: run segue on its host, as root");
    }
    const std::string process = fmt::format("/proc/{}", src.pid);
    vm::ForeignGuest guest;
    guest.argv = words_of(process + "/cmdline");
    guest.program = link_of(process + "/exe");
    guest.folder = link_of(process + "/cwd");
    guest.environment = words_of(process + "/environ");
    guest.machine_type = src.machine_type;
    guest.devices = named_devices(src);
    guest.fds = fds_of(process);
    guest.paths = paths;
    guest.monitor = monitor;
    auto command = vm::foreign_command(guest);
    if (command) return std::move(*command);
    std::string all;
    for (const std::string& problem : command.error()) all += (all.empty() ? "" : "; ") + plain_text(problem);
    return fail(ErrorKind::refused, "the destination cannot be built from the source's command line: " + all);
}

}  // namespace segue
