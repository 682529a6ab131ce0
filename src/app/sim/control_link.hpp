#pragma once
/// \file  One control connection in virtual time: lines in order, each way with its delay, and the ways in which it
///        breaks. What was written before an orderly end still arrives; what was on its way at a cut does not.

#include <array>
#include <deque>
#include <functional>
#include <string>

#include "hypervisor/sim/agenda.hpp"
#include "hypervisor/sim/rng.hpp"

namespace segue::sim {

enum class Way { to_dst, to_src };

class ControlLink {
public:
    ControlLink(Agenda& agenda, Duration delay, Rng rng) : agenda_(agenda), delay_(delay), rng_(rng) {}
    ControlLink(const ControlLink&) = delete;
    ControlLink& operator=(const ControlLink&) = delete;

    /// Who reads at the end of a way; set to nothing by a reader that is gone.
    struct Reader {
        std::function<void(const std::string&)> on_line;
        std::function<void(const std::string&)> on_end;
    };
    void read(Way way, Reader reader) { of(way).reader = std::move(reader); }

    void send(Way way, std::string line) { push(way, {std::move(line), false}); }
    /// Its writer closed it, or died.
    void end(Way way);

    /// Both ends are told, each when its kernel notices. \pre delays >= 0.
    void cut(Duration src_notices, Duration dst_notices);
    /// Nothing arrives until it is let go; then everything does.
    void hold(Way way, bool held);
    /// Nothing arrives any more, the end included.
    void lose(Way way) { of(way).lost = true; }

private:
    struct Item {
        std::string line;
        bool end = false;
    };
    struct Lane {
        Reader reader;
        Instant last;
        bool held = false;
        bool lost = false;
        bool ended = false;  ///< Nothing more is written.
        bool told = false;   ///< The reader heard of the end.
        std::deque<Item> waiting;
    };
    Lane& of(Way way) { return lanes_[static_cast<std::size_t>(way)]; }
    void push(Way way, Item item);
    void schedule(Way way, Item item);
    void arrive(Way way, const Item& item);

    Agenda& agenda_;
    Duration delay_;
    Rng rng_;
    bool cut_ = false;
    std::array<Lane, 2> lanes_;
};

}  // namespace segue::sim
