#pragma once
/// \file  For tests: real QEMU processes, and the two drivers asked as if they answered at once.
///
/// 7.2 is the distribution's, 10 what lab/qemu has unpacked; a version that is not there is skipped.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/folder_test.hpp"
#include "hypervisor/qemu/dst_guest.hpp"
#include "hypervisor/qemu/src_guest.hpp"
#include "io/run_loop_test.hpp"

namespace segue::qemu {

/// The program of "7.2" or "10"; empty where it is not installed.
[[nodiscard]] std::string qemu_program(const std::string& version);

/// A process in a folder of its own, both gone with this object (and the process with the test program).
class RealQemu {
public:
    /// Whose listen() the monitor's socket is of: managers pass theirs on, and are then its peer.
    enum class Listener { qemu, this_process };

    RealQemu(const std::string& program, const std::vector<std::string>& arguments,
             Listener listener = Listener::qemu);
    ~RealQemu();
    RealQemu(const RealQemu&) = delete;
    RealQemu& operator=(const RealQemu&) = delete;

    [[nodiscard]] std::string monitor() const { return folder_.file("monitor"); }
    [[nodiscard]] const std::string& folder() const { return folder_.path(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// One command by a plain client of its own, the raw `return` as text.
    [[nodiscard]] std::string ask(const std::string& command) const;

private:
    TestFolder folder_;
    pid_t pid_ = 0;
};

template <class Guest, class Command, class Notice>
class Asked {
public:
    Asked(Loop& loop, const std::string& monitor)
        : loop_(loop),
          guest(std::make_unique<Guest>(loop, monitor, [this](Result<void> result) { ready = std::move(result); },
                                        [this](const Notice& notice) { notices.push_back(notice); })) {
        run_until(loop_, [this] { return ready.has_value(); });
        if (!ready || !*ready) ADD_FAILURE() << (ready ? to_string(ready->error()) : "no answer");
    }

    Result<GuestAnswer> ask(const Command& command, Duration timeout = std::chrono::seconds{5}) {
        std::optional<Result<GuestAnswer>> answer;
        guest->submit(command, timeout, [&answer](Result<GuestAnswer> value) { answer = std::move(value); });
        EXPECT_FALSE(answer) << "answered from inside of submit";
        run_until(loop_, [&answer] { return answer.has_value(); });
        if (!answer) return fail(ErrorKind::timed_out, "never answered");
        return *answer;
    }
    template <class Value>
    Value must(const Command& command, Duration timeout = std::chrono::seconds{5}) {
        const auto answer = ask(command, timeout);
        if (!answer) ADD_FAILURE() << to_string(answer.error());
        if (!answer || !std::holds_alternative<Value>(*answer)) return Value{};
        return std::get<Value>(*answer);
    }
    /// `second` is submitted `after` the first, which may not be answered yet; true once both are.
    bool overtake(const Command& first, Duration after, const Command& second) {
        const auto answered = std::make_shared<int>(0);
        guest->submit(first, std::chrono::seconds{5}, [answered](const auto&) { ++*answered; });
        const Instant begin = loop_.now();
        run_until(loop_, [&] { return loop_.now() - begin >= after; });
        guest->submit(second, std::chrono::seconds{5}, [answered](const auto& answer) {
            EXPECT_TRUE(answer) << (answer ? "" : to_string(answer.error()));
            ++*answered;
        });
        return run_until(loop_, [&answered] { return *answered == 2; });
    }
    /// Whether a notice for which `wanted` holds has come or comes.
    bool sees(const std::function<bool(const Notice&)>& wanted) {
        return run_until(loop_, [&] { return std::ranges::any_of(notices, wanted); });
    }
    template <class Kind>
    bool sees() {
        return sees([](const Notice& notice) { return std::holds_alternative<Kind>(notice); });
    }

private:
    Loop& loop_;

public:
    std::optional<Result<void>> ready;
    std::vector<Notice> notices;
    std::unique_ptr<Guest> guest;
};

using AskedSrc = Asked<SrcGuest, SrcCommand, GuestNotice>;
using AskedDst = Asked<DstGuest, DstCommand, GuestNotice>;

/// A test that runs once for each version.
struct QemuTest : testing::TestWithParam<std::string> {
    void SetUp() override {
        program = qemu_program(GetParam());
        if (program.empty()) FAIL() << "QEMU " << GetParam() << " is not installed (lab/qemu install 10)";
    }
    std::unique_ptr<RealQemu> source(std::vector<std::string> more = {}) const {
        return start(std::move(more), {});
    }
    std::unique_ptr<RealQemu> destination(std::vector<std::string> more = {}) const {
        return start(std::move(more), {"-S", "-incoming", "defer"});
    }
    std::string program;
    Loop loop;

private:
    std::unique_ptr<RealQemu> start(std::vector<std::string> more, const std::vector<std::string>& last) const;
};

inline std::vector<std::string> qemu_versions() { return {"7.2", "10"}; }
inline std::string version_name(const testing::TestParamInfo<std::string>& info) {
    return info.param == "10" ? "qemu_10" : "qemu_7_2";
}

}  // namespace segue::qemu
