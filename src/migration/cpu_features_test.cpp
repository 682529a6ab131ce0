#include "migration/cpu_features.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

using Names = std::vector<std::string>;

TEST(CompareCpuFeatures, names_what_each_side_lacks_as_the_option_does) {
    const auto found = compare_cpu_features("1.ECX=80000201 7:0.EBX=10020 vendor=\"AuthenticAMD\" family=6",
                                            "1.ECX=80200201 7:0.EBX=20 vendor=\"AuthenticAMD\" family=6");
    EXPECT_EQ(found.dst_lacks, (Names{"avx512f"}));
    EXPECT_EQ(found.src_lacks, (Names{"x2apic"}));
    EXPECT_TRUE(found.other.empty());
}

TEST(CompareCpuFeatures, finds_a_word_that_the_other_side_does_not_show_at_all) {
    EXPECT_EQ(compare_cpu_features("1.EDX=1 7:1.EAX=10", "1.EDX=1").dst_lacks, (Names{"avx-vnni"}));
    EXPECT_EQ(compare_cpu_features("", "d:1.EAX=3").src_lacks, (Names{"xsaveopt", "xsavec"}));
}

TEST(CompareCpuFeatures, says_the_place_of_what_has_no_name_where_nothing_else_tells) {
    EXPECT_EQ(compare_cpu_features("d:0.EAX=80", "d:0.EAX=0").dst_lacks, (Names{"bit 7 of CPUID d:0.EAX"}));
    EXPECT_EQ(compare_cpu_features("d:0.EAX=80 7:0.EBX=10000", "").dst_lacks, (Names{"avx512f"}));
}

TEST(CompareCpuFeatures, tells_a_feature_once_that_an_amd_cpu_says_twice) {
    EXPECT_EQ(compare_cpu_features("1.EDX=1 80000001.EDX=1", "1.EDX=0 80000001.EDX=0").dst_lacks, (Names{"fpu"}));
    EXPECT_EQ(compare_cpu_features("40000001.EAX=9", "40000001.EAX=0").dst_lacks, (Names{"kvmclock"}));
}

TEST(CompareCpuFeatures, tells_other_properties_with_both_values) {
    EXPECT_EQ(compare_cpu_features("1.EDX=1 family=6 model=85", "1.EDX=1 family=6 model=106").other,
              (Names{"model 85 on the source and 106 on the destination"}));
}

TEST(CompareCpuFeatures, finds_nothing_in_the_same_words) {
    const auto same = compare_cpu_features("1.EDX=78bfbfd 1.ECX=80802001", "1.EDX=78bfbfd 1.ECX=80802001");
    EXPECT_TRUE(same.dst_lacks.empty() && same.src_lacks.empty() && same.other.empty());
}

}  // namespace
}  // namespace segue
