#include "receive/codec.hpp"

#include <gtest/gtest.h>

#include <random>

#include "base/assert.hpp"
#include "receive/fields.hpp"

namespace segue::receive {
namespace {

/// Draws every field, so that a message is as large and odd as its rules allow.
class Drawer {
public:
    explicit Drawer(std::uint64_t seed) : random_(seed) {}
    std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : random_() % n; }

    template <class T>
    void number(std::string_view, T& value, T low, T high) {
        const auto a = static_cast<std::uint64_t>(low), b = static_cast<std::uint64_t>(high);
        value = static_cast<T>(below(4) == 0 ? b : below(4) == 0 ? a : a + below(b - a + 1));
    }
    void flag(std::string_view, bool& value) { value = below(2) == 0; }
    template <class T>
    void newer_number(std::string_view name, T& value, T low, T high) { number(name, value, low, high); }
    void newer_flag(std::string_view name, bool& value) { flag(name, value); }
    template <class E, std::size_t N>
    void word(std::string_view, E& value, const std::array<WordOf<E>, N>& words) { value = words[below(N)].value; }
    void text(std::string_view, std::string& value, std::size_t bytes, Text kind) {
        static constexpr std::string_view pieces[] = {"a", "/", "\"", "\\", " ", "é", "→", "😀", "}", ":", "0"};
        const auto length = below(std::min<std::size_t>(bytes, 60)) / 4;
        value.clear();
        for (std::uint64_t i = 0; i < length; ++i) value += pieces[below(std::size(pieces))];
        if (kind == Text::lines && !value.empty()) value += "\n";
    }
    void newer_text(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        text(name, value, bytes, kind);
    }
    void hex(std::string_view, std::string& value) {
        value.clear();
        for (int i = 0; i < 32; ++i) value += "0123456789abcdef"[below(16)];
    }
    void optional_hex(std::string_view name, std::optional<MoveId>& value) {
        if (below(2) == 0) hex(name, value.emplace().hex);
    }
    void names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        list.resize(below(4));
        for (auto& entry : list) text(name, entry, bytes, kind);
    }
    void newer_names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        names(name, list, bytes, kind);
    }
    template <class T> void object(std::string_view, T& value) { describe(*this, value); }
    template <class T> void optional_object(std::string_view name, std::optional<T>& value) {
        if (below(2) == 0) object(name, value.emplace());
    }
    template <class T> void objects(std::string_view, std::vector<T>& list) {
        list.resize(below(4));
        for (auto& entry : list) describe(*this, entry);
    }
    template <class T> void newer_object(std::string_view name, T& value) { object(name, value); }
    template <class T> void newer_objects(std::string_view name, std::vector<T>& list, bool& known) {
        known = below(2) == 0;
        if (known) objects(name, list);
    }
    template <class T> void newer_list(std::string_view name, std::vector<T>& list) { objects(name, list); }

    template <std::size_t I = 0>
    Message draw(std::size_t index) {
        if constexpr (I + 1 < std::variant_size_v<Message>) {
            if (I != index) return draw<I + 1>(index);
            std::variant_alternative_t<I, Message> m;
            describe(*this, m);
            if constexpr (std::is_same_v<decltype(m), Hello>) m.versions_max = std::max(m.versions_min, m.versions_max);
            if constexpr (std::is_same_v<decltype(m), Listen>) m.port_last = std::max(m.port_first, m.port_last);
            if constexpr (std::is_same_v<decltype(m), Prepare>) {
                if (m.vm) m.command.clear();
                m.monitor = m.command.empty() && !m.vm ? "/run/q.sock" : "";
                if (m.data) m.data->port_last = std::max(m.data->port_first, m.data->port_last);
            }
            return m;
        } else {
            return Bye{};
        }
    }
    Message any() { return draw(below(std::variant_size_v<Message> - 1)); }

private:
    std::mt19937_64 random_;
};

std::string line_of(const Message& message) {
    const auto line = encode(message);
    if (!line) ADD_FAILURE() << line.error().message;
    return line.value_or("");
}

std::string fault_of(std::string_view line) {
    const auto parsed = parse(line);
    return parsed ? "none" : parsed.error().message;
}

TEST(ReceiveCodec, EveryDrawnMessageComesBackAsItWent) {
    for (std::uint64_t seed = 0; seed < 5000; ++seed) {
        Drawer drawer(seed);
        const Message message = drawer.draw(seed % (std::variant_size_v<Message> - 1));
        const std::string line = line_of(message);
        const auto back = parse(std::string_view(line).substr(0, line.size() - 1));
        ASSERT_TRUE(back.has_value()) << back.error().message << "\n" << line;
        EXPECT_EQ(back->index(), message.index());
        EXPECT_EQ(line_of(*back), line);
    }
}

