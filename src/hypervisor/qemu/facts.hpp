#pragma once
/// \file  Everything that is asked of one QEMU before a move, by read-only commands alone.
///
/// Cost: about 28 commands, under 20 ms on an idle QEMU. What a version does not know stays empty.

#include <functional>

#include "hypervisor/guest.hpp"
#include "hypervisor/qemu/attachment.hpp"
#include "hypervisor/qemu/settings.hpp"
#include "units/duration.hpp"

namespace segue::qemu {

/// Answers once, later; not at all when `attachment` is destroyed before.
/// \param found  How the side was found, once Prepare may have changed it; nullptr before.
void read_facts(Attachment& attachment, Side side, const Originals* found, Duration timeout,
                std::function<void(Result<GuestFacts>)> on_facts);

}  // namespace segue::qemu
