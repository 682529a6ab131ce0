#include "brake/cgroup/undo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace segue {
namespace {

std::string escaped(const std::string& path) {
    std::string text;
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = byte > ' ' && byte < 127 && c != '\\';
        text += plain ? std::string(1, c) : fmt::format("\\{:03o}", byte);
    }
    return text;
}

/// Nothing where an escape is none.
std::optional<std::string> unescaped(std::string_view text) {
    std::string path;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\\') {
            path += text[at];
            continue;
        }
        int byte = 0;
        for (std::size_t digit = at + 1; digit < at + 4; ++digit) {
            if (digit >= text.size() || text[digit] < '0' || text[digit] > '7') return std::nullopt;
            byte = byte * 8 + (text[digit] - '0');
        }
        if (byte > 255) return std::nullopt;
        path += static_cast<char>(byte);
        at += 3;
    }
    return path;
}

}  // namespace

std::string undo_line(const std::vector<VcpuGroup>& groups) {
    if (groups.empty()) return {};
    const bool enabled = std::ranges::any_of(groups, &VcpuGroup::enabled_cpu);
    std::string line = groups.front().thread.version == GroupVersion::v1 ? "v1" : enabled ? "v2+cpu" : "v2";
    for (const VcpuGroup& group : groups) line += " " + escaped(group.folder);
    return line;
}

Result<void> undo_brake(std::string_view line, const GroupFiles& files) {
    const auto words = split(line, ' ');
    if (words.empty()) return {};
    const bool v1 = words[0] == "v1";
    const bool take_back_cpu = words[0] == "v2+cpu";
    if (!v1 && !take_back_cpu && words[0] != "v2") {
        return fail(ErrorKind::invalid, "the brake in the journal is not one that this version understands");
    }
    std::vector<std::string> folders;
    for (std::size_t at = 1; at < words.size(); ++at) {
        const auto folder = unescaped(words[at]);
        if (!folder || !is_our_group(*folder)) {
            return fail(ErrorKind::invalid,
                        fmt::format("{} in the journal is no group of ours: nothing was touched", words[at]));
        }
        // Gone, its parent perhaps too: nothing is left to do.
        int error = 0;
        static_cast<void>(read_small(*folder + (v1 ? "/tasks" : "/cgroup.threads"), &error));
        if (error == ENOENT || error == ENOTDIR) continue;
        if (!files.is_group(*folder)) {
            return fail(ErrorKind::invalid, fmt::format("{} is no cgroup: nothing was touched", *folder));
        }
        folders.push_back(*folder);
    }
    Result<void> done;
    std::set<std::string> homes;
    for (const std::string& folder : folders) {
        if (auto removed = remove_group(files, v1 ? GroupVersion::v1 : GroupVersion::v2, folder); !removed) {
            done = removed;
        }
        homes.insert(parent_of(folder));
    }
    for (const std::string& home : homes) {
        if (take_back_cpu) disable_cpu(home);
    }
    return done;
}

}  // namespace segue
