#pragma once
/// \file  A destination host in virtual time round a real Session: its journal, QEMU, guardian and the stream
///        of control lines, with faults from a seed, and the checker of what must never happen.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "receive/client.hpp"
#include "receive/codec.hpp"
#include "receive/session.hpp"

namespace segue::receive::test {

inline constexpr Duration ms = std::chrono::milliseconds{1};
inline const MoveId move_id{"0123456789abcdef0123456789abcdef"};
inline const Token token{"ffffffffffffffff0000000000000000"};

inline Hello hello(bool source, int low = 1, int high = 1) {
    return {low, high, "0.1.0", source ? "host1" : "host2", {}, source ? std::optional(move_id) : std::nullopt};
}

/// Mistakes on purpose; the checker must find each.
enum class Bug { none, durable_too_early, stale_lease_taken, journal_forgets, kill_answered_early };

struct Faults {
    std::uint64_t seed = 0;
    Bug bug = Bug::none;
    Duration delay{0};              ///< Of the link, each way.
    double hiccup = 0;              ///< Chance of a line that waits up to 1 s (and all behind it).
    int break_after_lines = -1;     ///< The stream breaks after so many lines, both ways counted.
    bool half_open = false;         ///< ... and nobody is told.
    int crash_after_effects = -1;   ///< `segue receive` is killed there.
    bool guardian_dies = false;
    Duration fsync_max{5 * ms};
    double fsync_fails = 0;
    bool cont_refused = false;
    bool cont_unanswered = false;
    Duration qemu_dies_at{-1};
};

class World {
public:
    explicit World(Faults given) : faults(given), random(given.seed) {}

    Faults faults;
    std::mt19937_64 random;
    Instant now{std::chrono::seconds{1}};
    std::vector<std::string> violations;

    // ---- virtual time
    void after(Duration d, std::function<void()> what) {
        agenda_.emplace(std::pair{now + d, ++order_}, std::move(what));
    }
    bool run_until(const std::function<bool()>& done, Duration limit);
    Duration between(Duration low, Duration high) {
        const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
        return low + Duration{static_cast<std::int64_t>(random() % span)};
    }
    bool chance(double p) { return static_cast<double>(random() >> 11U) * 0x1.0p-53 < p; }
    void violated(const std::string& what) { violations.push_back(what); }

    // ---- the destination host
    struct Machine {
        bool alive = false;
        RunState state = RunState::inmigrate;
        bool armed = false;
        bool claimed = false;
        bool guardian = true;
        Instant alive_at;
    } qemu;
    struct Journal {
        Recalled known;
        bool tombstone_asked = false;
    } journal;
    bool stream_came = false;
    bool source_runs = false;  ///< Set by the driver, which must know that it may.
    std::optional<int> exit_status;
    HowEnded ended;
    int session_number = 0;
    std::unique_ptr<Session> session;

    void start_session();
    void kill_session();
    void say(Message message) { feed(FromPeer{std::move(message)}); }  ///< As an attacker: no codec, no link.
    void feed(const SessionEvent& event);
    void data_arrives();
    void load() { if (qemu.alive && stream_came) qemu.state = RunState::paused; }
    void die();

    // ---- the control connection; `on_line` gets what the session says
    std::function<void(Message)> on_message;
    std::function<void(std::string)> on_lost;
    void to_session(const Message& message);
    void disconnect();
    std::vector<Message> heard;

private:
    void perform(const SessionEffect& effect);
    void perform_qemu(const Qemu& command);
    void perform_write(const Write& write);
    void run_guest();
    Result<GuestAnswer> answer_now(const DstCommand& command);
    void guardian_looks();
    void wake();
    /// Only if the session that asked still lives.
    void feed_later(Duration d, SessionEvent event);
    Instant line_arrives(Instant& last);
    void count_line();

    std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> agenda_;
    std::uint64_t order_ = 0;
    std::deque<SessionEvent> inbox_;
    bool stepping_ = false;
    int effects_ = 0;
    int lines_ = 0;
    bool broken_ = false;
    int connection_ = 0;
    Instant last_to_;
    Instant last_from_;
    std::map<std::uint64_t, Instant> leases_;
    std::uint64_t word_n_ = 0;
    LineReader session_reader_;
    LineReader client_reader_;
};

}  // namespace segue::receive::test
