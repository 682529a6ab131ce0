#include "app/segue/output/output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "api/plan_json.hpp"
#include "app/segue/output/render.hpp"
#include "app/segue/output/render_plan.hpp"
#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr Duration redraw_every = std::chrono::milliseconds{250};
constexpr Duration log_every = std::chrono::seconds{30};
/// A terminal that does not take the last lines of talk is not waited for longer.
constexpr Duration stderr_patience = std::chrono::seconds{1};

bool is_set(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

bool wants_colour(int fd) {
    if (is_set("NO_COLOR")) return false;
    if (is_set("CLICOLOR_FORCE")) return std::string_view(std::getenv("CLICOLOR_FORCE")) != "0";
    const char* const term = std::getenv("TERM");
    return ::isatty(fd) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

/// `text` cut to `columns` columns, never inside a character; every character counts as one column.
std::string_view cut(std::string_view text, std::size_t columns) {
    std::size_t end = 0;
    for (std::size_t shown = 0; end < text.size(); ++end) {
        if ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) continue;
        if (shown++ == columns) break;
    }
    return text.substr(0, end);
}

}  // namespace

OutputStyle detect_style(const OutputOptions& options) {
    OutputStyle style;
    style.json = options.json;
    style.verbose = options.verbose;
    style.colour = !options.json && wants_colour(STDOUT_FILENO);
    const char* const term = std::getenv("TERM");
    const bool dumb = term == nullptr || std::string_view(term) == "dumb";
    style.live = !options.json && ::isatty(STDERR_FILENO) == 1 && !dumb;
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.columns = size.ws_col;
    return style;
}

Output::Output(OutputStyle style, JsonContext context, Sink& out, Sink& err)
    : style_(style), context_(std::move(context)), out_(out), err_(err) {}

void Output::begin(const Migrate& migrate) {
    for (const std::string& text : migrate.notes) note(text);
    if (!style_.json) line(render_begin(migrate));
}

void Output::begin_job(std::int64_t job) {
    know_job(job);
    if (style_.json) return;
    line(plain_text(context_.vm) + fmt::format(": job {0}; from elsewhere: segue status {0}, segue cancel {0}", job));
}

void Output::note(std::string_view text) { line("segue: " + plain_text(text)); }

void Output::show(const Report& report) {
    if (std::holds_alternative<PolicyReport>(report)) return;  // For the record alone.
    if (style_.json) {
        const bool passing = std::holds_alternative<ProgressReport>(report);
        out_.write(report_json(report, context_) + '\n', passing ? Weight::passing : Weight::kept);
        return;
    }
    if (const auto* preflight = std::get_if<PreflightReport>(&report)) {
        const std::string text = render_preflight(*preflight, context_.dry_run || style_.verbose);
        if (!text.empty()) line(text);
    } else if (const auto* forecast = std::get_if<ForecastReport>(&report)) {
        line(render_forecast(*forecast, context_.bounds));
    } else if (const auto* progress = std::get_if<ProgressReport>(&report)) {
        show_progress(*progress);
    } else if (const auto* stage = std::get_if<StageReport>(&report)) {
        show_stage(stage->stage);
    } else if (const auto* decision = std::get_if<DecisionReport>(&report)) {
        // A plan has few, and each is about how good it will be.
        if (style_.verbose || context_.dry_run) line(render_decision(*decision));
    }
}

void Output::show(const ForecastReport& forecast, const std::optional<PlanRow>& expected) {
    if (style_.json || !expected) return show(Report(forecast));
    line(render_expected(*expected, forecast));
}

void Output::show(const Plan& plan) {
    wipe();
    no_level_does_ = !plan.feasible;
    const std::string text =
        style_.json ? plan_json(plan, context_) : render_plan(plan, context_.vm, context_.bounds);
    out_.write(text + '\n', Weight::kept);
}

void Output::show_stage(std::string_view stage) {
    if (stage == stage_ || stage == "finished") return;
    stage_ = stage;
    shown_at_.reset();
    if (style_.live && !style_.verbose) {
        redraw(render_stage(stage));
    } else {
        line(plain_text(context_.vm) + ": " + render_stage(stage));
    }
}

void Output::show_progress(const ProgressReport& report) {
    const Duration every = style_.live ? redraw_every : log_every;
    // The move's own time starts again when it begins in earnest: then everything is due.
    const bool due = !shown_at_ || report.elapsed < *shown_at_ || report.elapsed - *shown_at_ >= every;
    if (!due) return;
    // A log has said a moment ago that copying began; the first numbers are due after `log_every`.
    const bool first_in_log = !style_.live && !shown_at_;
    shown_at_ = report.elapsed;
    if (first_in_log) return;
    if (style_.live) {
        redraw(render_progress(report));
    } else {
        line(plain_text(context_.vm) + ": " + render_progress(report), Weight::passing);
    }
}

void Output::show(const Summary& summary) {
    wipe();
    if (!style_.json && no_level_does_ && summary.outcome == Outcome::planned) {
        const std::string vm = plain_text(context_.vm);
        return out_.write(vm + ": no level keeps these bounds, nothing was changed\n", Weight::result);
    }
    const std::string text = style_.json ? result_json(summary, context_)
                                         : render_result(summary, context_.vm, context_.bounds, style_.colour);
    out_.write(text + '\n', Weight::result);
}

void Output::refuse(const Error& error) {
    // Of settings everything that is wrong is told at once, a line each.
    const std::string text = to_string(error);
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        line("segue: " + plain_text(std::string_view(text).substr(begin, end - begin)), Weight::result);
        begin = end + 1;
    }
    if (style_.json) out_.write(refusal_json(error, context_) + '\n', Weight::result);
}

void Output::close() {
    err_.drain(stderr_patience);
    out_.drain(std::nullopt);
}

void Output::line(std::string_view text, Weight weight) {
    wipe();
    err_.write(std::string(text) + '\n', weight);
}

void Output::redraw(std::string_view text) {
    const auto columns = static_cast<std::size_t>(style_.columns > 1 ? style_.columns - 1 : 1);
    err_.write(fmt::format("\r{}\x1b[K", cut(text, columns)), Weight::passing);
    drawn_ = true;
}

void Output::wipe() {
    if (drawn_) err_.write("\r\x1b[K", Weight::kept);
    drawn_ = false;
}

}  // namespace segue
