#pragma once
/// \file  Folders that have another name on the other host. Values only.

#include <string>

namespace segue::vm {

/// Both absolute, without a slash at the end.
struct PathChange {
    std::string from;
    std::string to;
    friend bool operator==(const PathChange&, const PathChange&) = default;
};

}  // namespace segue::vm
