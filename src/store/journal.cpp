#include "store/journal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

namespace segue {

std::string to_string(MoveId id) { return fmt::format("{:016x}{:016x}", id.high, id.low); }

std::optional<MoveId> parse_move_id(std::string_view text) {
    constexpr std::size_t digits = 32;
    // from_chars would take capitals too; one move must have one spelling.
    if (text.size() != digits || text.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
        return std::nullopt;
    }
    MoveId id;
    const char* const middle = text.data() + digits / 2;
    std::from_chars(text.data(), middle, id.high, 16);
    std::from_chars(middle, text.data() + digits, id.low, 16);
    return id;
}

Result<void> check_detail(const std::string& detail) {
    if (detail.size() > journal::detail_bytes_max) {
        return fail(ErrorKind::invalid, fmt::format("a step's detail has {} bytes, at most {} are kept", detail.size(),
                                                    journal::detail_bytes_max));
    }
    boost::json::error_code problem;
    const auto value = boost::json::parse({detail.data(), detail.size()}, problem);
    if (problem || !value.is_object()) return fail(ErrorKind::invalid, "a step's detail is no JSON object");
    return {};
}

std::string encode_detail(JournalDetail detail) {
    for (;;) {
        boost::json::object object;
        for (const auto& [name, value] : detail) object[name] = value;
        auto text = boost::json::serialize(object);
        if (text.size() <= journal::detail_bytes_max) return text;
        detail.erase(std::ranges::max_element(detail, {}, [](const auto& entry) { return entry.second.size(); }));
    }
}

std::optional<std::string> detail_text(const std::string& detail, const std::string& name) {
    boost::json::error_code problem;
    const auto value = boost::json::parse({detail.data(), detail.size()}, problem);
    if (problem || !value.is_object()) return std::nullopt;
    const auto* found = value.get_object().if_contains(name);
    if (found == nullptr || !found->is_string()) return std::nullopt;
    return std::string(found->get_string());
}

std::unexpected<Error> no_such_job(JobId job) {
    return fail(ErrorKind::invalid, fmt::format("there is no job {} in the journal of this host",
                                                static_cast<std::int64_t>(job)));
}

std::unexpected<Error> not_the_owner(JobId job, const MoveOwner& owner) {
    return fail(ErrorKind::conflict, fmt::format("process {} has taken over job {}; this one must leave it alone",
                                                 owner.pid, static_cast<std::int64_t>(job)));
}

std::unexpected<Error> is_closed(JobId job) {
    return fail(ErrorKind::conflict, fmt::format("job {} is closed", static_cast<std::int64_t>(job)));
}

std::unexpected<Error> already_there(JobId job) {
    return fail(ErrorKind::conflict, fmt::format("this move is in the journal of this host already, as job {}",
                                                 static_cast<std::int64_t>(job)));
}

Result<void> check_append(JobId job, const MoveOwner& owner, const MoveOwner& by,
                          const std::vector<StepKind>& before, StepKind next) {
    if (owner != by) return not_the_owner(job, owner);
    const auto number = static_cast<std::int64_t>(job);
    if (before.size() >= journal::steps_max) {
        return fail(ErrorKind::conflict, fmt::format("job {} has {} steps already", number, before.size()));
    }
    const auto in_the_way = obstacle(before, next);
    if (!in_the_way) return {};
    if (*in_the_way == StepKind::closed) return is_closed(job);
    if (*in_the_way == next) {
        return fail(ErrorKind::conflict, fmt::format("job {} is not at \"{}\"", number, to_string(next)));
    }
    return fail(ErrorKind::conflict, fmt::format("job {} cannot take the step \"{}\": it is past \"{}\"", number,
                                                 to_string(next), to_string(*in_the_way)));
}

}  // namespace segue
