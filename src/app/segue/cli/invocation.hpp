#pragma once
/// \file  What a command line asks for: one of these.

#include <string>
#include <variant>

#include "app/segue/words/config_words.hpp"
#include "app/segue/words/explain_words.hpp"
#include "app/segue/words/jobs_words.hpp"
#include "app/segue/words/migrate_words.hpp"
#include "app/segue/words/recover_words.hpp"
#include "app/segue/words/vm_words.hpp"

namespace segue {

struct Help { std::string text; };  ///< For standard output; exit status 0.
struct Version {};
struct Receive {};  ///< `segue receive --stdio`.

using Invocation = std::variant<Migrate, Help, Version, Receive, Recover, JobsCommand, VmWords, ExplainJob, ReplayJob,
                                ConfigWords, DoctorWords>;

}  // namespace segue
