#include "units/text.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

namespace segue {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

template <class T>
std::string message_of(const Result<T>& result) {
    if (result) return "(no error)";
    EXPECT_EQ(result.error().kind, ErrorKind::invalid);
    return result.error().message;
}

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST(ParseDuration, takes_every_unit_with_and_without_a_blank) {
    EXPECT_EQ(parse_duration("7ns"), Duration{7});
    EXPECT_EQ(parse_duration("250 us"), microseconds{250});
    EXPECT_EQ(parse_duration("300ms"), milliseconds{300});
    EXPECT_EQ(parse_duration("10 \t s"), seconds{10});
    EXPECT_EQ(parse_duration("10min"), minutes{10});
    EXPECT_EQ(parse_duration("2h"), std::chrono::hours{2});
    EXPECT_EQ(parse_duration("1d"), std::chrono::hours{24});
    EXPECT_EQ(parse_duration("0 s"), Duration{0});
    EXPECT_EQ(parse_duration("007s"), seconds{7});
}

TEST(ParseDuration, takes_decimals_exactly) {
    EXPECT_EQ(parse_duration("0.3s"), milliseconds{300});
    EXPECT_EQ(parse_duration("1.000000001 s"), Duration{1'000'000'001});
    EXPECT_EQ(parse_duration("0.1 h"), minutes{6});
    EXPECT_EQ(parse_duration("9223372036.854775807 s"), Duration{int64_max});
    EXPECT_EQ(parse_duration("1.00000000000000000000000000000000000001 s"), seconds{1});
}

TEST(ParseDuration, refuses_a_bare_number_unless_a_unit_is_agreed) {
    EXPECT_TRUE(mentions(message_of(parse_duration("30")), "has no unit"));
    EXPECT_EQ(parse_duration("30", "ms"), milliseconds{30});
    EXPECT_EQ(parse_duration("30 ", "ms"), milliseconds{30});
    EXPECT_EQ(parse_duration("30 s", "ms"), seconds{30}) << "a written unit wins";
}

TEST(ParseDuration, names_the_units_that_a_near_miss_means) {
    EXPECT_EQ(message_of(parse_duration("5m")), "\"5m\" is not a duration: did you mean min or ms?");
    EXPECT_TRUE(mentions(message_of(parse_duration("5 sec")), "did you mean s?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5 Seconds")), "did you mean s?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5S")), "did you mean s?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5 MS")), "did you mean ms?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5\xc2\xb5s")), "did you mean us?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5 mins")), "did you mean min?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5 hours")), "did you mean h?"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5 parsec")), "units are ns us ms s min h d"));
}

TEST(ParseDuration, refuses_what_is_no_plain_number) {
    EXPECT_TRUE(mentions(message_of(parse_duration("")), "missing"));
    EXPECT_TRUE(mentions(message_of(parse_duration("-5 s")), "cannot be negative"));
    EXPECT_TRUE(mentions(message_of(parse_duration("1e9 s")), "exponents"));
    EXPECT_TRUE(mentions(message_of(parse_duration("1E-3s")), "exponents"));
    EXPECT_TRUE(mentions(message_of(parse_duration("1e99999999999999999999999")), "exponents"));
    EXPECT_TRUE(mentions(message_of(parse_duration("1,5 s")), "point"));
    EXPECT_TRUE(mentions(message_of(parse_duration("1.2.3 s")), "point"));
    EXPECT_TRUE(mentions(message_of(parse_duration("5. s")), "point"));
    for (const char* text : {"nan", "NaN s", "inf", "Infinity s", "+5 s", ".5 s", " 5 s", "s", "0x10 s",
                             "5 s ", "5 s x", "1h30m", "5\n", "5\0s", "\xff", "5\xff"}) {
        EXPECT_FALSE(parse_duration(text)) << text;
    }
}

TEST(ParseDuration, refuses_what_does_not_fit_and_what_would_become_nothing) {
    EXPECT_TRUE(mentions(message_of(parse_duration("9223372036.854775808 s")), "too large"));
    EXPECT_TRUE(mentions(message_of(parse_duration("200000 d")), "too large"));
    EXPECT_TRUE(mentions(message_of(parse_duration("99999999999999999999999 ns")), "too large"));
    EXPECT_TRUE(mentions(message_of(parse_duration(std::string(5000, '9') + "s")), "too large"));
    EXPECT_TRUE(mentions(message_of(parse_duration("0.1 ns")), "too small"));
    EXPECT_TRUE(mentions(message_of(parse_duration("0.0000000000000000000000001 s")), "too small"));
    EXPECT_EQ(parse_duration("0.000 s"), Duration{0});
}

