#include "app/segue/jobs/jobs.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "app/segue/jobs/job_client.hpp"
#include "app/segue/jobs/job_socket.hpp"
#include "app/segue/jobs/render_jobs.hpp"
#include "app/segue/words/plain_text.hpp"
#include "io/loop.hpp"
#include "store/journal_history.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

constexpr int exit_good = 0;
constexpr int exit_not_done = 1;
constexpr int exit_refused = 2;

/// Between two looks at the journal, which another process writes.
constexpr int look_again_ms = 50;

void say(const std::string& line) { std::fputs((line + '\n').c_str(), stdout); }
void remark(const std::string& line) { std::fputs(("segue: " + line + '\n').c_str(), stderr); }
int refuse(const std::string& why) {
    remark(why);
    return exit_refused;
}

Result<std::unique_ptr<Journal>> open_for_reading(const std::string& state_folder) {
    return open_journal_read_only(journal_path(state_folder));
}

// ---- history ---------------------------------------------------------------------------------------

int show(const ShowHistory& wanted, Journal& journal) {
    auto moves = journal.latest(wanted.last);
    if (!moves) return refuse(plain_text(to_string(moves.error())));
    if (moves->empty()) {
        remark("the journal of this host has no moves yet");
        return exit_good;
    }
    // As in a log, the newest stands where the prompt comes.
    std::ranges::reverse(*moves);
    std::vector<HistoryEntry> entries;
    for (MoveRecord& record : *moves) {
        const Liveness owner = record.ending ? Liveness::unknown : look_for(record.move.owner);
        entries.push_back({std::move(record), owner});
    }
    if (!wanted.json) {
        std::fputs(render_history(entries).c_str(), stdout);
        return exit_good;
    }
    for (const HistoryEntry& entry : entries) say(render_history_json(entry));
    return exit_good;
}

// ---- status ----------------------------------------------------------------------------------------

JobSeen look_at(MoveRecord record, Journal& journal, const std::string& state_folder) {
    JobSeen seen;
    const JobId job = record.job;
    seen.owner = look_for(record.move.owner);
    seen.record = std::move(record);
    if (seen.record.ending || seen.owner == Liveness::gone || seen.record.move.role != MoveRole::source) return seen;
    const std::string path = job_socket_path(state_folder, static_cast<std::int64_t>(job));
    auto reply = ask_job(path, job::StatusRequest{}, jobs::answer_max);
    if (!reply) {
        seen.silence = to_string(reply.error());
    } else if (auto* status = std::get_if<job::Status>(&*reply)) {
        seen.answer = std::move(*status);
    } else if (const auto* failed = std::get_if<job::Failed>(&*reply)) {
        seen.silence = failed->message;
    } else {
        seen.silence = "its answer is none";
    }
    if (seen.answer) return seen;
    // It may have gone on, or ended, in the meantime.
    if (auto again = journal.load(job)) seen.record = std::move(*again);
    seen.owner = look_for(seen.record.move.owner);
    return seen;
}

int show(const ShowStatus& wanted, Journal& journal, const std::string& state_folder) {
    std::vector<MoveRecord> records;
    if (wanted.job) {
        auto record = journal.load(*wanted.job);
        if (!record) return refuse(plain_text(to_string(record.error())) + ": segue history shows which there are");
        records.push_back(std::move(*record));
    } else {
        auto unfinished = journal.unfinished();
        if (!unfinished) return refuse(plain_text(to_string(unfinished.error())));
        records = std::move(*unfinished);
    }
    if (records.empty()) {
        if (wanted.json) {
            remark("no move is under way");
        } else {
            say("no move is under way");
        }
    }
    for (MoveRecord& record : records) {
        const JobSeen seen = look_at(std::move(record), journal, state_folder);
        if (wanted.json) {
            say(status_json(seen.record, seen.owner, seen.answer));
        } else {
            say(wanted.job ? render_job(seen) : render_job_line(seen));
        }
    }
    return exit_good;
}

/// One line a second until it has ended, or its process is gone.
int follow(const ShowStatus& wanted, Journal& journal, const std::string& state_folder) {
    for (;;) {
        auto record = journal.load(*wanted.job);
        if (!record) return refuse(plain_text(to_string(record.error())) + ": segue history shows which there are");
        const JobSeen seen = look_at(std::move(*record), journal, state_folder);
        say(wanted.json ? status_json(seen.record, seen.owner, seen.answer) : render_job_line(seen));
        // A reader who has gone away needs no more lines.
        if (std::fflush(stdout) != 0 || seen.record.ending || seen.owner == Liveness::gone) return exit_good;
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(jobs::follow_every).count();
        static_cast<void>(::poll(nullptr, 0, static_cast<int>(ms)));
    }
}

