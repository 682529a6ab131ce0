#pragma once
/// \file  What the rounds that are over say against, or for, what the curve promises. Pure.

#include <span>

#include "policy/converge/dp.hpp"
#include "policy/policy.hpp"

namespace segue::converge {

/// Whether the last rounds at the lowest share led nowhere: they left nearly all of what there was, and still far too
/// much. F is concave, so the part of a backlog that such rounds leave only grows: the guest would be held for
/// nothing (one of the study's was for an hour).
[[nodiscard]] bool crawls(std::span<const Pass> passes, const Setting& lowest);

/// How many rounds `crawls` looks at.
inline constexpr std::size_t crawl_rounds = 3;

/// Whether the last pass left clearly less than the one before: at full speed, without a timeout, each such pass is
/// free. Not before the fourth dirty sync, as every guest falls from pass 1 to pass 2.
[[nodiscard]] bool clearly_falls(std::span<const Pass> passes);

/// The most of the standstill that was there for bytes of late. A QEMU that answers late for a moment, on a busy host,
/// takes it away: whether a move is hopeless is judged without that. One that does so for longer counts, where waiting
/// costs something.
class Room {
public:
    /// \param forgets  The guest may be held, or a timeout runs.
    void add(double now_s, double room_s, bool forgets);
    /// Of the last 10 s and five dirty syncs, or up to twice that; while nothing is forgotten, of all.
    [[nodiscard]] double widest() const;

private:
    double began_s_ = 0;
    int syncs_ = 0;
    double widest_s_ = 0;
    double widest_before_s_ = 0;
};

/// Dirty syncs in a row at which nothing could be decided: no time for bytes is left of the standstill, or the link's
/// speed is not known. Each is a moment; many are a move that will never end, whose guest may be held all the while.
class Blind {
public:
    void see() { syncs_ = 0; }
    void add(double now_s);
    /// \param least_s  Of moments; shorter ones may pass.
    [[nodiscard]] bool lasts(double now_s, double least_s) const;

private:
    double began_s_ = 0;
    int syncs_ = 0;
};

}  // namespace segue::converge
