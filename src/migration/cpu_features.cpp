#include "migration/cpu_features.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <map>

namespace segue {
namespace {

/// One CPUID word: "bit:name", separated by blanks.
struct WordNames {
    std::string_view word;
    std::string_view names;
};

constexpr std::array word_names{
    WordNames{"1.EDX", "0:fpu 1:vme 2:de 3:pse 4:tsc 5:msr 6:pae 7:mce 8:cx8 9:apic 11:sep 12:mtrr 13:pge 14:mca "
                       "15:cmov 16:pat 17:pse36 18:pn 19:clflush 21:ds 22:acpi 23:mmx 24:fxsr 25:sse 26:sse2 27:ss "
                       "28:ht 29:tm 30:ia64 31:pbe"},
    WordNames{"1.ECX", "0:pni 1:pclmulqdq 2:dtes64 3:monitor 4:ds-cpl 5:vmx 6:smx 7:est 8:tm2 9:ssse3 10:cid 12:fma "
                       "13:cx16 14:xtpr 15:pdcm 17:pcid 18:dca 19:sse4.1 20:sse4.2 21:x2apic 22:movbe 23:popcnt "
                       "24:tsc-deadline 25:aes 26:xsave 28:avx 29:f16c 30:rdrand 31:hypervisor"},
    WordNames{"6.EAX", "2:arat"},
    WordNames{"7:0.EBX", "0:fsgsbase 1:tsc-adjust 2:sgx 3:bmi1 4:hle 5:avx2 6:fdp-excptn-only 7:smep 8:bmi2 9:erms "
                         "10:invpcid 11:rtm 13:zero-fcs-fds 14:mpx 16:avx512f 17:avx512dq 18:rdseed 19:adx 20:smap "
                         "21:avx512ifma 22:pcommit 23:clflushopt 24:clwb 25:intel-pt 26:avx512pf 27:avx512er "
                         "28:avx512cd 29:sha-ni 30:avx512bw 31:avx512vl"},
    WordNames{"7:0.ECX", "1:avx512vbmi 2:umip 3:pku 5:waitpkg 6:avx512vbmi2 8:gfni 9:vaes 10:vpclmulqdq 11:avx512vnni "
                         "12:avx512bitalg 14:avx512-vpopcntdq 16:la57 22:rdpid 24:bus-lock-detect 25:cldemote "
                         "27:movdiri 28:movdir64b 30:sgxlc 31:pks"},
    WordNames{"7:0.EDX", "2:avx512-4vnniw 3:avx512-4fmaps 4:fsrm 8:avx512-vp2intersect 10:md-clear 14:serialize "
                         "16:tsx-ldtrk 19:arch-lbr 22:amx-bf16 23:avx512-fp16 24:amx-tile 25:amx-int8 26:spec-ctrl "
                         "27:stibp 28:flush-l1d 29:arch-capabilities 30:core-capability 31:ssbd"},
    WordNames{"7:1.EAX", "0:sha512 1:sm3 2:sm4 4:avx-vnni 5:avx512-bf16 7:cmpccxadd 10:fzrm 11:fsrs 12:fsrc 17:fred "
                         "18:lkgs 19:wrmsrns 21:amx-fp16 23:avx-ifma 26:lam"},
    WordNames{"7:1.EDX", "4:avx-vnni-int8 5:avx-ne-convert 8:amx-complex 10:avx-vnni-int16 14:prefetchiti 19:avx10"},
    WordNames{"7:2.EDX", "0:intel-psfd 1:ipred-ctrl 2:rrsba-ctrl 3:ddpd-u 4:bhi-ctrl 5:mcdt-no"},
    WordNames{"d:1.EAX", "0:xsaveopt 1:xsavec 2:xgetbv1 3:xsaves 4:xfd"},
    WordNames{"40000001.EAX", "0:kvmclock 1:kvm-nopiodelay 2:kvm-mmu 3:kvmclock 4:kvm-asyncpf 5:kvm-steal-time "
                              "6:kvm-pv-eoi 7:kvm-pv-unhalt 9:kvm-pv-tlb-flush 11:kvm-pv-ipi 12:kvm-poll-control "
                              "13:kvm-pv-sched-yield 14:kvm-asyncpf-int 15:kvm-msi-ext-dest-id 24:kvmclock-stable-bit"},
    WordNames{"40000001.EDX", "0:kvm-hint-dedicated"},
    WordNames{"80000001.EDX", "11:syscall 19:mp 20:nx 22:mmxext 25:fxsr-opt 26:pdpe1gb 27:rdtscp 29:lm 30:3dnowext "
                              "31:3dnow"},
    WordNames{"80000001.ECX", "0:lahf-lm 1:cmp-legacy 2:svm 3:extapic 4:cr8legacy 5:abm 6:sse4a 7:misalignsse "
                              "8:3dnowprefetch 9:osvw 10:ibs 11:xop 12:skinit 13:wdt 15:lwp 16:fma4 17:tce "
                              "19:nodeid-msr 21:tbm 22:topoext 23:perfctr-core 24:perfctr-nb"},
    WordNames{"80000007.EDX", "8:invtsc"},
    WordNames{"80000008.EBX", "0:clzero 2:xsaveerptr 9:wbnoinvd 12:ibpb 14:ibrs 15:amd-stibp 17:stibp-always-on "
                              "24:amd-ssbd 25:virt-ssbd 26:amd-no-ssb 28:amd-psfd"},
    WordNames{"8000000a.EDX", "0:npt 1:lbrv 2:svm-lock 3:nrip-save 4:tsc-scale 5:vmcb-clean 6:flushbyasid "
                              "7:decodeassists 10:pause-filter 12:pfthreshold 13:avic 15:v-vmsave-vmload 16:vgif "
                              "25:vnmi 28:svme-addr-chk"},
    WordNames{"c0000001.EDX", "2:xstore 3:xstore-en 6:xcrypt 7:xcrypt-en 8:ace2 9:ace2-en 10:phe 11:phe-en 12:pmm "
                              "13:pmm-en"},
};

/// An AMD CPU says these of 1.EDX once more there.
constexpr std::uint32_t amd_aliases = 0x0183f3ff;

std::string_view next_word(std::string_view& text) {
    const auto end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

/// Bits by CPUID word, and the values of what is no word.
struct Features {
    std::map<std::string, std::uint32_t, std::less<>> bits;
    std::map<std::string, std::string, std::less<>> values;
};

Features features_in(std::string_view text) {
    Features found;
    while (!text.empty()) {
        const std::string_view piece = next_word(text);
        const auto equals = piece.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string name(piece.substr(0, equals));
        const std::string_view value = piece.substr(equals + 1);
        if (name.find('.') == std::string::npos) {
            found.values[name] = value;
        } else {
            std::from_chars(value.data(), value.data() + value.size(), found.bits[name], 16);
        }
    }
    return found;
}

std::string name_of(std::string_view word, int bit) {
    const auto known = std::ranges::find(word_names, word, &WordNames::word);
    std::string_view names = known == word_names.end() ? std::string_view() : known->names;
    while (!names.empty()) {
        const std::string_view entry = next_word(names);
        const auto colon = entry.find(':');
        int number = -1;
        std::from_chars(entry.data(), entry.data() + colon, number);
        if (number == bit) return std::string(entry.substr(colon + 1));
    }
    return {};
}

/// What `a` has and `b` has not. One without a name is told only where no other is: most follow from one that has.
std::vector<std::string> lacking(const Features& a, const Features& b) {
    std::vector<std::string> named;
    std::vector<std::string> unnamed;
    for (const auto& [word, bits] : a.bits) {
        const auto other = b.bits.find(word);
        std::uint32_t missing = bits & ~(other == b.bits.end() ? 0U : other->second);
        if (word == "80000001.EDX") missing &= ~amd_aliases;
        for (int bit = 0; bit < 32; ++bit) {
            if (((missing >> static_cast<unsigned>(bit)) & 1U) == 0) continue;
            std::string name = name_of(word, bit);
            if (name.empty()) {
                unnamed.push_back(fmt::format("bit {} of CPUID {}", bit, word));
            } else if (std::ranges::find(named, name) == named.end()) {
                named.push_back(std::move(name));
            }
        }
    }
    return named.empty() ? unnamed : named;
}

}  // namespace

CpuDifference compare_cpu_features(std::string_view src, std::string_view dst) {
    const Features here = features_in(src);
    const Features there = features_in(dst);
    CpuDifference difference{lacking(here, there), lacking(there, here), {}};
    for (const auto& [name, value] : here.values) {
        const auto other = there.values.find(name);
        if (other == there.values.end() || other->second == value) continue;
        difference.other.push_back(fmt::format("{} {} on the source and {} on the destination", name, value,
                                               other->second));
    }
    return difference;
}

}  // namespace segue
