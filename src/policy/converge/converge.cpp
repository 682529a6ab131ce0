#include "policy/converge/converge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "policy/converge/foresee.hpp"
#include "policy/converge/past_rounds.hpp"
#include "policy/converge/plan.hpp"
#include "policy/converge/question.hpp"
#include "policy/converge/scene.hpp"
#include "policy/converge/slow_link.hpp"
#include "policy/converge/unforeseen.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

using namespace converge;

/// A move is hopeless at the second sync only if even a very calm course (one in 200) fails; from the third on at
/// one in twenty. What the first sync says alone has fooled us.
constexpr double doubt_at_second = 2.6;
constexpr double doubt_later = 1.645;
/// Page sampling alone has fooled us more.
constexpr double doubt_before = 3;
/// Of the courses that are played in advance.
constexpr double hardly_ever = 0.05;
/// A first pass that is so old is asked about because of a new sample.
constexpr Duration sampled_after = std::chrono::milliseconds{100};
/// No trial where the lowest share would leave so many times its budget, and more than the curve may be off by
/// there: measured on 650 cases (seeds 31, 32, 41): 89 % of the hopeless are refused within two passes so
/// (63 % without it), and one feasible one in 200 (one in 300).
constexpr double far_beyond = 2;
constexpr double curve_doubt = 4;
/// Of the time that sending a backlog takes: a round in which most of it was sent.
constexpr double whole_round = 0.7;
constexpr double clearly_less = 0.8;
/// Of the most room for bytes that there was: less than that is a narrow moment.
constexpr double narrow = 0.8;
/// Dirty syncs at which nothing can be decided, for so long: a guest that may be held, one that nobody holds.
constexpr double blind_held_s = 10;
constexpr double blind_waited_s = 60;
/// Of the standstill, for what is left to send.
constexpr double least_for_bytes_s = 0.03;
/// The timeout is named as the reason only where it is as near as so many times what is left to do.
constexpr double hurried = 3;

std::string percent(double share) {
    return fmt::format("{:.3g} %", share * 100);
}

std::string bytes(double count) {
    return to_text(Bytes{static_cast<std::int64_t>(std::max(count, 0.0))});
}

std::string seconds(double s) {
    return to_text(from_seconds(std::min(s, 1e8)));
}

/// Fills in how long it should still take.
void forecast(Decision& decision, const Steering& steering, const Steering::Priced& priced, const Scene& scene,
              const Situation& start, double before_s) {
    const auto to_come = foresee(steering, priced, start, {before_s, scene.fast});
    if (!to_come) return;
    const auto& left = to_come->total_s;
    const Band total{scene.elapsed_s + left.p10, scene.elapsed_s + left.p50, scene.elapsed_s + left.p90};
    decision.total_s = scene.in_first_pass ? unforeseen_before(total) : unforeseen_underway(total, left.p50);
    decision.downtime_s = unforeseen_downtime(to_come->downtime_s, scene.max_downtime_s);
}

class Converge final : public Policy {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "converge"; }

    [[nodiscard]] std::string refuse(const View& view) const override {
        if (!view.outlook.bandwidth_known) return {};
        const PlanQuestion question = question_of(view);
        if (const auto hurdle = no_way(question)) return objection_to(hindrance_of(*hurdle));
        // What hardly ever ends well is no better; what is only doubtful is tried.
        const double ends_ratio = plan_row(question, view.aggression).finishes_ratio;
        if (ends_ratio >= hardly_ever) return {};
        return fmt::format("by what was sampled of the guest {:.0f} of 100 such moves would end within all bounds: {}",
                           ends_ratio * 100, in_the_way(hindrance_of(converge::hurdle_of(question))));
    }

    [[nodiscard]] Decision decide(const View& view) override {
        if (view.passes.empty()) return {CarryOn{}, {}};
        const bool begins = view.passes.back().number <= 1 && !asked_again(view);
        if (begins && view.outlook.bandwidth_known) link_.promised(view.outlook.bandwidth_bytes_per_second.p50);
        if (view.timeout && view.elapsed >= *view.timeout) {
            return {GiveUp{"timeout"}, fmt::format("the timeout of {} is over", to_text(*view.timeout))};
        }
        double bandwidth = view.outlook.bandwidth_bytes_per_second.p50;
        if (bandwidth <= 0 && view.bandwidth) bandwidth = static_cast<double>(view.bandwidth->per_second);
        if (bandwidth <= 0) return without_speed(view);
        const Scene scene = scene_of(view, bandwidth, 1, 0);
        const bool pass_1 = scene.in_first_pass;
        if (scene.ground.budgets().most() <= 0) return without_budget(view, scene);
        room_.add(scene.elapsed_s, room_of(scene), view.allowed || view.timeout);
        if (!pass_1 && !view.bandwidth) return without_speed(view);
        blind_.see();
        if (pass_1) {
            if (auto over = hopeless_already(view)) return *over;
            return in_first_pass(view, scene);
        }
        const bool slow = link_.for_a_moment(view, bandwidth);
        const bool narrowed = room_of(scene) < narrow * room_.widest();
        const Scene at_best = narrowed ? scene_of(view, bandwidth, 1, room_.widest()) : scene;
        if (view.allowed) {
            watch_.heed(scene.ground, scene.elapsed_s, scene.now.backlog, view.share.ratio);
        }
        if (auto over = held_for_nothing(view, at_best)) return *over;
        if (hopeless(view, at_best)) {
            if (slow && !view.allowed) {
                const double faster = std::max(link_.promise() / bandwidth, 1.0);
                const Scene as_promised = scene_of(view, bandwidth, faster, room_.widest());
                if (!hopeless(view, as_promised)) return wait_for_link(at_best, faster);
            }
            if (falls_alone(view)) return watch_it_fall(at_best);
            if (auto trial = try_lowest(view, at_best)) return *trial;
            return give_up(view, at_best);
        }
        if (auto over = held_in_vain(view, at_best, narrowed)) return *over;
        return steer(view, scene);
    }

