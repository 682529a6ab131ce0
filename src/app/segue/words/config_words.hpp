#pragma once
/// \file  What `segue config ...` and `segue doctor` were asked for. Values only.

#include <optional>
#include <string>

#include "app/segue/words/dst_host.hpp"

namespace segue {

struct ConfigWords {
    enum class Verb { explain, check };
    Verb verb = Verb::check;
    std::string vm;             ///< Of explain: NAME, FILE or qmp:PATH.
    std::optional<DstHost> to;  ///< Of explain: then what that host's settings say of it counts too.
    bool json = false;
};

struct DoctorWords {
    std::optional<DstHost> host;  ///< Look at that one too, through its `segue receive`.
    bool json = false;
};

}  // namespace segue
