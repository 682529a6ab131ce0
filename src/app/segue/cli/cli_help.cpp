#include "app/segue/cli/cli.hpp"
#include "app/segue/cli/cli_config.hpp"
#include "app/segue/cli/cli_explain.hpp"
#include "app/segue/cli/cli_jobs.hpp"
#include "app/segue/cli/cli_receive.hpp"
#include "app/segue/cli/cli_recover.hpp"
#include "app/segue/cli/cli_vm.hpp"
#include "app/segue/cli/help_text.hpp"

namespace segue {

std::vector<std::string> command_words() {
    return {"migrate", "plan",    "recover", "status", "cancel",  "history", "explain",
            "replay",  "vm",      "config",  "doctor", "receive", "help",    "version"};
}

std::string_view help_about(std::string_view command) {
    if (command == "migrate") return migrate_help_text;
    if (command == "plan") return plan_help_text;
    if (command == "explain") return explain_help_text;
    if (command == "replay") return replay_help_text;
    if (command == "recover") return recover_help_text;
    if (command == "receive") return receive_help_text;
    if (command == "vm") return vm_help_text;
    if (command == "config") return config_help_text;
    if (command == "doctor") return doctor_help_text;
    return is_jobs_command(command) ? jobs_help_text(command) : help_text;
}

}  // namespace segue