TEST(ParseDuration, shows_hostile_input_shortened_and_without_control_characters) {
    const std::string message = message_of(parse_duration("5\x1b[31m" + std::string(300, 'x')));
    EXPECT_TRUE(mentions(message, "\"5?[31m"));
    EXPECT_LT(message.size(), 200U);
}

TEST(ParseByteRate, takes_bytes_and_bits) {
    EXPECT_EQ(parse_byte_rate("812 B/s"), ByteRate{812});
    EXPECT_EQ(parse_byte_rate("100MB/s"), ByteRate{100'000'000});
    EXPECT_EQ(parse_byte_rate("100 MiB/s"), mebibytes_per_second(100));
    EXPECT_EQ(parse_byte_rate("1.5GiB/s"), ByteRate{1'610'612'736});
    EXPECT_EQ(parse_byte_rate("10Gbit/s"), ByteRate{1'250'000'000});
    EXPECT_EQ(parse_byte_rate("9 bit/s"), ByteRate{1});
    EXPECT_EQ(parse_byte_rate("1.5 kbit/s"), ByteRate{188});
    EXPECT_EQ(parse_byte_rate("73786976294838206 kbit/s"), ByteRate{9'223'372'036'854'775'750});
    EXPECT_FALSE(parse_byte_rate("73786976294838207 kbit/s"));
    EXPECT_EQ(parse_byte_rate("18446744073709551615 bit/s"), ByteRate{2'305'843'009'213'693'952});
    EXPECT_EQ(parse_byte_rate("32", "MiB/s"), mebibytes_per_second(32));
}

TEST(ParseByteRate, names_the_units_that_a_near_miss_means) {
    EXPECT_EQ(message_of(parse_byte_rate("100Mb/s")),
              "\"100Mb/s\" is not a rate: did you mean Mbit/s or MB/s?");
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 Mbps")), "did you mean Mbit/s or MB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 Kbit/s")), "did you mean kbit/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 KB/s")), "did you mean kB/s or KiB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 MBps")), "did you mean MB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 mib/s")), "did you mean MiB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 MiB")), "did you mean MiB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100M")), "did you mean Mbit/s, MB/s or MiB/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("100 gigabit")), "units are B/s"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("1 Mibit/s")), "did you mean Mbit/s?"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("1 PB/s")), "units are B/s"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("1 /s")), "units are B/s"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("1 ps")), "units are B/s"));
}

TEST(ParseByteRate, never_lets_a_tiny_cap_become_no_cap) {
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("1 bit/s")), "too small"));
    EXPECT_TRUE(mentions(message_of(parse_byte_rate("0.0001 kB/s")), "too small"));
}

TEST(ParseBytes, takes_decimal_and_binary_units) {
    EXPECT_EQ(parse_bytes("1 kB"), Bytes{1000});
    EXPECT_EQ(parse_bytes("1KiB"), Bytes{1024});
    EXPECT_EQ(parse_bytes("0.5 TiB"), Bytes{std::int64_t{1} << 39});
    EXPECT_EQ(parse_bytes("9223372036854775807 B"), Bytes{int64_max});
    EXPECT_FALSE(parse_bytes("9223372036854775808 B"));
    EXPECT_FALSE(parse_bytes("8388608 TiB"));
    EXPECT_TRUE(mentions(message_of(parse_bytes("1 G")), "did you mean GB or GiB?"));
    EXPECT_TRUE(mentions(message_of(parse_bytes("1 gb")), "did you mean GB?"));
    EXPECT_TRUE(mentions(message_of(parse_bytes("1 MiB/s")), "did you mean MiB?"));
    EXPECT_FALSE(mentions(message_of(parse_bytes("1 Mbit")), "did you mean"));
}

