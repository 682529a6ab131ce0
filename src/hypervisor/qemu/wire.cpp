#include "hypervisor/qemu/wire.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <utility>

#include "base/assert.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

constexpr std::int64_t downtime_limit_ms_max = 2'000'000;
constexpr std::int64_t ms_per_second = 1000;

template <class Enum>
struct Word {
    std::string_view word;
    Enum value;
};

constexpr std::array<Word<MigrationStatus>, 11> migration_words{{
    {"none", MigrationStatus::none},
    {"setup", MigrationStatus::setup},
    {"wait-unplug", MigrationStatus::setup},  // Still setting up: waits for the guest to let go of a NIC.
    {"active", MigrationStatus::active},
    {"pre-switchover", MigrationStatus::pre_switchover},
    {"device", MigrationStatus::device},
    {"completed", MigrationStatus::completed},
    {"failed", MigrationStatus::failed},
    {"cancelling", MigrationStatus::cancelling},
    {"cancelled", MigrationStatus::cancelled},
    {"", MigrationStatus::none},
}};

constexpr std::array<Word<RunState>, 5> run_state_words{{
    {"running", RunState::running},
    {"paused", RunState::paused},
    {"inmigrate", RunState::inmigrate},
    {"finish-migrate", RunState::finish_migrate},
    {"postmigrate", RunState::postmigrate},
}};

template <class Enum, std::size_t n>
Enum look_up(const std::array<Word<Enum>, n>& words, std::string_view word) noexcept {
    const auto found = std::ranges::find(words, word, &Word<Enum>::word);
    return found == words.end() ? Enum::other : found->value;
}

Bytes bytes_of(const json::value* value) { return {integer_of(value).value_or(0)}; }

}  // namespace

const json::value* member(const json::value& value, std::string_view key) {
    const json::object* object = value.if_object();
    return object == nullptr ? nullptr : object->if_contains(key);
}

const json::array& elements(const json::value* value) {
    static const json::array none;
    const json::array* array = value == nullptr ? nullptr : value->if_array();
    return array == nullptr ? none : *array;
}

std::string text_of(const json::value* value) {
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string{} : std::string(text->data(), text->size());
}

std::optional<std::int64_t> integer_of(const json::value* value) {
    if (value == nullptr) return std::nullopt;
    if (const std::int64_t* number = value->if_int64()) return *number;
    if (const std::uint64_t* number = value->if_uint64(); number && std::in_range<std::int64_t>(*number)) {
        return static_cast<std::int64_t>(*number);
    }
    return std::nullopt;
}

bool is_true(const json::value* value) { return value != nullptr && value->is_bool() && value->get_bool(); }

MigrationStatus migration_status(std::string_view word) noexcept { return look_up(migration_words, word); }
RunState run_state(std::string_view word) noexcept { return look_up(run_state_words, word); }

Result<RunStateReply> run_state_reply(const json::value& reply) {
    std::string word = text_of(member(reply, "status"));
    if (word.empty()) return fail(ErrorKind::corrupt, "QEMU answered query-status without a status");
    const RunState state = run_state(word);
    return RunStateReply{state, std::move(word)};
}

SrcProgress src_progress(const json::value& query_migrate) {
    SrcProgress progress;
    progress.status = migration_status(text_of(member(query_migrate, "status")));
    progress.error = text_of(member(query_migrate, "error-desc"));
    if (const json::value* ram = member(query_migrate, "ram")) {
        progress.remaining = bytes_of(member(*ram, "remaining"));
        progress.sent = bytes_of(member(*ram, "transferred"));
        progress.total = bytes_of(member(*ram, "total"));
        progress.dirty_syncs = integer_of(member(*ram, "dirty-sync-count")).value_or(0);
    }
    return progress;
}

bool first_window_over(const json::value& query_migrate) {
    const json::value* ram = member(query_migrate, "ram");
    const json::value* mbps = ram == nullptr ? nullptr : member(*ram, "mbps");
    if (mbps == nullptr) return false;
    // Zero until the first window, then what that window carried; a whole number comes without a point.
    if (const double* rate = mbps->if_double()) return *rate > 0;
    return integer_of(mbps).value_or(0) > 0;
}

bool yankable_migration(const json::value& query_yank) {
    return std::ranges::any_of(elements(&query_yank), [](const json::value& instance) {
        return text_of(member(instance, "type")) == "migration";
    });
}

std::string machine_type(std::string_view qom_type) {
    constexpr std::string_view ending = "-machine";
    if (qom_type.ends_with(ending)) qom_type.remove_suffix(ending.size());
    return std::string(qom_type);
}

