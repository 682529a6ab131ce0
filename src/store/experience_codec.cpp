#include "store/experience_codec.hpp"

#include <boost/json.hpp>

#include <algorithm>

#include "store/guest_memory_codec.hpp"

namespace segue {
namespace {

namespace json = boost::json;

constexpr int schema_version = 1;

std::unexpected<Error> corrupt(std::string what) { return fail(ErrorKind::corrupt, std::move(what)); }

std::optional<std::int64_t> whole_number(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_int64() ? std::optional(value->as_int64()) : std::nullopt;
}

/// Only durations that a switchover can have.
std::optional<Duration> duration(const json::object& object, std::string_view name) {
    const auto ns = whole_number(object, name);
    if (!ns || *ns < 0 || *ns > experience::duration_max.count()) return std::nullopt;
    return Duration{*ns};
}

std::optional<WallTime> wall_time(const json::object& object) {
    const auto at = whole_number(object, "at_unix_seconds");
    constexpr std::int64_t year_9999 = 253'402'300'799;
    if (!at || *at < 0 || *at > year_9999) return std::nullopt;
    return WallTime{std::chrono::seconds{*at}};
}

std::optional<Remembered::Costs> to_costs(const json::object& object) {
    const auto at = wall_time(object);
    const auto stop = duration(object, "stop_ns");
    const auto load = duration(object, "load_ns");
    const auto handover = duration(object, "handover_ns");
    if (!at || !stop || !load || !handover) return std::nullopt;
    return Remembered::Costs{*at, {*stop, *load, *handover}};
}

std::optional<Remembered::Rollback> to_rollback(const json::object& object) {
    const auto at = wall_time(object);
    const auto took = duration(object, "rollback_ns");
    if (!at || !took) return std::nullopt;
    return Remembered::Rollback{*at, *took};
}

template <class T, class Convert>
Result<std::vector<T>> entries(const json::object& object, std::string_view name, Convert convert) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_array()) return corrupt("it has no list \"" + std::string(name) + "\"");
    std::vector<T> list;
    for (const auto& entry : value->as_array()) {
        const auto converted = entry.is_object() ? convert(entry.as_object()) : std::nullopt;
        if (!converted) return corrupt("an entry of \"" + std::string(name) + "\" cannot be true");
        list.push_back(*converted);
    }
    return list;
}

template <class T>
void keep_newest(std::vector<T>& list, WallTime now) {
    std::erase_if(list, [&](const T& entry) {
        return entry.at < now - experience::age_max || entry.at > now + experience::future_max;
    });
    std::ranges::stable_sort(list, std::greater{}, &T::at);
    if (list.size() > experience::entries_max) list.erase(list.begin() + experience::entries_max, list.end());
}

std::int64_t unix_seconds(WallTime at) { return at.time_since_epoch().count(); }

}  // namespace

Result<Remembered> parse_remembered(std::string_view text) {
    json::error_code problem;
    const json::value value = json::parse({text.data(), text.size()}, problem);
    if (problem) return corrupt("it is no JSON");
    if (!value.is_object()) return corrupt("it is no JSON object");
    const json::object& object = value.as_object();
    if (whole_number(object, "schema") != schema_version) return corrupt("it is of another schema");
    SEGUE_TRY(costs, entries<Remembered::Costs>(object, "costs", to_costs));
    SEGUE_TRY(rollbacks, entries<Remembered::Rollback>(object, "rollbacks", to_rollback));
    Remembered out{std::move(costs), std::move(rollbacks)};
    if (const auto* guest = object.if_contains("guest_model")) {
        const auto at = guest->is_object() ? wall_time(guest->as_object()) : std::nullopt;
        auto memory = guest_memory_of(*guest);
        if (!at || !memory) return corrupt("\"guest_model\" cannot be true");
        out.guest = {*at, std::move(*memory)};
    }
    return out;
}

std::string render_remembered(const Remembered& remembered, std::string_view guest_key) {
    json::array costs;
    for (const auto& [at, one] : remembered.costs) {
        costs.push_back(json::object{{"at_unix_seconds", unix_seconds(at)},
                                     {"stop_ns", one.stop.count()},
                                     {"load_ns", one.load.count()},
                                     {"handover_ns", one.handover.count()}});
    }
    json::array rollbacks;
    for (const auto& [at, took] : remembered.rollbacks) {
        rollbacks.push_back(json::object{{"at_unix_seconds", unix_seconds(at)}, {"rollback_ns", took.count()}});
    }
    json::object all{
        {"schema", schema_version}, {"guest", guest_key}, {"costs", costs}, {"rollbacks", rollbacks}};
    if (remembered.guest) {
        json::object guest = guest_memory_object(remembered.guest->memory);
        guest["at_unix_seconds"] = unix_seconds(remembered.guest->at);
        all["guest_model"] = std::move(guest);
    }
    return json::serialize(all) + '\n';
}

void add_lesson(Remembered& remembered, const Lesson& lesson, WallTime now) {
    // What cannot be read back is not written.
    const auto plausible = [](Duration d) { return d >= Duration{0} && d <= experience::duration_max; };
    if (lesson.costs && plausible(lesson.costs->stop) && plausible(lesson.costs->load) &&
        plausible(lesson.costs->handover)) {
        remembered.costs.insert(remembered.costs.begin(), {now, *lesson.costs});
    }
    if (lesson.rollback && plausible(*lesson.rollback)) {
        remembered.rollbacks.insert(remembered.rollbacks.begin(), {now, *lesson.rollback});
    }
    if (lesson.guest && guest_memory_of(guest_memory_object(*lesson.guest))) remembered.guest = {now, *lesson.guest};
}

void forget_old(Remembered& remembered, WallTime now) {
    keep_newest(remembered.costs, now);
    keep_newest(remembered.rollbacks, now);
    if (!remembered.guest) return;
    const WallTime at = remembered.guest->at;
    if (at < now - experience::age_max || at > now + experience::future_max) remembered.guest.reset();
}

}  // namespace segue