private:
    static PlanQuestion question_of(const View& view) {
        return {view.outlook, view.max_downtime, view.timeout, view.brake, view.reserve, view.switchover_bandwidth};
    }

    /// By page samples alone.
    static std::optional<Hurdle> no_way(const PlanQuestion& question) {
        Hurdle hurdle = converge::hurdle_of(question);
        if (ends(doubted(hurdle, -doubt_before), -doubt_before)) return std::nullopt;
        return hurdle;
    }

    static std::string in_the_way(const Hindrance& hindrance) {
        const auto words = in_words(hindrance.relaxations);
        return fmt::format("{} stands in the way{}", hindrance.bound, words.empty() ? "" : "; it needs " + words);
    }

    static std::string objection_to(const Hindrance& hindrance) {
        return "by what was sampled of the guest no allowed choice keeps all bounds: " + in_the_way(hindrance);
    }

    /// Whether a longer sample has come in since pass 1 began.
    static bool asked_again(const View& view) { return view.elapsed - view.passes.back().began >= sampled_after; }

    /// In pass 1, when a longer sample came in. A link that is slow just now is no reason yet, and of one of which
    /// nothing was known before the start it cannot be told whether it is.
    [[nodiscard]] std::optional<Decision> hopeless_already(const View& view) const {
        if (!asked_again(view) || link_.promise() <= 0) return std::nullopt;
        PlanQuestion question = question_of(view);
        auto& band = question.outlook.bandwidth_bytes_per_second;
        const double best = std::max(link_.promise(), band.p90);
        band = {best, best, best};
        const auto hurdle = no_way(question);
        if (!hurdle) return std::nullopt;
        const auto hindrance = hindrance_of(*hurdle);
        return Decision{GiveUp{hindrance.bound}, objection_to(hindrance), all_of_it};
    }

    static Decision wait_for_link(const Scene& scene, double faster) {
        return {CarryOn{},
                fmt::format("{} left, budget {}: the link carries {} of what it promised; if that lasts, the move is "
                            "given up",
                            bytes(scene.now.backlog), bytes(scene.ground.unbraked_setting().budget),
                            percent(1 / faster)),
                all_of_it};
    }

    /// A guest that is held for nothing, or a move that never ends: not for the sake of a moment.
    [[nodiscard]] bool blind_for_long(const View& view) {
        const double now_s = to_seconds(view.elapsed);
        blind_.add(now_s);
        return blind_.lasts(now_s, view.allowed ? blind_held_s : blind_waited_s);
    }

    Decision without_speed(const View& view) {
        if (view.passes.size() > 1 && blind_for_long(view)) {
            return {GiveUp{},
                    "the link's speed has not been known for long, and without it no stop can be allowed; try again "
                    "with --switchover-bandwidth",
                    all_of_it};
        }
        return {CarryOn{}, "the link's speed is not known just now"};
    }

    Decision without_budget(const View& view, const Scene& scene) {
        const double lacks_s = -scene.ground.budgets().most() / scene.ground.switch_bandwidth;
        const auto taken =
            fmt::format("stopping, loading and handing over take {}, a rollback may need {}, and {} may be written "
                        "before the stop; late answers of QEMU and what waits in the socket take the rest",
                        seconds(scene.ground.fixed_s), to_text(view.reserve), to_text(dirtied_at_stop(view.outlook)));
        const auto most = seconds(scene.max_downtime_s);
        const bool never = scene.ground.fixed_s >= scene.max_downtime_s && view.passes.size() > 2;
        if (never || (view.passes.size() > 1 && blind_for_long(view))) {
            return {GiveUp{}, fmt::format("max downtime {} leaves no time for bytes, and will not: {}; it needs "
                                          "downtime >= {}", most, taken, seconds(told(scene.max_downtime_s + lacks_s +
                                                                                      least_for_bytes_s))),
                    all_of_it};
        }
        return {CarryOn{}, fmt::format("just now max downtime {} leaves no time for bytes: {}", most, taken)};
    }

    Decision in_first_pass(const View& view, const Scene& scene) {
        const auto& ground = scene.ground;
        const double left = scene.now.time_left;
        const Steering steering(ground, std::max(ground.memory, scene.now.backlog));
        const auto& setting =
            ground.settings[steering.first_pass_setting(scene.first_pass_left_s, left, scene.now.slowness)];
        Decision out{CarryOn{}, {}, Share{setting.share}};
        out.because = fmt::format("pass 1 sends {}, about {}; it should leave {}",
                                  bytes(scene.first_pass), seconds(scene.first_pass_s),
                                  bytes(dirtied(ground, setting, scene.first_pass_s)));
        if (setting.work_rate < ground.busy) {
            out.because += fmt::format("; with the guest at {} already now, or {} would not be enough",
                                       percent(setting.share), to_text(*view.timeout));
        }
        Situation then = scene.now;
        then.backlog = dirtied(ground, setting, scene.first_pass_s);
        then.time_left -= scene.first_pass_left_s;
        then.gone_s += scene.first_pass_left_s;
        then.before = scene.first_pass;
        forecast(out, steering, steering.price(view.aggression), scene, then, scene.first_pass_left_s);
        return out;
    }

    /// Not even on a very calm course does any allowed choice end it.
    static bool hopeless(const View& view, const Scene& scene) {
        Hurdle calm_one = hurdle_of(scene, view);
        calm_one.bandwidth *= scene.fast;
        const double doubt = view.passes.back().number <= 2 ? doubt_at_second : doubt_later;
        return !ends(doubted(calm_one, -doubt), -doubt);
    }

    static Decision give_up(const View& view, const Scene& scene) {
        const Hurdle hurdle = hurdle_of(scene, view);
        const auto hindrance = hindrance_of(hurdle);
        const bool no_time = out_of_time(scene);
        const auto bound = no_time ? "timeout" : hindrance.bound;
        const auto words = in_words(hindrance.relaxations);
        const auto& lowest = scene.ground.settings.front();
        const double stands = natural_level(scene.ground, scene.now.backlog, 1);
        std::string why;
        if (no_time) {
            why = fmt::format("{} left and {} to go: the link takes longer for that alone; timeout stands in the way",
                              bytes(scene.now.backlog), seconds(std::max(hurdle.time_left, 0.0)));
        } else if (bound == "timeout") {
            why = fmt::format("{} left and {} to go: no allowed choice ends in time; timeout stands in the way",
                              bytes(scene.now.backlog), seconds(std::max(hurdle.time_left, 0.0)));
        } else {
            why = fmt::format("{} left, {} by itself and {} at {} of its CPU never fall under {}; {} stands in the way",
                              bytes(scene.now.backlog), bytes(stands), bytes(level_at(scene.ground, lowest)),
                              percent(lowest.share), bytes(lowest.budget), bound);
        }
        if (!words.empty()) why += ": it needs " + words;
        return Decision{GiveUp{bound}, why, all_of_it};
    }

    /// The curve promises an end that has not come in far more than its time.
    [[nodiscard]] std::optional<Decision> held_in_vain(const View& view, const Scene& scene, bool narrowed) const {
        if (!view.allowed || !watch_.failed(scene.ground, view.share.ratio)) return std::nullopt;
        const double budget = scene.ground.settings.front().budget;
        if (scene.now.backlog <= budget) {
            if (narrowed) return std::nullopt;  // It stops as soon as QEMU answers in time again.
            return Decision{GiveUp{},
                            fmt::format("{} left fit the budget of {}, but QEMU has not stopped the guest in {}",
                                        bytes(scene.now.backlog), bytes(budget), seconds(watch_.held_s())),
                            all_of_it};
        }
        auto why = fmt::format("{} at {} of its CPU did not bring the guest under {}", seconds(watch_.held_s()),
                               percent(view.share.ratio), bytes(budget));
        return Decision{GiveUp{"max-downtime"}, why + longer_standstill(scene), all_of_it};
    }

    /// Asked for by what there is now: a curve that has been wrong would ask for what is allowed already.
    static std::string longer_standstill(const Scene& scene) {
        const double too_much = std::max(scene.now.backlog - scene.ground.settings.front().budget, 0.0);
        const double would_s = told(scene.max_downtime_s + too_much / scene.ground.switch_bandwidth);
        return fmt::format("; max-downtime stands in the way: it needs downtime >= {}", seconds(would_s));
    }

    /// At full speed, without a timeout, each such pass is free.
    static bool falls_alone(const View& view) {
        return !view.allowed && !view.timeout && clearly_falls(view.passes);
    }

    static Decision watch_it_fall(const Scene& scene) {
        return {CarryOn{},
                fmt::format("{} left, clearly less than before: another pass at full speed costs nothing, though by "
                            "what was seen so far it will not fall under {}",
                            bytes(scene.now.backlog), bytes(scene.ground.unbraked_setting().budget)),
                all_of_it};
    }

    /// Whatever the curve promises.
    static std::optional<Decision> held_for_nothing(const View& view, const Scene& scene) {
        const auto& lowest = scene.ground.settings.front();
        if (!view.allowed || lowest.work_rate >= scene.ground.busy || !crawls(view.passes, lowest)) return std::nullopt;
        auto why = fmt::format("{} rounds at {} of its CPU left {}, hardly less than before them, and the budget is {}",
                               crawl_rounds, percent(lowest.share), bytes(scene.now.backlog), bytes(lowest.budget));
        return Decision{GiveUp{"max-downtime"}, why + longer_standstill(scene), all_of_it};
    }

    /// What looks hopeless was mostly never seen: a round at the lowest share shows how the guest dirties in a
    /// blackout's worth of work. It goes on while each such round leaves clearly less than the one before.
    std::optional<Decision> try_lowest(const View& view, const Scene& scene) {
        const auto& lowest = scene.ground.settings.front();
        const double backlog = scene.now.backlog;
        if (lowest.work_rate >= scene.ground.busy || out_of_time(scene)) return std::nullopt;
        if (view.allowed && watch_.failed(scene.ground, view.share.ratio)) return std::nullopt;
        // A learned curve is less sure than it says (measured: 8 of its sigmas did not cover the worst of 60 guests).
        const auto& doubt = view.outlook.curve_sigma;
        if (std::ranges::none_of(doubt, [](double sigma) { return sigma > 0; })) return std::nullopt;
        if (!trial_ && beyond_doubt(scene.ground, lowest, doubt)) return std::nullopt;
        const bool at_lowest = view.allowed && view.share.ratio <= lowest.share + 1e-9;
        if (!at_lowest || !trial_) {
            trial_ = Trial{scene.elapsed_s, backlog};
        } else if (scene.elapsed_s - trial_->at_s >= whole_round * trial_->backlog / scene.ground.bandwidth) {
            if (backlog > clearly_less * trial_->backlog) return std::nullopt;
            trial_ = Trial{scene.elapsed_s, backlog};
        }
        Decision out{AllowSwitchover{}, {}, Share{lowest.share}};
        if (view.allowed) out.action = CarryOn{};
        out.because = fmt::format("{} left, budget {}; by what was seen so far not even {} of its CPU would do: the "
                                  "brake shows whether that is so",
                                  bytes(backlog), bytes(lowest.budget), percent(lowest.share));
        if (!view.allowed || !at_lowest) watch_.set(scene.elapsed_s, backlog, backlog / scene.ground.bandwidth);
        return out;
    }

    /// Were the guest to dirty nothing at all: the link at its best takes longer than is left for what does not fit
    /// the budget.
    static bool out_of_time(const Scene& scene) {
        const double too_much = std::max(scene.now.backlog - scene.ground.budgets().most(), 0.0);
        return too_much / (scene.ground.bandwidth * scene.fast) >= scene.now.time_left;
    }

    static bool beyond_doubt(const Ground& ground, const Setting& setting,
                             const std::array<double, Curve::points>& curve_sigma) {
        const double work = setting.work_rate * setting.budget / ground.bandwidth;
        std::size_t at = 0;
        while (at + 1 < Curve::points && Curve::work_at(at + 1) <= work) ++at;
        const double surely = std::max(far_beyond, std::exp(curve_doubt * curve_sigma[at]));
        return level_at(ground, setting) > surely * setting.budget;
    }

    /// Where whole passes with this setting stand still.
    static double level_at(const Ground& ground, const Setting& setting) {
        double left = ground.memory;
        for (int round = 0; round < 40; ++round) left = whole_pass(ground, setting, left).fresh;
        return left;
    }

    Decision steer(const View& view, const Scene& scene) {
        Situation now = scene.now;
        now.share = 1;
        if (view.allowed) {
            const double granted = view.share.ratio;
            now.share = std::min(granted, watch_.most_share(scene.ground, granted));
        }
        now.waited = view.passes.back().number - 2 >= passes_waited_max(view.aggression);
        const Steering steering(scene.ground, std::max(scene.ground.memory, now.backlog));
        const auto priced = steering.price(view.aggression);
        const auto choice = steering.choose(priced, now);
        const auto& setting = scene.ground.settings[choice.setting];
        Decision out;
        if (!choice.go) {
            out = {CarryOn{}, choice.looks_on ? looking_on(scene) : waiting(scene, choice.unaided), all_of_it};
        } else {
            out.action = AllowSwitchover{};
            if (view.allowed) out.action = CarryOn{};
            out.share = Share{setting.share};
            out.because = going(scene, setting, choice);
            if (view.allowed && setting.share > view.share.ratio) {
                // What slows nobody just now is no setting; let go, the guest would undo what was held.
                out.share = view.share;
                out.because = holding_on(scene, view.share);
            }
            if (!view.allowed || setting.share < view.share.ratio) {
                watch_.set(scene.elapsed_s, now.backlog, run_go(scene.ground, setting, now.backlog, 1).time_s);
            }
        }
        forecast(out, steering, priced, scene, now, 0);
        return out;
    }

    static std::string holding_on(const Scene& scene, Share share) {
        return fmt::format("{} left, budget {}; a brake slows nobody just now: the guest stays held to {} of its CPU",
                           bytes(scene.now.backlog), bytes(scene.ground.unbraked_setting().budget),
                           percent(share.ratio));
    }

    static std::string looking_on(const Scene& scene) {
        return fmt::format("{} left, {} before, budget {}: one more pass takes only {} and should save more standstill "
                           "than that is worth",
                           bytes(scene.now.backlog), bytes(scene.now.before),
                           bytes(scene.ground.unbraked_setting().budget),
                           seconds(scene.now.backlog / scene.ground.bandwidth));
    }

    static std::string waiting(const Scene& scene, bool alone) {
        const double level = natural_level(scene.ground, scene.now.backlog, 1);
        const double budget = scene.ground.unbraked_setting().budget;
        if (alone) {
            return fmt::format("{} left and falling by itself to about {}, budget {}: no brake is needed",
                               bytes(scene.now.backlog), bytes(level), bytes(budget));
        }
        return fmt::format("{} left, budget {}; about {} stay by themselves, and another pass at full speed ({}) costs "
                           "the guest less than a brake now",
                           bytes(scene.now.backlog), bytes(budget), bytes(level),
                           seconds(scene.now.backlog / scene.ground.bandwidth));
    }

    static std::string going(const Scene& scene, const Setting& setting, const Choice& choice) {
        const auto left = bytes(scene.now.backlog);
        if (setting.work_rate >= scene.ground.busy) {
            return fmt::format("{} left, budget {}: the guest may stop when what is left fits", left,
                               bytes(setting.budget));
        }
        const auto run = run_go(scene.ground, setting, scene.now.backlog, 1);
        auto text = fmt::format("{} left, budget {}: the guest is held to {} of its CPU and stops when what is left "
                                "fits, in about {}",
                                left, bytes(setting.budget), percent(setting.share), seconds(run.time_s));
        const bool hurry = choice.for_time && scene.now.time_left < hurried * run.time_s;
        if (hurry) text += ", since the timeout leaves no time to wait";
        return text;
    }

    struct Trial {
        double at_s = 0;
        double backlog = 0;
    };
    Watch watch_;
    std::optional<Trial> trial_;
    SlowLink link_;
    Room room_;
    Blind blind_;
};

}  // namespace

std::unique_ptr<Policy> make_converge_policy() {
    return std::make_unique<Converge>();
}

}  // namespace segue
