#pragma once
/// \file  What `segue migrate` says: results on standard output, talk on standard error.
///
/// For people: one line that is redrawn at most 4 times a second on a terminal, else one line per stage
/// and every 30 s; at the end the result. For programs (`--json`): every report as one line of JSON on
/// standard output (api/report_json.hpp), the last of type `result`, and only notes on standard error.
/// All the wording is in render.hpp and render_plan.hpp; `Output` only decides when to write.
/// Thread: the loop's. It never blocks before `close`.

#include <optional>
#include <string>
#include <string_view>

#include "api/report_json.hpp"
#include "app/segue/output/sink.hpp"
#include "app/segue/words/migrate_words.hpp"
#include "app/segue/words/output_words.hpp"
#include "migration/event.hpp"
#include "policy/converge/plan.hpp"

namespace segue {

struct OutputStyle {
    bool json = false;
    bool verbose = false;
    bool live = false;    ///< Standard error is a terminal: redraw one line.
    bool colour = false;  ///< Of the result, on standard output.
    int columns = 80;
};

/// As the options, the environment (NO_COLOR, CLICOLOR_FORCE, TERM) and the terminals say.
[[nodiscard]] OutputStyle detect_style(const OutputOptions& options);

class Output {
public:
    /// Both sinks outlive this object.
    Output(OutputStyle style, JsonContext context, Sink& out, Sink& err);

    /// The first sign of life and the notes of the command line. Call before anything is opened.
    void begin(const Migrate& migrate);
    /// The number of this move in the journal, for what is told from here on.
    void know_job(std::int64_t job) { context_.job = job; }
    /// The same, and told: how to look at it and to end it from elsewhere.
    void begin_job(std::int64_t job);
    /// Something that the operator should know and that changes nothing. In every mode, on standard error.
    void note(std::string_view text);
    void show(const Report& report);
    /// \param expected  The policy's own forecast of this move, if it has one: people are shown that instead.
    void show(const ForecastReport& forecast, const std::optional<PlanRow>& expected);
    void show(const Plan& plan);
    /// The last word.
    void show(const Summary& summary);
    /// The last word where nothing began: a wrong command line, a monitor that cannot be reached.
    void refuse(const Error& error);
    /// Waits until standard output is written, and shortly for standard error. Only when the guest is safe.
    void close();

private:
    void show_stage(std::string_view stage);
    void show_progress(const ProgressReport& report);
    void line(std::string_view text, Weight weight = Weight::kept);
    void redraw(std::string_view text);
    void wipe();

    OutputStyle style_;
    JsonContext context_;
    Sink& out_;
    Sink& err_;
    std::string stage_;
    std::optional<Duration> shown_at_;  ///< Of the last progress, on the move's own time.
    bool drawn_ = false;                ///< A live line stands on the terminal.
    bool no_level_does_ = false;        ///< A plan was shown, and none of its levels keeps the bounds.
};

}  // namespace segue
