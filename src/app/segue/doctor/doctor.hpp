#pragma once
/// \file  `segue doctor`: what a host lacks for moves, finding by finding, with the remedies.
///
/// Reads, starts programs that only answer (segue-guard without a word, QEMU without a machine, the other host's
/// `segue receive`), and changes nothing. Blocks: each program has `doctor_limits` to answer in.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/segue/vm/vm_files.hpp"
#include "app/segue/words/config_words.hpp"
#include "units/duration.hpp"

namespace segue {

namespace doctor_limits {
/// Of a program on this host: QEMU answers in 0.1 to 0.3 s, on a busy disk in seconds.
inline constexpr Duration program_max = std::chrono::seconds{10};
/// Of the other host to greet: ssh included, and short enough for who waits at a terminal.
inline constexpr Duration greeting_max = std::chrono::seconds{20};
/// A host has one QEMU or two; more are looked at in `segue vm check`.
inline constexpr std::size_t programs_max = 8;
}  // namespace doctor_limits

enum class Verdict {
    ok,
    warning,  ///< Moves work, but a promise is weaker or an option is missing.
    problem,  ///< Moves are refused, or something waits for the operator.
};
/// Stable words: ok, warning, problem.
[[nodiscard]] std::string_view to_string(Verdict verdict) noexcept;

struct Checkup {
    std::string check;  ///< What was looked at, one word: "guardian", "journal".
    Verdict verdict = Verdict::ok;
    std::string what;    ///< One sentence without its full stop.
    std::string remedy;  ///< Empty where all is well.
};
using Checkups = std::vector<Checkup>;

/// Exit status: 0, or 1 with a problem.
[[nodiscard]] int run_doctor(const DoctorWords& words, const std::string& segue_version);

/// One line a finding, its remedy below it; pure.
[[nodiscard]] std::string render_doctor(const Checkups& checkups);
/// A line of type `doctor` of docs/json-output.md; pure.
[[nodiscard]] std::string doctor_json(const Checkups& checkups, std::string_view host, std::string_view other);

// ---- checks, each of which adds one finding or more ------------------------------------------------------

void check_guardian(Checkups& into);
void check_qemu(const VmPlaces& places, Checkups& into);
void check_ssh(Checkups& into);
void check_other_host(const DstHost& host, const std::string& segue_version, Checkups& into);

void check_settings(const VmPlaces& places, Checkups& into);
void check_state_folder(const std::string& folder, Checkups& into);
void check_journal(const std::string& folder, Checkups& into);
void check_brake(Checkups& into);
void check_clock(Checkups& into);
void check_network(Checkups& into);
void check_limits_of_guardian(Checkups& into);
void check_kvm(Checkups& into);

}  // namespace segue
