#pragma once
/// \file  What is remembered of guests, one small file per guest: STATE/learned/KEY.json.
///
/// Written whole and renamed into place, so that a reader or a crash sees the old text or the new. Two
/// moves of one guest cannot run at once; should two processes write the same file, the last one wins.
/// Thread: any one at a time. `remember` waits for the disk (fsync): call it once the guest runs, off the
/// loop while the loop still serves a migration. A damaged file is left alone until the next lesson
/// replaces it.

#include <string>

#include "base/result.hpp"
#include "store/experience.hpp"

namespace segue {

/// Where $SEGUE_STATE is not set.
inline constexpr const char* default_state_folder = "/var/lib/segue";

class ExperienceFile final : public ExperienceStore {
public:
    /// \param state_folder  Made when something is first remembered.
    explicit ExperienceFile(std::string state_folder);

    [[nodiscard]] Recollection load(const std::string& guest_key, WallTime now) override;
    [[nodiscard]] std::string remember(const std::string& guest_key, const Lesson& lesson, WallTime now) override;

    [[nodiscard]] std::string path_of(const std::string& guest_key) const;

private:
    std::string folder_;
};

}  // namespace segue
