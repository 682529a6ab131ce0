#include "app/sim/study/beholder.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/guest_model.hpp"

namespace segue::study {
namespace {

constexpr double page_header = 8;
constexpr double zero_page_bytes = 9;
/// Beyond it the curve goes on as it is: phases would repeat themselves.
constexpr double look_ahead_s = 200;

/// Before anything was measured the probe counts.
Band band_of(const BandwidthEstimate& stream, const Setting& setting) {
    const auto low = stream.at_quantile(0.1);
    const auto middle = stream.median();
    const auto high = stream.at_quantile(0.9);
    const double probed = setting.probed_per_s;
    if (!low || low->per_second <= 0) return {probed * 0.95, probed, probed * 1.05};
    return {static_cast<double>(low->per_second), static_cast<double>(middle->per_second),
            static_cast<double>(high->per_second)};
}

class Knowing final : public Beholder {
public:
    Knowing(const Setting& setting, const GuestRun& truth, const Case& one)
        : setting_(setting), truth_(truth), case_(one) {}

    void sampled(Duration, Bytes, std::int64_t, Duration) override {}
    void ran(Instant, Duration, Share) override {}
    void stream(Instant at, Bytes acked, bool queue_waits) override { stream_.add(at, acked, queue_waits); }
    void synced(const SyncSeen& sync) override {
        passes_ = static_cast<int>(sync.number);
        backlog_ = static_cast<double>(sync.backlog.count);
    }

    [[nodiscard]] Outlook look() override {
        Outlook out;
        out.curve = curve_ahead(truth_);
        out.level_sigma = 0.01;
        out.round_sigma = std::max(0.01, truth_.spec().jitter_sigma);
        out.busy = {truth_.busy_now()};
        out.busiest = busiest_of(out.busy.ratio, setting_.spread);
        out.bandwidth_bytes_per_second = band_of(stream_, setting_);
        auto& band = out.bandwidth_bytes_per_second;
        if (stream_.windows() > 0 && passes_ > 0) band.p50 = stream_.mean_over(backlog_ / band.p50 / 4);
        band.p10 = std::min(band.p10, band.p50);
        band.p90 = std::max(band.p90, band.p50);
        out.bandwidth_known = true;
        out.memory = setting_.memory;
        const double nonzero = case_.guest.memory_bytes * case_.guest.nonzero_ratio;
        const double zero = case_.guest.memory_bytes - nonzero;
        out.first_pass = {static_cast<std::int64_t>(nonzero * (1 + page_header / page_bytes) +
                                                    zero / page_bytes * zero_page_bytes)};
        if (passes_ <= 1) out.first_pass_beside = from_seconds(zero / setting_.scan_per_s);
        out.round_overhead = from_seconds(case_.sync_s);
        out.costs = setting_.costs;
        out.passes_seen = passes_;
        return out;
    }

private:
    const Setting setting_;
    const GuestRun& truth_;
    const Case& case_;
    BandwidthEstimate stream_;
    int passes_ = 0;
    double backlog_ = 0;
};

/// How much less than the resident memory pass 1 may have to send: pages touched once and zero now.
constexpr double resident_sigma = 0.03;

class Learning final : public Beholder {
public:
    explicit Learning(const Setting& setting) : model_(setting.memory) {
        model_.set_costs(setting.costs);
        model_.add_spread(setting.spread);
        model_.expect_bandwidth(ByteRate{static_cast<std::int64_t>(setting.probed_per_s)});
        const double zero = static_cast<double>(setting.memory.count - setting.resident.count);
        const double content = static_cast<double>(setting.resident.count) * (1 - resident_sigma);
        model_.expect_first_pass({static_cast<std::int64_t>(content * (1 + page_header / page_bytes) +
                                                            zero / page_bytes * zero_page_bytes)},
                                 resident_sigma);
        model_.expect_zero_scan(ByteRate{static_cast<std::int64_t>(setting.scan_per_s)});
    }

    void sampled(Duration interval, Bytes dirtied, std::int64_t pages_hashed, Duration worked) override {
        PageSample sample;
        sample.interval = interval;
        sample.dirtied = dirtied;
        sample.pages_hashed = pages_hashed;
        sample.worked = worked;
        model_.add_sample(sample);
    }
    void ran(Instant at, Duration worked, Share granted) override { model_.add_run_time(at, worked, granted); }
    void stream(Instant at, Bytes acked, bool queue_waits) override { model_.add_stream(at, acked, queue_waits); }
    void synced(const SyncSeen& seen) override {
        DirtySync sync;
        sync.number = seen.number;
        sync.at = seen.at;
        sync.backlog = seen.backlog;
        sync.remaining_before = seen.left_over;
        sync.worked = seen.worked;
        sync.share = seen.share;
        sync.sent = seen.sent;
        model_.add_sync(sync);
    }
    [[nodiscard]] Outlook look() override { return model_.outlook(); }

private:
    GuestModel model_;
};

}  // namespace

std::unique_ptr<Beholder> make_learning(const Setting& setting) {
    return std::make_unique<Learning>(setting);
}

Curve curve_ahead(const GuestRun& truth) {
    GuestRun copy = truth;
    copy.quiet();
    static_cast<void>(copy.take_dirty());
    const double began = copy.worked();
    const double pace = std::max(copy.busy_now(), 0.01);
    std::array<double, Curve::points> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
        const double target = Curve::work_at(i);
        if (target > look_ahead_s) {
            table[i] = table[i - 1];
            continue;
        }
        // Utilisation may change on the way.
        for (int tries = 0; tries < 8 && copy.worked() - began < target * (1 - 1e-6); ++tries) {
            const double missing = target - (copy.worked() - began);
            copy.advance(missing / std::max(copy.busy_now(), pace / 4), 1);
        }
        table[i] = copy.expected_bytes();
    }
    return Curve{table};
}

std::unique_ptr<Beholder> make_knowing(const Setting& setting, const GuestRun& truth, const Case& one) {
    return std::make_unique<Knowing>(setting, truth, one);
}

}  // namespace segue::study
