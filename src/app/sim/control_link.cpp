#include "app/sim/control_link.hpp"

#include <algorithm>
#include <utility>

namespace segue::sim {
namespace {

using std::chrono::microseconds;

}  // namespace

void ControlLink::end(Way way) {
    if (std::exchange(of(way).ended, true) || cut_) return;
    schedule(way, {{}, true});
}

void ControlLink::push(Way way, Item item) {
    if (!cut_ && !of(way).ended) schedule(way, std::move(item));
}

void ControlLink::schedule(Way way, Item item) {
    Lane& lane = of(way);
    const Duration took = delay_ + rng_.between(Duration{0}, delay_ / 4 + microseconds{50});
    lane.last = std::max(lane.last + Duration{1}, agenda_.now() + took);
    agenda_.at(lane.last, [this, way, item = std::move(item)] { arrive(way, item); });
}

void ControlLink::arrive(Way way, const Item& item) {
    Lane& lane = of(way);
    if (cut_ || lane.lost || lane.told) return;
    if (lane.held) {
        lane.waiting.push_back(item);
        return;
    }
    lane.told = item.end;
    // By copy: a reader that ends itself takes its functions with it.
    const Reader reader = lane.reader;
    if (item.end && reader.on_end) reader.on_end("end of the stream");
    if (!item.end && reader.on_line) reader.on_line(item.line);
}

void ControlLink::cut(Duration src_notices, Duration dst_notices) {
    if (std::exchange(cut_, true)) return;
    for (const Way way : {Way::to_src, Way::to_dst}) {
        agenda_.after(way == Way::to_src ? src_notices : dst_notices, [this, way] {
            Lane& lane = of(way);
            if (std::exchange(lane.told, true)) return;
            const Reader reader = lane.reader;
            if (reader.on_end) reader.on_end("connection reset");
        });
    }
}

void ControlLink::hold(Way way, bool held) {
    Lane& lane = of(way);
    lane.held = held;
    if (held) return;
    for (auto& item : std::exchange(lane.waiting, {})) schedule(way, std::move(item));
}

}  // namespace segue::sim
