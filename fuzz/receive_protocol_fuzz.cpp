/// \file  Feeds the reader of `segue receive` whatever the fuzzer finds, and what it reads to both sides'
///        state machines: no crash, the same messages however the bytes were cut, everything read can be
///        written and read again, and no `cont` without a durable record.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/assert.hpp"
#include "receive/client.hpp"
#include "receive/codec.hpp"
#include "receive/session.hpp"

namespace {

using namespace segue;
using namespace segue::receive;

std::vector<Message> read_in_pieces(std::span<const char> bytes, std::size_t piece, bool& fault) {
    LineReader reader;
    std::vector<Message> messages;
    while (!bytes.empty()) {
        Fed fed = reader.feed(bytes.first(std::min(piece, bytes.size())));
        bytes = bytes.subspan(std::min(piece, bytes.size()));
        messages.insert(messages.end(), fed.messages.begin(), fed.messages.end());
        fault = fed.fault.has_value();
    }
    return messages;
}

std::string written(const std::vector<Message>& messages) {
    std::string text;
    for (const auto& message : messages) {
        if (std::holds_alternative<Ignored>(message)) continue;
        const auto line = encode(message);
        // Only escaping can make what was read longer than what may be sent.
        if (line) text += *line;
    }
    return text;
}

/// A host on which everything works, at once.
void feed_session(const std::vector<Message>& messages) {
    Session session(Hello{1, 1, "fuzz", "fuzz", {}, {}});
    Instant now{std::chrono::seconds{1}};
    std::vector<SessionEvent> events{Tick{}};
    events.emplace_back(FromPeer{Hello{1, 1, "fuzz", "fuzz", {}, MoveId{std::string(32, 'a')}}});
    for (const auto& message : messages) events.emplace_back(FromPeer{message});
    std::size_t steps = 0;
    bool accepted = false;
    bool loaded = false;
    for (const auto& first : events) {
        std::vector<SessionEvent> todo{first};
        while (!todo.empty() && ++steps < 10'000) {
            const SessionEvent event = todo.front();
            todo.erase(todo.begin());
            for (const auto& effect : session.step(event, now)) {
                if (std::holds_alternative<Recall>(effect)) todo.emplace_back(Recalled{});
                if (std::holds_alternative<StartQemu>(effect)) todo.emplace_back(QemuReady{});
                if (std::holds_alternative<AttachQemu>(effect)) todo.emplace_back(QemuReady{});
                if (std::holds_alternative<ClaimGuest>(effect)) todo.emplace_back(Claimed{true});
                if (std::holds_alternative<OpenListener>(effect)) {
                    todo.emplace_back(ListenerOpen{DataAddress{"h", 1}});
                    todo.emplace_back(DataConnected{});
                    loaded = true;
                }
                if (const auto* write = std::get_if<Write>(&effect)) {
                    accepted = accepted || write->record == Record::accepted;
                    todo.emplace_back(Written{write->record, {}});
                }
                if (const auto* qemu = std::get_if<Qemu>(&effect)) {
                    GuestAnswer answer = Done{};
                    if (std::holds_alternative<DstInspect>(qemu->command)) answer = GuestFacts{};
                    if (std::holds_alternative<DstReadRunState>(qemu->command)) {
                        answer = loaded ? RunState::paused : RunState::inmigrate;
                    }
                    if (std::holds_alternative<DstRun>(qemu->command)) {
                        SEGUE_ASSERT(accepted);
                        todo.emplace_back(DstResumed{});
                    }
                    todo.emplace_back(QemuAnswer{qemu->id, answer});
                }
            }
        }
        now = now + std::chrono::milliseconds{7};
    }
}

void feed_client(const std::vector<Message>& messages) {
    ClientPlan plan{Hello{1, 1, "fuzz", "fuzz", {}, MoveId{std::string(32, 'a')}}, {}, {std::string(32, 'b')}, 0, 0,
                    false};
    plan.prepare.monitor = "/q";
    Client client(std::move(plan));
    Instant now{std::chrono::seconds{1}};
    static_cast<void>(client.start(now));
    static_cast<void>(client.step(PeerSaid{Hello{1, 1, "fuzz", "fuzz", {}, {}}}, now));
    const DstCommand commands[] = {DstInspect{}, DstListen{}, DstRun{}, DstReadRunState{}, DstKill{}};
    std::uint64_t calls = 0;
    for (const auto& message : messages) {
        static_cast<void>(client.step(PeerSaid{message}, now));
        ++calls;
        const Call call{CallId{calls}, commands[calls % std::size(commands)], std::chrono::seconds{1}};
        static_cast<void>(client.step(call, now));
        now = now + std::chrono::milliseconds{40};
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
    bool fault = false;
    bool same_fault = false;
    const auto messages = read_in_pieces(bytes, std::max<std::size_t>(size, 1), fault);
    const std::string text = written(messages);
    SEGUE_ASSERT(text == written(read_in_pieces(bytes, 1 + size % 37, same_fault)) && fault == same_fault);
    bool none = false;
    SEGUE_ASSERT(text == written(read_in_pieces(text, 64, none)) && !none);
    feed_session(messages);
    feed_client(messages);
    return 0;
}