std::string tcp_uri(const DataAddress& address) {
    const bool ipv6 = address.host.contains(':') && !address.host.starts_with('[');
    return (ipv6 ? "tcp:[" + address.host + "]" : "tcp:" + address.host) + ":" + std::to_string(address.port);
}

std::optional<std::uint16_t> listening_port(const json::value& query_migrate) {
    for (const json::value& address : elements(member(query_migrate, "socket-address"))) {
        if (text_of(member(address, "type")) != "inet") continue;
        const std::string word = text_of(member(address, "port"));
        std::uint16_t port = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
        if (error == std::errc{} && end == word.data() + word.size() && port != 0) return port;
    }
    return std::nullopt;
}

std::int64_t calc_time(Duration interval) {
    return std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(interval).count(), 1, 60);
}

std::optional<ByteRate> measured_dirty_rate(const json::value& query_dirty_rate) {
    if (text_of(member(query_dirty_rate, "status")) != "measured") return std::nullopt;
    const auto rate = integer_of(member(query_dirty_rate, "dirty-rate"));
    if (!rate || *rate < 0) return std::nullopt;
    return mebibytes_per_second(*rate);
}

SwitchoverParameters never_switch_over(bool native) {
    // Native: 1 byte/ms times 1 ms, so that only an exact 0 is below the threshold. Emulated: 1 ms of
    // what the last window carried is the least that there is.
    SwitchoverParameters parameters;
    if (native) parameters.avail_switchover_bandwidth = ms_per_second;
    return parameters;
}

// QEMU: threshold = (avail-switchover-bandwidth / 1000, rounded down) x downtime-limit, and it stops when less
// than that is pending. Both enter by their product only, so the limit is what the budget takes at
// `bandwidth`, in whole ms, and the bandwidth makes up for the rounding: the threshold falls short of the
// budget by less than one byte per ms of the limit.
SwitchoverParameters native_switchover(Bytes budget, ByteRate bandwidth) {
    SEGUE_ASSERT(bandwidth.per_second > 0);
    const std::int64_t bytes = std::max<std::int64_t>(budget.count, 1);
    const double wanted_ms =
        static_cast<double>(bytes) * ms_per_second / static_cast<double>(bandwidth.per_second);
    const std::int64_t most = std::min(downtime_limit_ms_max, bytes);
    const auto limit = static_cast<std::int64_t>(std::clamp(wanted_ms, 1.0, static_cast<double>(most)));
    return {.downtime_limit_ms = limit, .avail_switchover_bandwidth = bytes / limit * ms_per_second,
            .max_bandwidth = {}};
}

// QEMU before 8.2: threshold = bytes per ms of the last 100 ms window x downtime-limit. With max-bandwidth
// at M no window carries more than M, so threshold <= M x limit always. limit = floor(budget / cap) keeps
// that within the budget, but falls short of it by up to 1 ms of the cap, which is half of a budget of 2 ms.
// Where that is over 2 %, the next whole ms is exact with M lowered to budget / (limit + 1), and free while M
// stays above 98 % of the cap, because the stream's own pacing is below that already. A budget under 1 ms
// of the cap leaves only the lower M: going slower is better than stopping with too much pending.
SwitchoverParameters emulated_switchover(Bytes budget, ByteRate cap) {
    SEGUE_ASSERT(cap.per_second > 0);
    const double bytes = static_cast<double>(std::max<std::int64_t>(budget.count, 1));
    const double cap_per_ms = static_cast<double>(cap.per_second) / ms_per_second;
    const double most = static_cast<double>(downtime_limit_ms_max);
    const auto limit = static_cast<std::int64_t>(std::clamp(bytes / cap_per_ms, 0.0, most));
    const double lower = bytes / static_cast<double>(limit + 1);
    const bool falls_short = static_cast<double>(limit) * cap_per_ms < bytes * 0.98;
    const bool one_more =
        limit == 0 || (falls_short && limit < downtime_limit_ms_max && lower >= cap_per_ms * 0.98);
    const double per_ms = one_more ? lower : cap_per_ms;
    // Below 10 bytes a second QEMU's tenth of it is 0, and that means without limit (qemu.md 1.5).
    const auto max = std::max<std::int64_t>(static_cast<std::int64_t>(per_ms * ms_per_second), 10);
    return {.downtime_limit_ms = one_more ? limit + 1 : limit, .avail_switchover_bandwidth = {},
            .max_bandwidth = max};
}

std::int64_t max_bandwidth(std::optional<ByteRate> cap) {
    return cap ? std::max<std::int64_t>(cap->per_second, 10) : 0;
}

}  // namespace segue::qemu
