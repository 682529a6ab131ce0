#include "store/sqlite/journal_thread.hpp"

#include <utility>

namespace segue {

JournalThread::JournalThread(Loop& loop, std::unique_ptr<Journal> journal)
    : journal_(std::move(journal)), worker_(loop) {}

void JournalThread::perform(Request request) {
    if (worker_.outstanding() >= journal::requests_max) return worker_.answer_later(request(nullptr));
    worker_.perform([journal = journal_.get(), request = std::move(request)] { return request(journal); });
}

void JournalThread::append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability,
                           OnDone on_done) {
    ask<void>([=](Journal& journal) { return journal.append(job, by, step, durability); }, std::move(on_done));
}

std::unexpected<Error> JournalThread::too_many() {
    return fail(ErrorKind::unavailable, "the journal's disk does not answer: too many requests wait for it");
}

}  // namespace segue
