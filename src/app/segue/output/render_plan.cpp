#include "app/segue/output/render_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/segue/output/render.hpp"
#include "app/segue/words/plain_text.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr double mebibyte = 1024 * 1024;
/// A share that is shown as 100 %.
constexpr double unbraked = 0.995;

/// Three digits that matter: 0.21, 12.4, 310.
std::string short_number(double value) {
    const double size = std::abs(value);
    return fmt::format("{:.{}f}", value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

/// "12.4 (10.8-15.1)".
std::string band_words(const Band& band, double unit) {
    return fmt::format("{} ({}-{})", short_number(band.p50 / unit), short_number(band.p10 / unit),
                       short_number(band.p90 / unit));
}

/// "31 (28-40)".
std::string whole_band_words(const Band& band, double unit) {
    return fmt::format("{:.0f} ({:.0f}-{:.0f})", band.p50 / unit, band.p10 / unit, band.p90 / unit);
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : std::string(between)) + plain_text(word);
    return text;
}

std::string relaxation_words(const Relaxation& one) {
    const std::string bound = plain_text(one.bound);
    if (bound == "min-cpu") return fmt::format("--{} <= {}", bound, to_text(Share{one.value}));
    if (bound == "max-bandwidth") {
        return fmt::format("--{} >= {}", bound, to_text(ByteRate{static_cast<std::int64_t>(one.value)}));
    }
    return fmt::format("--{} >= {}", bound, to_text(from_seconds(one.value)));
}

/// "2.5 Gbit/s", "100 Mbit/s".
std::string link_words(ByteRate link) {
    const double megabits = static_cast<double>(link.per_second) * 8e-6;
    return megabits < 1000 ? fmt::format("{:g} Mbit/s", megabits) : fmt::format("{:g} Gbit/s", megabits / 1000);
}

/// What the row is about: a level, or a link.
std::string row_name(const PlanRow& row) {
    return row.link ? fmt::format("{:>10}", link_words(*row.link)) : fmt::format("{:>5.1f}", row.aggression);
}

std::string row_words(const PlanRow& row) {
    const std::string name = row_name(row);
    if (row.finishes_ratio <= 0) return fmt::format("{}  cannot be done: {}", name, joined(row.binding, ", "));
    std::string text = fmt::format("{}  {:<19}{:<15}{:<15}{:<15}{:<14}{:<18}{:<18}", name,
                                   band_words(row.total_s, 1), whole_band_words(row.downtime_s, 1e-3),
                                   whole_band_words(row.lowest_share, 0.01), whole_band_words(row.mean_share, 0.01),
                                   whole_band_words(row.stall_s, 1e-3), band_words(row.lost_work_s, 1),
                                   whole_band_words(row.sent_bytes, mebibyte));
    if (!row.feasible) text += fmt::format("only {:.0f} of 100; ", row.finishes_ratio * 100);
    text += joined(row.binding, ", ");
    while (text.ends_with(' ')) text.pop_back();
    return text;
}

std::string cost_words(const PlanRow& row) {
    std::string text = fmt::format("total {} s, downtime {} ms, {} MiB sent; ", band_words(row.total_s, 1),
                                   whole_band_words(row.downtime_s, 1e-3), whole_band_words(row.sent_bytes, mebibyte));
    if (row.lowest_share.p10 >= unbraked) return text + "the guest is not braked";
    return text + fmt::format("lowest CPU {} %, stalls of {} ms, {} s of work lost",
                              whole_band_words(row.lowest_share, 0.01), whole_band_words(row.stall_s, 1e-3),
                              band_words(row.lost_work_s, 1));
}

std::string bounds_words(const Bounds& bounds) {
    std::string text = fmt::format("max-downtime {}, min-cpu {}, max-stall {}", to_text(bounds.max_downtime),
                                   to_text(bounds.min_cpu), to_text(bounds.longest_stall()));
    if (bounds.timeout) text += ", timeout " + to_text(*bounds.timeout);
    if (bounds.max_bandwidth) text += ", max-bandwidth " + to_text(*bounds.max_bandwidth);
    return text;
}

}  // namespace

std::string render_plan(const Plan& plan, std::string_view vm, const Bounds& bounds) {
    std::string text = fmt::format("{}: within {}\n", plain_text(vm), bounds_words(bounds));
    const bool over_links = !plan.rows.empty() && plan.rows.front().link;
    text += over_links ? fmt::format("middle (and 10 to 90 of 100) of what --aggression {:g} would cost over such a "
                                     "link; --max-bandwidth RATE shows all levels for yours:\n",
                                     plan.rows.front().aggression)
                       : "middle (and 10 to 90 of 100) of what each --aggression would cost:\n";
    text += fmt::format("{}  {:<19}{:<15}{:<15}{:<15}{:<14}{:<18}{:<18}{}", over_links ? "      link" : "level",
                        "total s", "downtime ms", "lowest CPU %", "mean CPU %", "stall ms", "lost work s", "sent MiB",
                        "bound by");
    for (const PlanRow& row : plan.rows) text += '\n' + row_words(row);
    if (plan.feasible) return text;
    text += fmt::format("\nno {} keeps these bounds: {} stands in the way", over_links ? "link here" : "level",
                        plain_text(plan.binding));
    std::vector<std::string> ways;
    std::ranges::transform(plan.relaxations, std::back_inserter(ways), relaxation_words);
    if (ways.empty()) return text + "; no single bound, changed alone, would make it possible";
    return text + "; each of these alone would do: " + joined(ways, ", or ");
}

std::string render_expected(const PlanRow& row, const ForecastReport& forecast) {
    const std::string told_from = fmt::format("\n  told from: {}; the link carries {}", render_samples(forecast),
                                              to_text(forecast.bandwidth));
    const std::string head = fmt::format("forecast{} at aggression {:.1f}",
                                         forecast.underway ? " after a longer look," : "", row.aggression);
    if (row.finishes_ratio <= 0) {
        return fmt::format("{}: cannot be done within {}; segue plan shows what would do", head,
                           joined(row.binding, ", ")) + told_from;
    }
    std::string text = fmt::format("{}, middle (and 10 to 90 of 100):\n  {}", head, cost_words(row));
    if (!row.feasible) {
        text += fmt::format("\n  only {:.0f} of 100 such moves would end so; segue plan shows what would do",
                            row.finishes_ratio * 100);
    }
    return text + told_from;
}

}  // namespace segue
