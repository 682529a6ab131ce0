#include "app/segue/jobs/job_service.hpp"

#include <fmt/format.h>

#include <utility>

namespace segue {

JobService::JobService(Loop& loop, const std::string& state_folder, job::Identity identity, Callbacks callbacks)
    : loop_(loop), callbacks_(std::move(callbacks)), state_(identity, loop.now()) {
    auto opened = JobSocket::open(loop, job_socket_path(state_folder, identity.job),
                                  [this](const job::Request& request, const JobSocket::Peer& peer) {
                                      return answer(request, peer);
                                  });
    if (opened) {
        socket_ = std::move(*opened);
    } else {
        callbacks_.note(fmt::format("segue status and segue cancel will not work for job {}: {}", identity.job,
                                    to_string(opened.error())));
    }
}

void JobService::note(const Report& report) {
    state_.note(report, loop_.now());
    if (socket_) socket_->deafen(state_.switching());
}

job::Reply JobService::answer(const job::Request& request, const JobSocket::Peer& peer) {
    job::Reply reply = state_.answer(request, loop_.now());
    if (!std::holds_alternative<job::Cancelling>(reply) || std::exchange(cancelling_, true)) return reply;
    loop_.post([this, peer, alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        callbacks_.note(fmt::format("cancelled by segue cancel (process {}, user {})", peer.pid, peer.uid));
        callbacks_.cancel();
    });
    return reply;
}

}  // namespace segue
