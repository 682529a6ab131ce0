#pragma once
/// \file  QEMU's words and units, and ours. The only place of this driver that multiplies by 1000, 1024
///        or a page: everything outside counts in the types of units/.
///
/// Pure. Members that are missing or of another type count as absent, since every version has its own set.

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue::qemu {

// ---- reading JSON ----------------------------------------------------------------------------------

/// The member `key`, or nullptr when `value` is no object or has none.
[[nodiscard]] const boost::json::value* member(const boost::json::value& value, std::string_view key);
/// Elements of an array; of anything else, none.
[[nodiscard]] const boost::json::array& elements(const boost::json::value* value);
/// Empty when it is absent or no string.
[[nodiscard]] std::string text_of(const boost::json::value* value);
[[nodiscard]] std::optional<std::int64_t> integer_of(const boost::json::value* value);
[[nodiscard]] bool is_true(const boost::json::value* value);

// ---- words -----------------------------------------------------------------------------------------

[[nodiscard]] MigrationStatus migration_status(std::string_view word) noexcept;
[[nodiscard]] RunState run_state(std::string_view word) noexcept;

/// Of a query-status answer: the state and QEMU's own word.
struct RunStateReply {
    RunState state = RunState::other;
    std::string word;
};
[[nodiscard]] Result<RunStateReply> run_state_reply(const boost::json::value& reply);

/// Of a query-migrate answer. No status at all means that there never was a migration.
[[nodiscard]] SrcProgress src_progress(const boost::json::value& query_migrate);
/// Whether the first 100 ms window of a migration is over, so that QEMU has a threshold (qemu.md 1.2).
[[nodiscard]] bool first_window_over(const boost::json::value& query_migrate);

/// Whether query-yank still lists a migration, which QEMU does until it is cleaned up.
[[nodiscard]] bool yankable_migration(const boost::json::value& query_yank);

/// "pc-i440fx-7.2" of "pc-i440fx-7.2-machine".
[[nodiscard]] std::string machine_type(std::string_view qom_type);
/// "tcp:192.0.2.1:4444", "tcp:[2001:db8::1]:4444".
[[nodiscard]] std::string tcp_uri(const DataAddress& address);
/// The port of the first inet entry of query-migrate's `socket-address`.
[[nodiscard]] std::optional<std::uint16_t> listening_port(const boost::json::value& query_migrate);

// ---- amounts ---------------------------------------------------------------------------------------

/// calc-dirty-rate's `calc-time`: whole seconds, rounded up, 1 to 60.
[[nodiscard]] std::int64_t calc_time(Duration interval);
/// query-dirty-rate's `dirty-rate` (MiB/s); nothing until its status is `measured`.
[[nodiscard]] std::optional<ByteRate> measured_dirty_rate(const boost::json::value& query_dirty_rate);

/// migrate-set-parameters members that decide when QEMU stops the guest.
struct SwitchoverParameters {
    std::int64_t downtime_limit_ms = 1;
    std::optional<std::int64_t> avail_switchover_bandwidth;  ///< Bytes a second.
    std::optional<std::int64_t> max_bandwidth;               ///< Bytes a second; 0 is without limit.
};

/// A threshold so small that the guest is stopped only when nothing at all is pending. Never 0: then
/// QEMU would skip the exact sync and stop on a stale count (qemu.md 0.2).
[[nodiscard]] SwitchoverParameters never_switch_over(bool native);
/// Stop when `budget` is pending. Native: QEMU 8.2 and later. \pre bandwidth > 0 (native), cap > 0 (emulated).
[[nodiscard]] SwitchoverParameters native_switchover(Bytes budget, ByteRate bandwidth);
[[nodiscard]] SwitchoverParameters emulated_switchover(Bytes budget, ByteRate cap);

/// `max-bandwidth` for a cap; 0 without one.
[[nodiscard]] std::int64_t max_bandwidth(std::optional<ByteRate> cap);
/// `max-bandwidth` with which a migration opens; see SrcStart in src_guest.cpp.
inline constexpr std::int64_t opening_max_bandwidth = 64 * 1024;

}  // namespace segue::qemu
