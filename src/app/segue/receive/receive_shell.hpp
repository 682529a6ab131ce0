#pragma once
/// \file  `segue receive` on real parts: performs the effects of receive::Session and feeds its events.
///
/// Thread: the loop's, but the journal's disk. It decides nothing; what it does is written in receive/.

#include <functional>
#include <memory>
#include <string>

#include "app/segue/output/sink.hpp"
#include "base/result.hpp"
#include "channel/tcp/resolver.hpp"
#include "io/loop.hpp"

namespace segue {

class ReceiveShell {
public:
    struct Where {
        std::string version;        ///< Of this segue.
        std::string guard_program;
        std::string state_folder;
        int in = 0;
        int out = 1;
        Resolver::LookUp look_up = {};  ///< Of names; other than the system's is for tests.
    };

    /// Opens the journal and begins to listen to the peer. \param err  For log lines.
    /// \param on_exit  The last call, with the exit status.
    [[nodiscard]] static Result<std::unique_ptr<ReceiveShell>> open(Loop& loop, Where where, Sink& err,
                                                                    std::function<void(int)> on_exit);
    ~ReceiveShell();
    ReceiveShell(const ReceiveShell&) = delete;
    ReceiveShell& operator=(const ReceiveShell&) = delete;

    /// SIGTERM, or a person.
    void stop();

private:
    struct Impl;
    explicit ReceiveShell(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue
