#pragma once
/// \file  What could stand where the cursor is: `segue __complete WORDS...`, for packaging/completion/segue.bash.
///
/// Never fails and never waits: who presses the tabulator gets what is known, or nothing.

#include <string>
#include <vector>

#include "app/segue/vm/vm_files.hpp"

namespace segue {

/// What this host knows.
struct CompletionSources {
    std::vector<std::string> vms;
    std::vector<std::string> hosts;  ///< Those with settings.
    std::vector<std::string> jobs;   ///< That have not ended.
};

/// \param words  What follows `segue`; the last one is being written, and may be empty. Pure.
/// \return  Sorted, none twice, each beginning with the last word. Empty also where a file's name is expected.
[[nodiscard]] std::vector<std::string> complete(const std::vector<std::string>& words,
                                                const CompletionSources& sources);

/// Prints them, a line each.
[[nodiscard]] int run_completion(int argc, const char* const* argv);

}  // namespace segue
