#pragma once
/// \file  Who tells the policy what to believe of a guest and its link. `knowing` looks at the truth itself: what the
///        optimum is computed with. `learning` sees what Segue sees: samples, dirty syncs, stream windows.
///
/// Pure.

#include <memory>
#include <optional>

#include "app/sim/study/case.hpp"
#include "model/bandwidth.hpp"
#include "model/outlook.hpp"

namespace segue::study {

/// What the engine knows beside the guest's dirtying.
struct Setting {
    Bytes memory;
    Bytes resident;            ///< At the source: what is not zero, and a little more.
    FixedCosts costs;          ///< As charged.
    double scan_per_s = 0;     ///< Zero pages, as tried on this host.
    double probed_per_s = 0;   ///< The stream's rate before the start; the cap where that is lower.
    std::optional<double> cap_per_s{};
    WorkSpread spread;         ///< Of the vCPUs, before the start.
};

/// One dirty sync, as an engine sees it.
struct SyncSeen {
    Instant at;
    std::int64_t number = 0;  ///< 1: the one at the start, before which nothing was dirtied.
    Bytes backlog;            ///< Pending behind it.
    Bytes left_over;          ///< What the pass before had not sent.
    Duration worked{0};       ///< Guest work since the sync before.
    Bytes sent;               ///< On the wire, since the sync before.
    Share share;              ///< Granted since the sync before, least.
};

class Beholder {
public:
    virtual ~Beholder() = default;
    Beholder(const Beholder&) = delete;
    Beholder& operator=(const Beholder&) = delete;

    /// Page sampling: `dirtied` over `interval`, as the monitor says it.
    virtual void sampled(Duration interval, Bytes dirtied, std::int64_t pages_hashed, Duration worked) = 0;
    /// Run time of the vCPUs, mean. \param granted  Least since the reading before.
    virtual void ran(Instant at, Duration worked, Share granted) = 0;
    /// One reading of the stream.
    virtual void stream(Instant at, Bytes acked, bool queue_waits) = 0;
    virtual void synced(const SyncSeen& sync) = 0;
    [[nodiscard]] virtual Outlook look() = 0;

protected:
    Beholder() = default;
};

/// \param truth  The running guest; outlives it.
[[nodiscard]] std::unique_ptr<Beholder> make_knowing(const Setting& setting, const GuestRun& truth, const Case& one);

/// Segue's own GuestModel, fed as migration/ feeds it.
[[nodiscard]] std::unique_ptr<Beholder> make_learning(const Setting& setting);

/// The curve of the guest from now on, in its own future, without noise.
[[nodiscard]] Curve curve_ahead(const GuestRun& truth);

}  // namespace segue::study
