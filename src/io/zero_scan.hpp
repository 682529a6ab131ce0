#pragma once
/// \file  How fast this host finds that memory is zero: QEMU's migration thread reads every page of pass 1, and a page
///        that nobody has touched is first mapped by the kernel. On a fast link that takes longer than the sending.

#include "units/bytes.hpp"

namespace segue {

/// Reads 32 MiB of fresh memory, mapped as QEMU maps a guest's (huge pages where the host grants them).
/// Takes 5 to 30 ms. Zero where no memory can be had.
[[nodiscard]] ByteRate zero_scan_rate();

}  // namespace segue
