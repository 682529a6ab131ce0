#pragma once
/// \file  The socket on which a running `segue migrate` answers `segue status` and `segue cancel`:
///        STATE/jobs/JOB.sock, for root and the same user alone.
///
/// Whoever connects can cost the move nothing: nothing blocks, what is read and what waits to be written is
/// bounded, a client that says nothing or does not read is closed after `job_socket::patience`, and while the
/// guest stands nobody is listened to at all.
/// Thread: the loop's. The messages are api/job_codec.hpp's.

#include <sys/stat.h>

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "api/job_codec.hpp"
#include "base/result.hpp"
#include "io/fd.hpp"
#include "io/loop.hpp"

namespace segue {

namespace job_socket {
/// Operators and their scripts; more at once is a mistake of somebody's.
inline constexpr std::size_t clients_max = 8;
/// Between a client's requests, and for it to take an answer.
inline constexpr Duration patience = std::chrono::seconds{2};
/// Answers that wait because the client does not read: then it is not read either.
inline constexpr std::size_t waiting_bytes_max = job::line_bytes_max;
/// A turn of the loop reads no more of one client.
inline constexpr std::size_t read_bytes_max = 1024;
}  // namespace job_socket

/// Below $SEGUE_STATE.
[[nodiscard]] std::string job_socket_path(const std::string& state_folder, std::int64_t job);

class JobSocket {
public:
    /// Who asks. Both from the kernel.
    struct Peer {
        std::int64_t pid = 0;
        std::int64_t uid = 0;
    };
    /// Never called from inside `open`. May not destroy the JobSocket.
    using OnRequest = std::function<job::Reply(const job::Request& request, const Peer& peer)>;

    /// Makes the folder (0700) and the socket (0600), and takes the place of one whose process is dead. Errors are
    /// for the operator; the move goes on without.
    [[nodiscard]] static Result<std::unique_ptr<JobSocket>> open(Loop& loop, const std::string& path,
                                                                 OnRequest on_request);
    /// Removes the socket.
    ~JobSocket();
    JobSocket(const JobSocket&) = delete;
    JobSocket& operator=(const JobSocket&) = delete;

    /// Deaf: nothing is accepted, read or written until it is false again; the clients' time stands still.
    void deafen(bool deaf);

private:
    struct Client {
        Fd socket;
        Peer peer;
        job::LineReader reader;
        std::string waiting;  ///< To be written.
        bool last = false;    ///< Closed once that is written.
        std::optional<Loop::WatchId> watch;
        std::optional<Loop::TimerId> timer;
    };
    using Place = std::list<Client>::iterator;

    JobSocket(Loop& loop, std::string path, Fd listener, OnRequest on_request);
    void accept_some();
    void take(Fd socket);
    void read_some(Place client);
    void answer(Place client, const job::LineReader::Lines& lines);
    void write_some(Place client);
    void listen_to(Place client);
    void give_time(Place client);
    void dismiss(Place client);

    Loop& loop_;
    std::string path_;
    Fd listener_;
    struct stat made_ {};  ///< The file that is ours to remove.
    OnRequest on_request_;
    std::optional<Loop::WatchId> watch_;
    bool deaf_ = false;
    std::list<Client> clients_;  ///< At most job_socket::clients_max.
};

}  // namespace segue
