#include "app/segue/move/policy_choice.hpp"

#include <fmt/format.h>

#include <utility>

#include "app/segue/words/plain_text.hpp"
#include "policy/converge/converge.hpp"

namespace segue {

Result<std::unique_ptr<Policy>> choose_policy(std::string_view words, PolicyProcess::Callbacks callbacks) {
    if (words == "converge") return make_converge_policy();
    if (words == "patient") return make_patient_policy();
    if (!words.starts_with("exec:")) {
        return fail(ErrorKind::invalid, fmt::format("--policy \"{}\" is not known: give converge, patient or "
                                                    "exec:COMMAND", plain_text(words)));
    }
    SEGUE_TRY(command, parse_policy_command(words));
    SEGUE_TRY(process, PolicyProcess::start(command, make_converge_policy(), std::move(callbacks)));
    return std::unique_ptr<Policy>(std::move(process));
}

}  // namespace segue