TEST(ToText, says_durations_as_people_would) {
    EXPECT_EQ(to_text(milliseconds{312}), "0.312 s");
    EXPECT_EQ(to_text(milliseconds{300}), "0.3 s");
    EXPECT_EQ(to_text(milliseconds{58'200}), "58.2 s");
    EXPECT_EQ(to_text(milliseconds{4}), "4 ms");
    EXPECT_EQ(to_text(microseconds{4'250}), "4.25 ms");
    EXPECT_EQ(to_text(microseconds{99'990}), "100 ms");
    EXPECT_EQ(to_text(microseconds{250}), "250 us");
    EXPECT_EQ(to_text(Duration{17}), "17 ns");
    EXPECT_EQ(to_text(Duration{0}), "0 s");
    EXPECT_EQ(to_text(seconds{90}), "90 s");
    EXPECT_EQ(to_text(seconds{151}), "151 s");
    EXPECT_EQ(to_text(minutes{10}), "10 min");
    EXPECT_EQ(to_text(seconds{750}), "12.5 min");
    EXPECT_EQ(to_text(minutes{150}), "2.5 h");
    EXPECT_EQ(to_text(std::chrono::hours{1}), "1 h");
    EXPECT_EQ(to_text(std::chrono::hours{72}), "3 d");
    EXPECT_EQ(to_text(-milliseconds{312}), "-0.312 s");
    EXPECT_FALSE(to_text(Duration::min()).empty());
}

TEST(ToText, says_data_in_binary_units_and_rates_in_bytes) {
    EXPECT_EQ(to_text(mebibytes_per_second(100)), "100 MiB/s");
    EXPECT_EQ(to_text(ByteRate{1'342'177'280}), "1.25 GiB/s");
    EXPECT_EQ(to_text(ByteRate{1'250'000'000}), "1.16 GiB/s");
    EXPECT_EQ(to_text(mebibytes(512)), "512 MiB");
    EXPECT_EQ(to_text(Bytes{42'520'176'230}), "39.6 GiB");
    EXPECT_EQ(to_text(Bytes{812}), "812 B");
    EXPECT_EQ(to_text(Bytes{1000}), "1000 B");
    EXPECT_EQ(to_text(Bytes{0}), "0 B");
    EXPECT_EQ(to_text(Bytes{1024 * 1024 - 1}), "1024 KiB") << "not worth a MiB";
    EXPECT_EQ(to_text(Bytes{-2048}), "-2 KiB");
    EXPECT_EQ(to_text(Bytes{int64_max}), "8388608 TiB");
}

/// Any magnitude is as likely as any other; plain random numbers are nearly always huge.
rc::Gen<std::int64_t> any_magnitude() {
    return rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::uint64_t>(), rc::gen::inRange(2, 64)),
                        [](const std::pair<std::uint64_t, int>& drawn) {
                            return static_cast<std::int64_t>(drawn.first >> drawn.second);
                        });
}

bool close(std::int64_t a, std::int64_t b) {
    return std::abs(static_cast<double>(a) - static_cast<double>(b)) <= 0.005 * static_cast<double>(a);
}

RC_GTEST_PROP(ToText, is_read_back_within_its_three_digits, ()) {
    const std::int64_t n = *any_magnitude();
    const auto duration = parse_duration(to_text(Duration{n}));
    RC_ASSERT(duration.has_value());
    RC_ASSERT(close(n, duration->count()));
    const auto amount = parse_bytes(to_text(Bytes{n}));
    RC_ASSERT(amount.has_value());
    RC_ASSERT(close(n, amount->count));
    const auto rate = parse_byte_rate(to_text(ByteRate{n}));
    RC_ASSERT(rate.has_value());
    RC_ASSERT(rate->per_second == amount->count);
}

RC_GTEST_PROP(ParseBytes, reads_every_whole_number_exactly, ()) {
    const std::int64_t n = *any_magnitude();
    RC_ASSERT((parse_bytes(std::to_string(n) + " B") == Bytes{n}));
    RC_ASSERT((parse_duration(std::to_string(n), "ns") == Duration{n}));
}

RC_GTEST_PROP(ParseDuration, survives_any_text, (const std::string& text)) {
    (void)parse_duration(text);
    (void)parse_byte_rate("1" + text);
    (void)parse_bytes("1.5" + text, "MiB");
}

}  // namespace
}  // namespace segue
