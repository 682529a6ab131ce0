#pragma once
/// \file  A policy in a process of its own (`--policy exec:COMMAND`): docs/policy-protocol.md is what it is told and
///        answers, policy/external/codec.hpp the lines.
///
/// A policy cannot wait, a process may hang, die or talk nonsense: beside it stands a fallback policy that sees every
/// view too and rules whenever the process has not answered in time. What the process decides is held against the
/// bounds by migration/ as any policy's decision is.
/// Thread: the loop's. Cost: decide() blocks for as long as the process takes, at most 20 ms, beside the
/// fallback's own; it is called at dirty syncs and in pass 1 only, never while the guest stands still.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/segue/process/child.hpp"
#include "base/result.hpp"
#include "policy/external/codec.hpp"
#include "policy/policy.hpp"
#include "units/duration.hpp"

namespace segue {

namespace policy_process_limits {
/// The loop stands still for so long at worst, while the guest runs. An interpreted policy that is awake needs 1 ms.
inline constexpr Duration default_answer_wait = std::chrono::milliseconds{20};
/// Troubles without a good answer between them, and in all; then the process is killed, the fallback rules for good.
inline constexpr int troubles_in_a_row_max = 3;
inline constexpr int troubles_max = 10;
/// Of what it says on its standard error; more is noise.
inline constexpr std::size_t note_bytes_max = 512;
inline constexpr int notes_max = 200;
}  // namespace policy_process_limits

/// The words of "exec:./my-policy --flag", split as those of $SEGUE_SSH. `invalid` says what to write instead.
[[nodiscard]] Result<std::vector<std::string>> parse_policy_command(std::string_view text);

class PolicyProcess final : public Policy {
public:
    static constexpr Duration default_answer_wait = policy_process_limits::default_answer_wait;

    /// Called from inside decide(): they must not call back into the migration.
    struct Callbacks {
        /// What the process did wrong and who rules instead, one sentence; at most a dozen in a move.
        std::function<void(const std::string& sentence)> on_trouble;
        std::function<void(const std::string& line)> on_note;  ///< One line of its standard error.
    };

    /// Starts `command`. \param answer_wait  The longest that decide() waits for it.
    /// Errors: `unavailable` where it cannot be started, with the kernel's words in `source`.
    /// \pre the command, the fallback and both callbacks are there.
    [[nodiscard]] static Result<std::unique_ptr<PolicyProcess>> start(const std::vector<std::string>& command,
                                                                      std::unique_ptr<Policy> fallback,
                                                                      Callbacks callbacks,
                                                                      Duration answer_wait = default_answer_wait);
    /// Kills the process and what it has started, and reaps it.
    ~PolicyProcess() override;

    [[nodiscard]] std::string_view name() const noexcept override { return "exec"; }
    [[nodiscard]] Decision decide(const View& view) override;
    /// Whether the process is still asked.
    [[nodiscard]] bool asked() const noexcept { return child_.has_value(); }

private:
    PolicyProcess(Child child, std::unique_ptr<Policy> fallback, Callbacks callbacks, Duration answer_wait);

    std::optional<Decision> ask(const View& view);
    void wait(Duration at_most) const;
    void write_some();
    std::optional<Decision> read_answers();
    void read_notes();
    void tell_note();
    Decision within_range(Decision decision, const View& view);
    void trouble(const std::string& what);
    /// \param what  Absent: it is dead, and its status says how.
    void end(std::optional<std::string> what);

    std::optional<Child> child_;  ///< Absent: the fallback rules for good.
    std::unique_ptr<Policy> fallback_;
    Callbacks callbacks_;
    Duration answer_wait_;
    external::LineReader reader_;
    std::uint64_t number_ = 0;  ///< Of the view it was told last.
    std::string outbox_;
    std::string note_;  ///< The line that has begun.
    int notes_told_ = 0;
    int troubles_ = 0;
    int troubles_in_a_row_ = 0;
    bool range_told_ = false;
};

}  // namespace segue
