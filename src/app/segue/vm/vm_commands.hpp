#pragma once
/// \file  `segue vm ...` on real parts: words in, lines on standard output, exit status out.
///
/// Results go to standard output, everything else to standard error. Thread: any; blocks.

#include "app/segue/words/vm_words.hpp"

namespace segue {

/// The exit status: 0 done, 1 failed, 2 refused with nothing changed.
[[nodiscard]] int run_vm(const VmWords& words);

}  // namespace segue
