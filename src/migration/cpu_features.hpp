#pragma once
/// \file  Which features one guest's CPU has and its twin's has not, by the names that -cpu takes. Pure.
///
/// Source of the names: feature_word_info of QEMU's target/i386/cpu.c, 7.2 and 10.0.

#include <string>
#include <string_view>
#include <vector>

namespace segue {

struct CpuDifference {
    std::vector<std::string> dst_lacks;  ///< "avx512f", or "bit 7 of CPUID 7:0.EDX" of what has no name.
    std::vector<std::string> src_lacks;
    std::vector<std::string> other;      ///< "family 6 on the source and 15 on the destination".
};

/// \param src, dst  As GuestFacts::cpu_features.
[[nodiscard]] CpuDifference compare_cpu_features(std::string_view src, std::string_view dst);

}  // namespace segue