TEST(ReceiveCodec, HowTheStreamIsCutDoesNotMatter) {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Drawer drawer(seed);
        std::string stream;
        for (int i = 0; i < 20; ++i) stream += line_of(drawer.any()) + (drawer.below(5) == 0 ? "\n" : "");
        LineReader reader;
        std::string again;
        for (std::size_t at = 0; at < stream.size();) {
            const auto piece = std::min<std::size_t>(1 + drawer.below(90), stream.size() - at);
            const Fed fed = reader.feed(std::span(stream).subspan(at, piece));
            ASSERT_FALSE(fed.fault);
            for (const auto& m : fed.messages) again += line_of(m);
            at += piece;
        }
        std::erase_if(stream, [last = '\n'](char c) mutable { return std::exchange(last, c) == '\n' && c == '\n'; });
        EXPECT_EQ(again, stream);
    }
}

/// What stands here is the wire: a change that breaks it breaks N with N-1.
TEST(ReceiveCodec, TheWordsOnTheWireAreTheseForEver) {
    const RequestId id{7};
    const MoveId move{std::string(32, 'a')};
    const Token token{std::string(32, 'b')};
    const std::pair<Message, std::string_view> wire[] = {
        {Hello{1, 2, "0.1.0", "h", {"f"}, move},
         R"({"type":"hello","versions_min":1,"versions_max":2,"segue":"0.1.0","host":"h","features":["f"],)"
         R"("move":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"})"},
        {Prepare{id, "/q", {}, {"u", "m", 2, {3}}},
         R"({"type":"prepare","request":7,"monitor":"/q","command":[],)"
         R"("expected":{"uuid":"u","machine_type":"m","vcpus":2,"memory_bytes":3},"only_looks":false})"},
        {Prepare{id, "", {}, {"u", "m", 2, {3}}, VmText{"name = 'a'\n", "u"}},
         R"({"type":"prepare","request":7,"monitor":"","command":[],)"
         R"("expected":{"uuid":"u","machine_type":"m","vcpus":2,"memory_bytes":3},)"
         R"("vm":{"description":"name = 'a'\n","uuid":"u"},"only_looks":false})"},
        {ClearAutostart{id}, R"({"type":"clear-autostart","request":7})"},
        {Settings{id}, R"({"type":"settings","request":7})"},
        {PutBack{id}, R"({"type":"put-back","request":7})"},
        {Listen{id, "h", 0, 1, 2, token},
         R"({"type":"listen","request":7,"host":"h","port":0,"port_first":1,"port_last":2,)"
         R"("token":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"})"},
        {Ping{3}, R"({"type":"ping","n":3})"},
        {Word{id, 3}, R"({"type":"word","request":7,"n":3})"},
        {Finish{id}, R"({"type":"finish","request":7})"},
        {Abort{id, "r"}, R"({"type":"abort","request":7,"reason":"r"})"},
        {Status{id}, R"({"type":"status","request":7})"},
        {Bye{}, R"({"type":"bye"})"}, {Bye{"refused", "why"}, R"({"type":"bye","outcome":"refused","reason":"why"})"},
        {Did{id}, R"({"type":"done","request":7})"},
        {Listening{id, "h", 5}, R"({"type":"listening","request":7,"host":"h","port":5})"},
        {Connected{}, R"({"type":"connected"})"},
        {Lease{3}, R"({"type":"lease","n":3})"},
        {Running{id}, R"({"type":"running","request":7})"},
        {Refused{id, "r", true}, R"({"type":"refused","request":7,"reason":"r","dead":true})"},
        {Aborted{id}, R"({"type":"aborted","request":7})"},
        {StatusReply{id, Stage::running, RunState::finish_migrate, true, false, true},
         R"({"type":"status-reply","request":7,"stage":"running","run_state":"finish-migrate",)"
         R"("accepted":true,"tombstone":false,"qemu_alive":true})"},
        {Failed{id, {ErrorKind::timed_out, "m", "s"}},
         R"({"type":"error","request":7,"kind":"timed-out","message":"m","source":"s"})"},
        {LogLine{"t"}, R"({"type":"log","text":"t"})"},
        {Died{true}, R"({"type":"died","accepted":true})"},
        {RunStateChanged{RunState::paused}, R"({"type":"run-state","run_state":"paused"})"},
    };
    for (const auto& [message, line] : wire) {
        EXPECT_EQ(line_of(message), std::string(line) + "\n");
        EXPECT_TRUE(parse(line).has_value()) << line;
    }
    GuestFacts facts{"10.0.13", "vm", "u", RunState::inmigrate, "inmigrate", MigrationStatus::pre_switchover, "pc", "c",
                     "f", {}, 2, {4096}, {{"p", "t"}}, {{"n", "/d"}}, {"b"}, {"m"}, true, true, false, 9, "x\n", true};
    EXPECT_EQ(line_of(Prepared{id, facts}),
              R"({"type":"prepared","request":7,"facts":{"version":"10.0.13","name":"vm","uuid":"u",)"
              R"("run_state":"inmigrate","run_state_word":"inmigrate","migration":"pre-switchover",)"
              R"("machine_type":"pc",)"
              R"("cpu_type":"c","cpu_features":"f","vcpus":2,"memory_bytes":4096,"devices":[{"place":"p","type":"t"}],)"
              R"("images":[{"node":"n","file":"/d"}],"blockers":["b"],"missing_features":["m"],)"
              R"("native_switchover_bandwidth":true,"out_of_band":true,"hardware_accelerated":false,"pid":9,)"
              R"("put_back_script":"x\n","auto_converge":true,"host_facts":{"boot":"","memory_available_bytes":0,)"
              R"("memory_taken_bytes":0,"wall_ms":0,"memory_promised_bytes":0}}})" "\n");
    facts = GuestFacts{};
    facts.disks_known = true;
    facts.host = {"b", {5}, {6}, 7, {8}};
    const Storage storage{true, false, "8:1", "12", {9}, "nfs4", "f:/v", "w"};
    facts.disks = {{"disk0", "/d", true, false, true, true, false, storage}};
    EXPECT_NE(line_of(Prepared{id, facts}).find(
                  R"("disks":[{"place":"disk0","file":"/d","writable":true,"direct":false,"no_flush":true,)"
                  R"("local":true,"flash":false,"storage":{"seen":true,"block":false,"device":"8:1","inode":"12",)"
                  R"("size_bytes":9,"filesystem":"nfs4","source":"f:/v","wwid":"w"}}],"host_facts":{"boot":"b",)"
                  R"("memory_available_bytes":5,"memory_taken_bytes":6,"wall_ms":7,"memory_promised_bytes":8}}})"),
              std::string::npos) << line_of(Prepared{id, facts});
}

