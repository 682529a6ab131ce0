#include "policy/converge/play.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

constexpr int rounds_max = 400;

class Player {
public:
    Player(const Terrain& terrain, const Values& values, const Luck& luck)
        : terrain_(terrain), values_(values), luck_(luck), truth_(terrain.ground()) {
        truth_.bandwidth *= luck.speed;
        truth_.switch_bandwidth *= luck.speed;
    }

    Course run(Situation now) {
        const double time_left = now.time_left;
        for (int round = 0; round < rounds_max; ++round) {
            now.time_left = time_left - out_.total_s;
            if (terrain_.stop_time(calm, now.backlog) > now.time_left) return out_;
            now.shift = truth_.round_phi * spell_;
            const auto choice = choose(terrain_, values_, now);
            out_.for_time = out_.for_time || choice.for_time;
            if (!choice.go) {
                wait(now);
            } else if (go(now, choice.setting)) {
                out_.finished = out_.total_s <= time_left;
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
        now.backlog = std::min(noise() * pass.fresh, truth_.memory);
    }

    bool go(Situation& now, std::size_t index) {
        const auto& setting = truth_.settings[index];
        const auto round =
            go_round(truth_, setting, now.backlog, truth_.curve.work_for(now.backlog), !now.allowed);
        spend(setting, round.time_s);
        out_.sent += now.backlog - round.rest;
        now.allowed = true;
        now.share = setting.share;
        if (setting.work_rate < truth_.busy) {
            out_.lowest_share = std::min(out_.lowest_share, setting.share);
            out_.stall_s = std::max(out_.stall_s, setting.stall_s);
        }
        const double next = std::min(round.rest + noise() * round.fresh, truth_.memory);
        if (next > setting.budget) {
            now.backlog = next;
            return false;
        }
        out_.downtime_s = truth_.fixed_s * luck_.costs + setting.stall_s * luck_.stall + next / truth_.switch_bandwidth;
        out_.total_s += out_.downtime_s;
        out_.wanted_s += truth_.busy * out_.downtime_s;
        out_.lost_work_s += truth_.busy * out_.downtime_s;
        out_.sent += next;
        return true;
    }

    const Terrain& terrain_;
    const Values& values_;
    const Luck& luck_;
    Ground truth_;
    Course out_;
    double spell_ = 0;
    int drawn_ = 0;
};

}  // namespace

Course play(const Terrain& terrain, const Values& values, const Situation& start, const Luck& luck) {
    return Player(terrain, values, luck).run(start);
}

}  // namespace segue::converge
