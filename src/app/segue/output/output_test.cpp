#include "app/segue/output/output.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>

#include "app/segue/output/render.hpp"
#include "app/segue/output/render_plan.hpp"
#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string vm = "qmp:/run/a.qmp";

Bounds bounds() { return {milliseconds{500}, std::chrono::minutes{2}, mebibytes_per_second(100), std::nullopt}; }

Summary moved() {
    Summary s;
    s.outcome = Outcome::moved;
    s.guest_on = GuestOn::destination;
    s.guest_stopped = true;
    s.downtime = milliseconds{212};
    s.parts = {milliseconds{4}, milliseconds{180}, milliseconds{21}, milliseconds{7}};
    s.total = milliseconds{9310};
    s.sent = mebibytes(812);
    s.passes = 5;
    return s;
}

Summary stayed(Outcome outcome) {
    Summary s;
    s.outcome = outcome;
    s.guest_on = GuestOn::source;
    s.error = "the link fell to 1 MiB/s";
    s.total = milliseconds{12'300};
    s.sent = mebibytes(640);
    s.passes = 1;
    return s;
}

ProgressReport progress(Duration elapsed, std::string_view stage = "copying") {
    return {elapsed, 4, Bytes{1'932'735'283}, mebibytes(700), mebibytes_per_second(612), mebibytes_per_second(410),
            milliseconds{3100}, milliseconds{300}, stage};
}

ForecastReport forecast() {
    ForecastReport f;
    f.samples = {{seconds{1}, mebibytes(52)}, {seconds{3}, mebibytes(118)}};
    f.bandwidth = mebibytes_per_second(98);
    f.bandwidth_known = true;
    f.budget = mebibytes(30);
    f.rounds = {true, seconds{12}, milliseconds{210}, mebibytes(900), 6, mebibytes(96)};
    return f;
}

Migrate migrate() {
    Migrate m;
    m.request.vm = vm;
    m.request.bounds = bounds();
    m.dst_qmp = "/run/b.qmp";
    return m;
}

// ---- wording ---------------------------------------------------------------------------------------

TEST(Result, is_one_line_for_a_move_within_its_bounds) {
    EXPECT_EQ(render_result(moved(), vm, bounds(), false),
              "qmp:/run/a.qmp: moved in 9.31 s, downtime 0.212 s (limit 0.500 s: stop 0.004, transfer 0.180, "
              "load 0.021, "
              "handover 0.007), 812 MiB sent, 5 passes");
}

TEST(Result, never_says_within_the_limit_of_a_downtime_that_was_not) {
    Summary s = moved();
    s.downtime = milliseconds{500} + microseconds{1};
    s.error = "the guest moved, but it stood for 0.501 s, over --max-downtime 0.5 s";
    EXPECT_EQ(render_result(s, vm, bounds(), false),
              "qmp:/run/a.qmp: moved in 9.31 s, downtime 0.501 s (over the limit of 0.500 s: stop 0.004, "
              "transfer 0.180, "
              "load 0.021, handover 0.007), 812 MiB sent, 5 passes\n"
              "  note: the guest moved, but it stood for 0.501 s, over --max-downtime 0.5 s");
}

TEST(Result, shows_parts_that_add_up_and_a_downtime_rounded_up) {
    Summary s = moved();
    s.parts = {microseconds{4'600}, microseconds{180'600}, microseconds{20'400}, microseconds{6'600}};
    s.downtime = s.parts.stop + s.parts.transfer + s.parts.load + s.parts.handover;  // 212.2 ms
    EXPECT_NE(render_result(s, vm, bounds(), false)
                  .find("downtime 0.213 s (limit 0.500 s: stop 0.005, transfer 0.181, load 0.020, handover 0.007)"),
              std::string::npos);
    Bounds fine = bounds();
    fine.max_downtime = microseconds{300'250};
    EXPECT_NE(render_result(s, vm, fine, false).find("limit 0.30025 s"), std::string::npos);
}

TEST(Result, says_where_the_guest_is_when_it_did_not_move) {
    Summary s = stayed(Outcome::downtime_exceeded);
    s.guest_stopped = true;
    s.downtime = milliseconds{481};
    s.rollback = microseconds{12'300};
    EXPECT_EQ(render_result(s, vm, bounds(), false),
              "qmp:/run/a.qmp: not moved: the link fell to 1 MiB/s\n"
              "  guest: runs on the source, stood 0.481 s (limit 0.500 s), rolled back in 0.013 s; after 12.3 "
              "s, 640 MiB "
              "sent, 1 pass");
    EXPECT_EQ(render_result(stayed(Outcome::timeout), vm, bounds(), false),
              "qmp:/run/a.qmp: not moved: the link fell to 1 MiB/s\n"
              "  guest: runs on the source; after 12.3 s, 640 MiB sent, 1 pass");
}

TEST(Result, warns_when_the_truth_is_not_known) {
    Summary s = stayed(Outcome::unknown);
    s.guest_on = GuestOn::unknown;
    s.guest_stopped = true;
    s.downtime = milliseconds{700};
    EXPECT_EQ(render_result(s, vm, bounds(), true),
              "qmp:/run/a.qmp: \x1b[31mstate unknown\x1b[0m: the link fell to 1 MiB/s\n"
              "  guest: not known where it runs, stood 0.700 s so far (over the limit of 0.500 s); after 12.3 "
              "s, 640 MiB "
              "sent, 1 pass\n"
              "  next: ask both monitors (query-status); continue no side before the other is known to stand "
              "or to be gone");
}

TEST(Result, names_everything_that_is_in_the_way) {
    Summary s;
    s.outcome = Outcome::refused;
    s.findings = {{"the destination runs a guest already", "start it with -incoming defer"}};
    EXPECT_EQ(render_result(s, vm, bounds(), false),
              "qmp:/run/a.qmp: refused, nothing was changed: the destination runs a guest already; start it "
              "with -incoming "
              "defer");
    s.findings.push_back({"the machine types differ", ""});
    EXPECT_EQ(render_result(s, vm, bounds(), false),
              "qmp:/run/a.qmp: refused, nothing was changed; 2 things are in the way:\n"
              "  - the destination runs a guest already; start it with -incoming defer\n"
              "  - the machine types differ");
    s.findings.clear();
    s.error = "no \x1b[31mmonitor";
    EXPECT_EQ(render_result(s, vm, bounds(), false),
              "qmp:/run/a.qmp: refused, nothing was changed: no ?[31mmonitor");
}

TEST(Result, of_every_outcome_names_the_guest_and_has_no_empty_end) {
    for (const Outcome outcome : {Outcome::moved, Outcome::failed, Outcome::refused, Outcome::downtime_exceeded,
                                  Outcome::timeout, Outcome::cancelled, Outcome::guest_crashed, Outcome::unknown,
                                  Outcome::planned}) {
        const std::string text = render_result(stayed(outcome), vm, bounds(), false);
        EXPECT_TRUE(text.starts_with(vm + ": ")) << text;
        EXPECT_FALSE(text.ends_with(' ') || text.ends_with('\n')) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
    EXPECT_EQ(render_result(stayed(Outcome::planned), vm, bounds(), true),
              "qmp:/run/a.qmp: \x1b[32mnothing is in the way\x1b[0m, nothing was changed");
}

TEST(Progress, shows_what_matters_and_never_a_percentage) {
    EXPECT_EQ(render_progress(progress(milliseconds{58'200})),
              "pass 4  1.8 GiB left  612 MiB/s out  410 MiB/s dirty  blackout now 3.1 s (limit 0.3 s)  after 58.2 s");
    ProgressReport first = progress(milliseconds{400}, "undoing");
    first.out = first.dirtying = std::nullopt;
    first.blackout_now = std::nullopt;
    EXPECT_EQ(render_progress(first), "rolling back: the source goes on  pass 4  1.8 GiB left  after 0.4 s");
}

TEST(Forecast, is_marked_as_uncalibrated) {
    const std::string head = "forecast, uncalibrated (a plain model; errors of 20 to 80 % are usual):\n"
                             "  the guest dirties 52 MiB in 1 s, 118 MiB in 3 s";
    EXPECT_EQ(render_forecast(forecast(), bounds()),
              head + "; assumed: 98 MiB/s, at most 30 MiB pending at the stop\n"
                     "  about 12 s and 6 passes, 900 MiB sent, downtime about 0.21 s (limit 0.5 s)");
    ForecastReport f = forecast();
    f.rounds.converges = false;
    EXPECT_EQ(render_forecast(f, bounds()),
              head + "; assumed: 98 MiB/s, at most 30 MiB pending at the stop\n"
                     "  does not converge: 96 MiB would be pending at every pass, and 30 MiB may be (limit 0.5 s)");
    f.budget = Bytes{-5};
    EXPECT_EQ(render_forecast(f, bounds()),
              head + "; assumed: 98 MiB/s, at most 0 B pending at the stop\n"
                     "  nothing may be pending at the stop: a limit of 0.5 s leaves no time for data");
    f.bandwidth_known = false;
    EXPECT_EQ(render_forecast(f, bounds()),
              "no forecast: the bandwidth is not known (give --max-bandwidth or --switchover-bandwidth)\n"
              "  the guest dirties 52 MiB in 1 s, 118 MiB in 3 s");
}

TEST(Begin, says_what_was_understood) {
    Migrate m = migrate();
    EXPECT_EQ(render_begin(m),
              "qmp:/run/a.qmp to /run/b.qmp: downtime at most 0.5 s, timeout 2 min, at most 100 MiB/s");
    m.request.bounds = {};
    m.request.bounds.switchover_bandwidth = ByteRate{125'000'000};
    m.request.dry_run = true;
    EXPECT_EQ(render_begin(m),
              "qmp:/run/a.qmp to /run/b.qmp: downtime at most 0.3 s, no timeout, no bandwidth cap, 119 MiB/s for the "
              "switchover; a dry run, nothing is changed");
}

TEST(Stage, that_has_no_sentence_is_shown_by_its_word) { EXPECT_EQ(render_stage("pon\x07" "dering"), "pon?dering"); }

// ---- when ------------------------------------------------------------------------------------------

class RecordingSink final : public Sink {
public:
    void write(std::string_view written, Weight) override { text += written; }
    void drain(std::optional<Duration>) override {}
    std::string take() { return std::exchange(text, {}); }
    std::string text;
};

struct Screen {
    explicit Screen(OutputStyle style) : output(style, {vm, bounds(), false}, out, err) {}
    RecordingSink out;
    RecordingSink err;
    Output output;
};

TEST(Log, has_a_line_per_stage_and_one_every_half_minute) {
    Screen screen({});
    Migrate m = migrate();
    m.notes = {"--timeout 120 means 120 s"};
    screen.output.begin(m);
    EXPECT_EQ(screen.err.take(), "segue: --timeout 120 means 120 s\n" + render_begin(m) + "\n");
    screen.output.show(StageReport{Duration{0}, "inspecting"});
    screen.output.show(StageReport{Duration{0}, "inspecting"});
    screen.output.show(StageReport{seconds{1}, "copying"});
    EXPECT_EQ(screen.err.take(), vm + ": asking both sides\n" + vm + ": copying memory while the guest runs\n");
    for (int tick = 0; tick <= 700; ++tick) screen.output.show(progress(milliseconds{100} * tick));
    EXPECT_EQ(screen.err.take(), vm + ": " + render_progress(progress(seconds{30})) + "\n" + vm + ": " +
                                     render_progress(progress(seconds{60})) + "\n");
    screen.output.show(DecisionReport{seconds{61}, "go", "it fits"});
    screen.output.show(StageReport{seconds{62}, "finished"});
    EXPECT_EQ(screen.err.take(), "");
    EXPECT_EQ(screen.out.take(), "");
    screen.output.show(moved());
    EXPECT_EQ(screen.err.take(), "");
    EXPECT_EQ(screen.out.take(), render_result(moved(), vm, bounds(), false) + "\n");
}

TEST(Log, tells_people_the_job_and_how_to_reach_it) {
    Screen people({});
    people.output.begin_job(7);
    EXPECT_EQ(people.err.take(), vm + ": job 7; from elsewhere: segue status 7, segue cancel 7\n");
    Screen program({.json = true});
    program.output.begin_job(7);
    EXPECT_EQ(program.err.take(), "");
}

TEST(Log, of_a_plan_that_no_level_keeps_does_not_end_with_nothing_in_the_way) {
    Screen screen({});
    screen.output.show(Plan{});
    screen.out.take();
    screen.output.show(stayed(Outcome::planned));
    EXPECT_EQ(screen.out.take(), vm + ": no level keeps these bounds, nothing was changed\n");
}

TEST(Terminal, redraws_one_line_at_most_four_times_a_second) {
    Screen screen({.live = true, .columns = 40});
    screen.output.show(StageReport{Duration{0}, "copying"});
    EXPECT_EQ(screen.err.take(), "\rcopying memory while the guest runs\x1b[K");
    for (int tick = 0; tick < 100; ++tick) screen.output.show(progress(milliseconds{10} * tick));
    const std::string drawn = screen.err.take();
    EXPECT_EQ(std::count(drawn.begin(), drawn.end(), '\r'), 4);
    EXPECT_TRUE(drawn.starts_with("\rpass 4  1.8 GiB left  612 MiB/s out  41\x1b[K")) << drawn;
    screen.output.show(progress(Duration{0}));  // The move's own time began again.
    EXPECT_NE(screen.err.take(), "");
    screen.output.show(forecast());
    EXPECT_EQ(screen.err.take(), "\r\x1b[K" + render_forecast(forecast(), bounds()) + "\n");
    screen.output.show(progress(seconds{9}));
    screen.err.take();
    screen.output.show(moved());
    EXPECT_EQ(screen.err.take(), "\r\x1b[K");
    EXPECT_EQ(screen.out.take(), render_result(moved(), vm, bounds(), false) + "\n");
}

TEST(Forecast, of_the_plain_model_is_shown_where_the_policy_has_none) {
    Screen screen({});
    screen.output.show(forecast(), std::nullopt);
    EXPECT_EQ(screen.err.take(), render_forecast(forecast(), bounds()) + "\n");
    PlanRow row;
    row.finishes_ratio = 1;
    screen.output.show(forecast(), row);
    EXPECT_EQ(screen.err.take(), render_expected(row, forecast()) + "\n");
    EXPECT_EQ(screen.out.take(), "");
}

TEST(Forecast, is_the_same_line_of_json_whatever_people_are_shown) {
    Screen screen({.json = true});
    screen.output.show(forecast(), PlanRow{});
    EXPECT_EQ(screen.out.take(), report_json(forecast(), {vm, bounds(), false}) + "\n");
    EXPECT_EQ(screen.err.take(), "");
}

TEST(Verbose, adds_decisions_and_keeps_the_stages) {
    Screen screen({.verbose = true, .live = true});
    screen.output.show(StageReport{Duration{0}, "copying"});
    screen.output.show(DecisionReport{seconds{61}, "go", "12 MiB\nfit"});
    EXPECT_EQ(screen.err.take(), vm + ": copying memory while the guest runs\nafter 61 s: go: 12 MiB?fit\n");
}

TEST(Json, is_all_of_standard_output_and_ends_with_the_result) {
    Screen screen({.json = true, .verbose = true});
    screen.output.begin(migrate());
    screen.output.show(StageReport{Duration{0}, "inspecting"});
    screen.output.show(forecast());
    screen.output.show(progress(seconds{1}));
    screen.output.show(DecisionReport{seconds{61}, "go", "it fits"});
    screen.output.show(moved());
    EXPECT_EQ(screen.err.take(), "");
    const JsonContext context{vm, bounds(), false};
    EXPECT_EQ(screen.out.take(), report_json(StageReport{Duration{0}, "inspecting"}, context) + "\n" +
                                     report_json(forecast(), context) + "\n" +
                                     report_json(progress(seconds{1}), context) + "\n" +
                                     report_json(DecisionReport{seconds{61}, "go", "it fits"}, context) + "\n" +
                                     result_json(moved(), context) + "\n");
}

TEST(Refusal, is_one_sentence_on_standard_error_and_a_result_line_for_programs) {
    const Error error{ErrorKind::invalid, "--max-downtme is not an option: did you mean --max-downtime?", ""};
    Screen people({});
    people.output.refuse(error);
    EXPECT_EQ(people.err.take(), "segue: --max-downtme is not an option: did you mean --max-downtime?\n");
    EXPECT_EQ(people.out.take(), "");
    Screen programs({.json = true});
    programs.output.refuse(error);
    EXPECT_NE(programs.err.take(), "");
    EXPECT_EQ(programs.out.take(), refusal_json(error, {vm, bounds(), false}) + "\n");
}

// ---- sinks -----------------------------------------------------------------------------------------

std::string read_all(int fd) {
    std::string text;
    std::array<char, 65536> buffer{};
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    for (ssize_t n = 0; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<std::size_t>(n));
    return text;
}

TEST(FdSink, never_blocks_on_a_pipe_that_nobody_reads) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    FdSink sink(ends[1]);
    const std::string kilobyte = std::string(1023, 'p') + '\n';
    for (int i = 0; i < 1000; ++i) sink.write(kilobyte, Weight::passing);
    EXPECT_LE(sink.waiting(), kilobyte.size());
    for (int i = 0; i < 1000; ++i) sink.write("kept\n", Weight::kept);
    EXPECT_GT(sink.waiting(), 4000U);
    for (int i = 0; i < 1000; ++i) sink.write(kilobyte, Weight::kept);
    EXPECT_LE(sink.waiting(), Sink::waiting_bytes_max);
    sink.write("the result\n", Weight::result);
    EXPECT_EQ(::fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0) << "the shared flags are not touched";
    sink.drain(milliseconds{1});
    std::string read = read_all(ends[0]);
    while (sink.waiting() > 0) {
        sink.drain(milliseconds{1});
        read += read_all(ends[0]);
    }
    EXPECT_TRUE(read.ends_with("\nthe result\n"));
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(FdSink, never_blocks_on_a_socket_either_and_swallows_all_when_the_reader_is_gone) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    FdSink sink(ends[1]);
    for (int i = 0; i < 1000; ++i) sink.write(std::string(1000, 'x'), Weight::result);
    EXPECT_GT(sink.waiting(), 0U);
    ::close(ends[0]);
    sink.drain(std::nullopt);
    EXPECT_EQ(sink.waiting(), 0U);
    sink.write("more", Weight::result);
    EXPECT_EQ(sink.waiting(), 0U);
    ::close(ends[1]);
}

TEST(FdSink, never_blocks_on_a_terminal_that_is_stopped_or_not_read) {
    int master = -1;
    int terminal = -1;
    ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
    FdSink sink(terminal);
    ASSERT_EQ(::tcflow(terminal, TCOOFF), 0);  // As Ctrl-S does.
    sink.write("waits\n", Weight::result);
    EXPECT_EQ(sink.waiting(), 6U);
    ASSERT_EQ(::tcflow(terminal, TCOON), 0);
    for (int i = 0; i < 1000; ++i) sink.write(std::string(500, 'x') + '\n', Weight::kept);  // As a dead ssh does.
    EXPECT_GT(sink.waiting(), 0U);
    EXPECT_LE(sink.waiting(), Sink::waiting_bytes_max);
    EXPECT_TRUE(read_all(master).starts_with("waits"));
    ::close(master);
    sink.drain(std::nullopt);
    EXPECT_EQ(sink.waiting(), 0U);
    ::close(terminal);
}

TEST(FdSink, goes_on_at_the_end_of_a_file) {
    const std::string path = testing::TempDir() + "segue_sink_test";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, "before\n", 7), 7);
    FdSink sink(fd);
    sink.write("after\n", Weight::passing);
    ASSERT_EQ(::lseek(fd, 0, SEEK_SET), 0);
    EXPECT_EQ(read_all(fd), "before\nafter\n");
    ::close(fd);
    std::filesystem::remove(path);
}

TEST(FdSink, of_nothing_swallows_all) {
    FdSink sink(-1);
    sink.write("text", Weight::result);
    sink.drain(std::nullopt);
    EXPECT_EQ(sink.waiting(), 0U);
}

}  // namespace
}  // namespace segue