// ---- cancel ----------------------------------------------------------------------------------------

class Canceller {
public:
    Canceller(JobId job, Journal& journal, std::string socket_path)
        : job_(job), journal_(journal), socket_path_(std::move(socket_path)) {}

    [[nodiscard]] const std::optional<MoveRecord>& record() const { return record_; }

    CancelEnd run() {
        if (auto read = reload(); !read) {
            return {exit_refused, plain_text(to_string(read.error())) + ": segue status shows what is under way"};
        }
        if (record_->move.role != MoveRole::source) {
            return {exit_refused, fmt::format("job {} is the destination's side of a move: cancel it on {}", number(),
                                              plain_text(record_->move.src.host))};
        }
        if (record_->ending) return cancel_end(*record_, true);
        if (gone()) {
            // It may have closed its record between the two looks.
            if (reload() && record_->ending) return cancel_end(*record_, true);
            return {exit_refused, fmt::format("the segue of job {} is gone: segue recover {}", number(), number())};
        }
        return ask_and_wait();
    }

private:
    CancelEnd ask_and_wait() {
        const Instant began = now_on_this_host();
        // One connection: while the guest stands it waits its turn, and when the move ends it is closed.
        const auto reply = ask_job(socket_path_, job::CancelRequest{}, jobs::cancel_max);
        if (const auto* refused = reply ? std::get_if<job::Refused>(&*reply) : nullptr) {
            remark(fmt::format("job {}: {}", number(), plain_text(refused->reason)));
        }
        const bool heard = reply && !std::holds_alternative<job::Failed>(*reply);
        // Who was not heard may have met the end of the move; it is about to close its record.
        const Instant deadline = heard ? began + jobs::cancel_max : now_on_this_host() + jobs::answer_max;
        do {
            const bool was_gone = gone();
            if (reload() && record_->ending) return cancel_end(*record_, false);
            if (was_gone) return ended_open();
            static_cast<void>(::poll(nullptr, 0, look_again_ms));
        } while (now_on_this_host() < deadline);
        return {exit_not_done, heard ? still_at_it() : not_reached(reply)};
    }

    std::string still_at_it() const {
        return fmt::format("job {} is still at it after {} s (process {}): segue status {}", number(),
                           to_seconds(jobs::cancel_max), record_->move.owner.pid, number());
    }

    std::string not_reached(const Result<job::Reply>& reply) const {
        const auto* failed = reply ? std::get_if<job::Failed>(&*reply) : nullptr;
        const std::string why = failed ? failed->message : reply ? "" : to_string(reply.error());
        const bool asked = !reply && reply.error().kind == ErrorKind::timed_out;
        return fmt::format("job {} cannot be reached ({}){}; SIGTERM to process {} cancels it as well", number(),
                           plain_text(why), asked ? ", and is cancelled should it hear of it later" : "",
                           record_->move.owner.pid);
    }

    CancelEnd ended_open() const {
        return {exit_not_done, fmt::format("the segue of job {} has ended and left something to do: segue recover {}",
                                           number(), number())};
    }

    Result<void> reload() {
        SEGUE_TRY(read, journal_.load(job_));
        record_ = std::move(read);
        return {};
    }
    [[nodiscard]] bool gone() const { return look_for(record_->move.owner) == Liveness::gone; }
    [[nodiscard]] std::int64_t number() const { return static_cast<std::int64_t>(job_); }

    JobId job_;
    Journal& journal_;
    std::string socket_path_;
    std::optional<MoveRecord> record_;
};

int cancel(const CancelJob& wanted, Journal& journal, const std::string& state_folder) {
    Canceller canceller(wanted.job, journal, job_socket_path(state_folder, static_cast<std::int64_t>(wanted.job)));
    const CancelEnd end = canceller.run();
    if (wanted.json) say(cancel_json(wanted.job, canceller.record(), end));
    if (end.exit_status == exit_refused) return refuse(end.sentence);
    if (!wanted.json) say(end.sentence);
    return end.exit_status;
}

}  // namespace

int run_jobs_command(const JobsCommand& command, const std::string& state_folder) {
    const auto journal = open_for_reading(state_folder);
    if (!journal) return refuse(plain_text(to_string(journal.error())));
    if (const auto* history = std::get_if<ShowHistory>(&command)) return show(*history, **journal);
    if (const auto* status = std::get_if<ShowStatus>(&command)) {
        return status->follow ? follow(*status, **journal, state_folder) : show(*status, **journal, state_folder);
    }
    return cancel(std::get<CancelJob>(command), **journal, state_folder);
}

}  // namespace segue
