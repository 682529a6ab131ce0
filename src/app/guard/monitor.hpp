#pragma once
/// \file  The guardian's connection to the source QEMU's monitor: its own, or its place in the queue of
///        the one that Segue holds.
///
/// Commands are written at once and their answers kept by number, so that a command never has to be
/// waited for: QEMU's main loop answers nothing while it writes the last of the stream.
/// Thread: one. Errors: a connection that breaks becomes `closed`; `nobody_listens` tells a dead QEMU.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "app/guard/qmp_scan.hpp"
#include "units/duration.hpp"

namespace segue::guard {

enum class Link {
    closed,
    queued,       ///< Connected, not greeted: somebody else holds the monitor.
    negotiating,  ///< Greeted; qmp_capabilities is out.
    ready,
};

struct Answer {
    std::uint64_t id = 0;
    bool error = false;
    bool migration_yank = false;
    Word<24> status;
    Word<120> description;
};

class Monitor {
public:
    Monitor() = default;
    ~Monitor();
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    /// Begins anew at `path`. Whatever was connected is dropped.
    void connect(const char* path) noexcept;
    /// Takes in what has arrived, without waiting.
    void pump() noexcept;
    /// Waits until something arrives or `until`, then pumps.
    void pump_until(Instant until) noexcept;

    /// `body` is a command from its second character on, e.g. `"execute":"cont"}`. Returns its number, 0 if
    /// there is no connection to send it on.
    std::uint64_t send(std::string_view body) noexcept;
    /// A line of somebody else's making, without an id: its answer counts in `anonymous_answers`.
    [[nodiscard]] bool send_line(std::string_view line) noexcept;

    /// Pumps until `id` is answered. Null at `until`, or when the connection broke.
    [[nodiscard]] const Answer* await(std::uint64_t id, Instant until) noexcept;
    [[nodiscard]] const Answer* answer(std::uint64_t id) const noexcept;
    [[nodiscard]] std::uint64_t anonymous_answers() const noexcept { return anonymous_; }

    /// \pre anonymous_answers() > 0, and nothing pumped since.
    [[nodiscard]] const Answer& last_anonymous() const noexcept { return last_anonymous_; }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] Link link() const noexcept { return link_; }
    [[nodiscard]] bool ready() const noexcept { return link_ == Link::ready; }
    [[nodiscard]] bool out_of_band() const noexcept { return oob_ && ready(); }
    /// The last `connect` found no listener: the QEMU is gone.
    [[nodiscard]] bool nobody_listens() const noexcept { return nobody_listens_; }

    /// STOP seen and no RESUME since.
    [[nodiscard]] std::optional<Instant> stop_seen_at() const noexcept { return stop_seen_at_; }
    /// The last RESUME since `forget_resume`.
    [[nodiscard]] std::optional<Instant> resume_seen_at() const noexcept { return resume_seen_at_; }
    void forget_resume() noexcept { resume_seen_at_.reset(); }
    [[nodiscard]] bool saw_guest_stand() const noexcept { return saw_stop_; }

private:
    void close() noexcept;
    void take(const QmpMessage& message) noexcept;
    [[nodiscard]] bool write_all(std::string_view text) noexcept;

    int fd_ = -1;
    Link link_ = Link::closed;
    bool oob_ = false;
    bool nobody_listens_ = false;
    bool saw_stop_ = false;
    std::uint64_t next_id_ = 1;
    std::uint64_t greeting_id_ = 0;
    std::uint64_t anonymous_ = 0;
    std::optional<Instant> stop_seen_at_;
    std::optional<Instant> resume_seen_at_;
    QmpScanner scanner_;
    /// By id modulo the size; more than DESIGN's 4 outstanding commands there never are.
    std::array<Answer, 8> answers_{};
    Answer last_anonymous_;
};

}  // namespace segue::guard
