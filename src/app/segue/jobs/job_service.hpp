#pragma once
/// \file  What a running `segue migrate` does for `segue status` and `segue cancel`: keeps the latest report, and
///        answers on its socket.
///
/// Thread: the loop's. Without a socket (a path that is too long, a folder that cannot be made) the move goes on.

#include <functional>
#include <memory>
#include <string>

#include "api/job_state.hpp"
#include "app/segue/jobs/job_socket.hpp"

namespace segue {

class JobService {
public:
    struct Callbacks {
        std::function<void()> cancel;                         ///< Called from the loop, never from inside a request.
        std::function<void(const std::string&)> note;         ///< For the operator at this terminal.
    };
    JobService(Loop& loop, const std::string& state_folder, job::Identity identity, Callbacks callbacks);

    void note(const Report& report);

private:
    [[nodiscard]] job::Reply answer(const job::Request& request, const JobSocket::Peer& peer);

    Loop& loop_;
    Callbacks callbacks_;
    job::State state_;
    bool cancelling_ = false;
    std::unique_ptr<JobSocket> socket_;  ///< None: nobody can ask.
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace segue
