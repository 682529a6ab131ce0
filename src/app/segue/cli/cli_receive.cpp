#include "app/segue/cli/cli_receive.hpp"

#include <fmt/format.h>

#include "app/segue/words/plain_text.hpp"

namespace segue {

Result<Invocation> parse_receive(const std::vector<std::string>& arguments) {
    bool stdio = false;
    for (const std::string& word : arguments) {
        if (word == "--help" || word == "-h") return Help{std::string(receive_help_text)};
        if (word != "--stdio") {
            return fail(ErrorKind::invalid, fmt::format("\"{}\" is not known to segue receive: it takes --stdio alone",
                                                        plain_text(word)));
        }
        stdio = true;
    }
    if (stdio) return Receive{};
    return fail(ErrorKind::invalid, "segue receive speaks on its standard streams only: write segue receive --stdio");
}

}  // namespace segue