TEST(ReceiveCodec, AnOlderSegueSaysNothingOfItsDisksAndItsHost) {
    std::string line = line_of(Prepared{RequestId{7}, GuestFacts{}});
    const auto at = line.find(R"(,"host_facts")");
    ASSERT_NE(at, std::string::npos);
    line.replace(at, std::string::npos, "}}");
    const auto parsed = parse(line);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_FALSE(std::get<Prepared>(*parsed).facts.disks_known);
    EXPECT_TRUE(std::get<Prepared>(*parsed).facts.host.boot.empty());
}

TEST(ReceiveCodec, WhatIsWrongIsNamed) {
    EXPECT_EQ(fault_of(R"({"type":"ping"})"), R"("ping": no field "n")");
    for (const char* n : {"-1", "1.5", "\"1\"", "9007199254740992", "null", "true", "1e3", "[]"}) {
        EXPECT_EQ(fault_of(std::string(R"({"type":"ping","n":)") + n + "}"),
                  R"("ping": field "n" has a value that it cannot have)") << n;
    }
    EXPECT_EQ(fault_of("[]"), "a line that is no JSON object");
    EXPECT_EQ(fault_of("{}"), "a message without a type");
    EXPECT_EQ(fault_of(R"({"type":"zing"})"), "a message of a type that this version does not know");
    EXPECT_EQ(fault_of(R"({"type":""})"), "a message of a type that this version does not know");
    EXPECT_NE(fault_of(R"({"type":"ping","n":1} x)"), "none");
    EXPECT_NE(fault_of("{\"type\":\"log\",\"text\":\"\xff\"}"), "none");
    const std::string prepare = R"({"type":"prepare","request":1,)"
                                R"("expected":{"uuid":"","machine_type":"","vcpus":0,"memory_bytes":0},)";
    EXPECT_EQ(fault_of(prepare + R"("monitor":"/a","command":[]})"), "none");
    EXPECT_NE(fault_of(prepare + R"("monitor":"/a","command":["q"]})"), "none");
    EXPECT_NE(fault_of(prepare + R"("monitor":"","command":[]})"), "none");
    EXPECT_NE(fault_of(prepare + R"("monitor":"a","command":[]})"), "none");
    EXPECT_NE(fault_of(prepare + R"("monitor":"/a\u001b[2J","command":[]})"), "none");
    EXPECT_NE(fault_of(prepare + R"("monitor":"/)" + std::string(107, 'a') + R"(","command":[]})"), "none");
    EXPECT_NE(fault_of(R"({"type":"listen","request":1,"host":"h","port":0,"port_first":0,)"
                       R"("port_last":0,"token":"ABCD"})"), "none");
}

TEST(ReceiveCodec, WhatANewerPeerAddsIsIgnoredWhereItSaysSo) {
    EXPECT_EQ(fault_of(R"({"type":"ping","n":1,"colour":{"deep":[1]}})"), "none");
    const auto parsed = parse(R"({"type":"forecast","optional":true,"x":1})");
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(std::get<Ignored>(*parsed).type, "forecast");
    EXPECT_NE(fault_of(R"({"type":"forecast","optional":"yes"})"), "none");
}

TEST(ReceiveCodec, ALineOverTheLimitEndsItAfterWhatCameBefore) {
    LineReader reader;
    const std::string first = "{\"type\":\"bye\"}\n";
    EXPECT_EQ(reader.feed(first).messages.size(), 1U);
    const std::string blanks(line_bytes_max, ' ');
    EXPECT_FALSE(reader.feed(blanks).fault);
    const Fed over = reader.feed(std::string_view(" "));
    ASSERT_TRUE(over.fault);
    EXPECT_EQ(over.fault->message, "a line of more than 65536 bytes");
    EXPECT_TRUE(reader.feed(first).messages.empty());

    LineReader second;
    const Fed mixed = second.feed(first + "nonsense\n" + first);
    EXPECT_EQ(mixed.messages.size(), 1U);
    EXPECT_TRUE(mixed.fault);
}

TEST(ReceiveCodec, DepthIsLimited) {
    EXPECT_EQ(fault_of(R"({"type":"bye","x":[[[[[[1]]]]]]})"), "none");
    EXPECT_NE(fault_of(R"({"type":"bye","x":[[[[[[[[1]]]]]]]]})"), "none");
}

TEST(ReceiveCodec, NothingIsSentThatMustBeRefused) {
    EXPECT_FALSE(encode(Ignored{"x"}));
    EXPECT_FALSE(encode(Prepare{RequestId{1}, "/q\n", {}, {}}));
    EXPECT_FALSE(encode(Prepare{RequestId{1}, "/q", {"also"}, {}}));
    EXPECT_FALSE(encode(Prepare{RequestId{1}, "/q", {}, {}, VmText{"name = 'a'", "u"}}));
    EXPECT_TRUE(encode(Prepare{RequestId{1}, "", {}, {}, VmText{std::string(description_bytes_max, '"'), "u"}}));
    EXPECT_FALSE(encode(Prepare{RequestId{1}, "", {}, {}, VmText{std::string(description_bytes_max + 1, 'a'), "u"}}));
    EXPECT_FALSE(encode(Listen{RequestId{1}, "h", 0, 0, 0, Token{"short"}}));
    EXPECT_FALSE(encode(Ping{number_max + 1}));
    GuestFacts facts;
    facts.devices.assign(1024, {std::string(60, 'p'), "t"});
    EXPECT_FALSE(encode(Prepared{RequestId{1}, facts}));
    // What people read is made to fit instead.
    const auto line = encode(LogLine{"\x1b[2J\xff" + std::string(5000, 'x')});
    ASSERT_TRUE(line.has_value());
    const auto back = parse(std::string_view(*line).substr(0, line->size() - 1));
    EXPECT_EQ(std::get<LogLine>(*back).text.substr(0, 6), " [2J?x");
    EXPECT_EQ(std::get<LogLine>(*back).text.size(), text_bytes_max);
}

TEST(ReceiveCodec, TheHighestCommonVersionIsSpoken) {
    const auto speaks = [](int low, int high) { return Hello{low, high, "", "", {}, {}}; };
    EXPECT_EQ(common_version(speaks(1, 1), speaks(1, 2)), 1);
    EXPECT_EQ(common_version(speaks(1, 3), speaks(2, 4)), 3);
    EXPECT_EQ(common_version(speaks(1, 1), speaks(2, 2)), std::nullopt);
}

}  // namespace
}  // namespace segue::receive
