#include "brake/cgroup/undo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

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

/// The deepest folder that holds all of `folders`.
std::string common_place(const std::vector<std::string>& folders) {
    std::string place = folders.front();
    const auto holds = [&](const std::string& folder) { return folder == place || folder.starts_with(place + "/"); };
    while (!place.empty() && !std::ranges::all_of(folders, holds)) place = parent_of(place);
    return place;
}

int levels_below(const std::string& place, const std::string& folder) {
    return static_cast<int>(std::ranges::count(folder.substr(place.size()), '/'));
}

struct Line {
    GroupVersion version{};
    bool takes_back_cpu = false;
    std::string name;
    int levels = 0;
    std::string place;
};

/// No deeper: libvirt's groups of single vCPUs are one level below the guest's.
constexpr int levels_max = 4;

std::optional<Line> parse(std::string_view text) {
    const auto words = split(text, ' ');
    if (words.size() != 4) return std::nullopt;
    Line line;
    line.version = words[0] == "v1" ? GroupVersion::v1 : GroupVersion::v2;
    line.takes_back_cpu = words[0] == "v2+cpu";
    line.name = words[1];
    line.levels = static_cast<int>(number_in(words[2], -1));
    const auto place = unescaped(words[3]);
    const bool known = words[0] == "v1" || words[0] == "v2" || line.takes_back_cpu;
    if (!known || !place || line.levels < 0 || line.levels > levels_max) return std::nullopt;
    line.place = *place;
    // The name without what is numbered, and the place without a step back.
    if (line.name.find('/') != std::string::npos || !is_our_group(line.place + "/" + line.name + "-vcpu0")) {
        return std::nullopt;
    }
    return line;
}

void find_groups(const Line& line, const std::string& folder, int levels, std::vector<std::string>& found) {
    for (const std::string& entry : names_in(folder)) {
        const std::string path = folder + "/" + entry;
        if (entry.starts_with(line.name + "-") && is_our_group(path)) {
            found.push_back(path);
        } else if (levels > 0) {
            find_groups(line, path, levels - 1, found);
        }
    }
}

}  // namespace

std::string undo_line(const std::string& name, const std::vector<VcpuGroup>& groups) {
    if (groups.empty()) return {};
    std::vector<std::string> homes;
    for (const VcpuGroup& group : groups) homes.push_back(parent_of(group.folder));
    const std::string place = common_place(homes);
    int levels = 0;
    for (const std::string& home : homes) levels = std::max(levels, levels_below(place, home));
    const bool enabled = std::ranges::any_of(groups, &VcpuGroup::enabled_cpu);
    const char* version = groups.front().thread.version == GroupVersion::v1 ? "v1" : enabled ? "v2+cpu" : "v2";
    return fmt::format("{} {} {} {}", version, name, levels, escaped(place));
}

Result<void> undo_brake(std::string_view text, const GroupFiles& files) {
    if (text.empty()) return {};
    const auto line = parse(text);
    if (!line) {
        return fail(ErrorKind::invalid,
                    "the brake in the journal is not one that this version understands: nothing was touched");
    }
    if (names_in(line->place).empty()) return {};  // Gone with everything in it.
    if (!files.is_group(line->place)) {
        return fail(ErrorKind::invalid, fmt::format("{} is no cgroup: nothing was touched", line->place));
    }
    std::vector<std::string> found;
    find_groups(*line, line->place, line->levels, found);
    Result<void> done;
    for (const std::string& folder : found) {
        if (auto removed = remove_group(files, line->version, folder); !removed) done = removed;
    }
    for (const std::string& folder : found) {
        if (line->takes_back_cpu) disable_cpu(parent_of(folder));
    }
    return done;
}

}  // namespace segue
