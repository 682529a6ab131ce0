#include "policy/converge/play.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

constexpr int rounds_max = 150;
constexpr double undone_above = 1.1;

class Player {
public:
    Player(const Steering& steering, const Steering::Priced& priced, const Luck& luck)
        : steering_(steering), priced_(priced), luck_(luck), truth_(steering.ground()) {
        truth_.bandwidth *= luck.speed;
        // A blackout that was promised more than the copying has, has it; else it has what the link has.
        if (truth_.switch_bandwidth <= steering.ground().bandwidth) truth_.switch_bandwidth = truth_.bandwidth;
        // By then the link has been measured, and a slow one gets a smaller budget.
        for (auto& setting : truth_.settings) {
            setting.budget *= std::min(luck.speed, 1.0);
            setting.told *= std::min(luck.speed, 1.0);
        }
    }

    Course run(Situation now) {
        const double time_left = now.time_left;
        const double gone_s = now.gone_s;
        if (now.allowed) {
            set_share_ = now.share;
            watch_.set(0, now.backlog, run_go(truth_, setting_of(truth_, now.share), now.backlog, 1).time_s);
        }
        for (int round = 0; round < rounds_max; ++round) {
            out_.rounds = round + 1;
            now.time_left = time_left - out_.total_s;
            now.gone_s = gone_s + out_.total_s;
            // With that little it stops by itself.
            if (!now.allowed && now.backlog <= before_go_s * truth_.bandwidth) {
                stop(now.backlog);
                out_.finished = out_.total_s <= time_left;
                return out_;
            }
            if (steering_.stop_time(calm, now.backlog) > std::min(now.time_left, never / 2)) return out_;
            // The policy learns the level with every pass.
            now.shift = luck_.level + truth_.round_phi * spell_;
            now.waited = round >= passes_waited_max(priced_.aggression);
            if (now.allowed && round > 0) {
                watch_.heed(truth_, out_.total_s, now.backlog, now.share);
                if (watch_.failed(truth_, now.share)) return out_;
                now.share = std::min(now.share, watch_.most_share(truth_, now.share));
            }
            const auto choice = steering_.choose(priced_, now);
            out_.for_time = out_.for_time || choice.for_time;
            if (!choice.go) {
                wait(now);
            } else if (go(now, choice.setting)) {
                out_.finished = !undone_ && out_.total_s <= time_left;
                return out_;
            }
        }
        return out_;
    }

private:
    double noise() {
        const double fresh = luck_.round[static_cast<std::size_t>(drawn_++) % Luck::rounds];
        const double phi = truth_.round_phi;
        spell_ = phi * spell_ + std::sqrt(1 - phi * phi) * truth_.round_sigma * fresh;
        return std::exp(luck_.level + spell_);
    }

    void spend(const Setting& setting, double wall_s) {
        out_.total_s += wall_s;
        out_.work_s += setting.work_rate * wall_s;
        out_.wanted_s += truth_.busy * wall_s;
        out_.lost_work_s += (truth_.busy - setting.work_rate) * wall_s;
    }

    void wait(Situation& now) {
        const auto pass = whole_pass(truth_, truth_.unbraked_setting(), now.backlog);
        spend(truth_.unbraked_setting(), pass.time_s);
        out_.sent += now.backlog;
        now.share = 1;
        now.before = now.backlog;
        now.backlog = std::min(noise() * pass.fresh, truth_.memory);
    }

    bool go(Situation& now, std::size_t index) {
        const auto& setting = truth_.settings[index];
        const double go_s = now.allowed ? 0 : luck_.go_s;
        const auto round = go_round(truth_, setting, now.backlog, truth_.curve.work_for(now.backlog), go_s);
        if (!now.allowed || setting.share < set_share_) {
            watch_.set(out_.total_s, now.backlog, run_go(truth_, setting, now.backlog, 1).time_s);
            set_share_ = setting.share;
        }
        spend(setting, round.time_s);
        out_.sent += now.backlog - round.rest;
        now.allowed = true;
        now.share = setting.share;
        if (setting.work_rate < truth_.busy) {
            out_.lowest_share = std::min(out_.lowest_share, setting.share);
            out_.stall_s = std::max(out_.stall_s, setting.stall_s);
        }
        const double next = std::min(round.rest + noise() * round.fresh, truth_.memory);
        // What is kept for loading and handing over takes a little more.
        undone_ = round.stopped && next > undone_above * setting.budget;
        if (!round.stopped && next > setting.budget) {
            now.backlog = next;
            return false;
        }
        const double over_s = (now.backlog - setting.told) / truth_.bandwidth;
        const bool ended_by_a_look = !setting.counted() && over_s > 0 && over_s + look_s >= go_s;
        const double late_s = ended_by_a_look ? looked_late_s(setting.budget - next) : 0;
        const double late = std::min(late_s * truth_.bandwidth, next);
        spend(setting, late_s);
        out_.sent += late;
        stop(next - late);
        return true;
    }

    /// A round is reckoned with the look in the middle of its 50 ms. Earlier ones find too much pending and the source
    /// sends on, so those that end it came later on average: what that sends is pending no more.
    [[nodiscard]] double looked_late_s(double slack) const {
        constexpr double between_s = 2 * look_s;
        const double first_that_ends = std::max(0.5 - slack / truth_.bandwidth / between_s, 0.0);
        return first_that_ends / 2 * between_s;
    }

    void stop(double pending) {
        out_.downtime_s = truth_.usual_s * luck_.costs + pending / truth_.switch_bandwidth;
        out_.total_s += out_.downtime_s;
        out_.wanted_s += truth_.busy * out_.downtime_s;
        out_.lost_work_s += truth_.busy * out_.downtime_s;
        out_.sent += pending;
    }

    const Steering& steering_;
    const Steering::Priced& priced_;
    const Luck& luck_;
    Ground truth_;
    Course out_;
    double spell_ = 0;
    int drawn_ = 0;
    Watch watch_;
    bool undone_ = false;  ///< Stopped by Segue with more left than it had counted.
    double set_share_ = 1;
};

}  // namespace

Course play(const Steering& steering, const Steering::Priced& priced, const Situation& start, const Luck& luck) {
    return Player(steering, priced, luck).run(start);
}

}  // namespace segue::converge
