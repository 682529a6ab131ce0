#pragma once
/// \file  The fields of each message, said once for reading, writing and drawing test messages.
///
/// `describe(archive, message)` calls one function of the archive per field, in the order of the line:
///   number(name, value, low, high)   flag(name, value)   word(name, value, words)
///   text(name, value, bytes max, Text)   hex(name, value)   names(name, list, bytes max, Text)
///   object(name, value)   objects(name, list)   optional_hex(name, value)   optional_object(name, value)
///   newer_flag, newer_number, newer_text, newer_names, newer_object, newer_objects(name, list, known),
///   newer_list(name, list): absent from an older segue

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include "receive/limits.hpp"
#include "receive/message.hpp"

namespace segue::receive {

/// What a text may hold. Control characters never reach a path or a terminal.
enum class Text {
    plain,     ///< No control characters: a peer that sends one in a path or name is refused.
    shown,     ///< For people: control characters become blanks.
    lines,     ///< Opaque; newlines and tabs.
};

template <class E>
struct WordOf {
    E value;
    std::string_view word;
};

inline constexpr std::array run_state_words{
    WordOf{RunState::running, "running"},     WordOf{RunState::paused, "paused"},
    WordOf{RunState::inmigrate, "inmigrate"}, WordOf{RunState::finish_migrate, "finish-migrate"},
    WordOf{RunState::postmigrate, "postmigrate"}, WordOf{RunState::other, "other"}};
inline constexpr std::array migration_words{
    WordOf{MigrationStatus::none, "none"},           WordOf{MigrationStatus::setup, "setup"},
    WordOf{MigrationStatus::active, "active"},       WordOf{MigrationStatus::pre_switchover, "pre-switchover"},
    WordOf{MigrationStatus::device, "device"},       WordOf{MigrationStatus::completed, "completed"},
    WordOf{MigrationStatus::failed, "failed"},       WordOf{MigrationStatus::cancelling, "cancelling"},
    WordOf{MigrationStatus::cancelled, "cancelled"}, WordOf{MigrationStatus::other, "other"}};
inline constexpr std::array stage_words{
    WordOf{Stage::greeting, "greeting"},   WordOf{Stage::recalling, "recalling"}, WordOf{Stage::idle, "idle"},
    WordOf{Stage::orphan, "orphan"},       WordOf{Stage::preparing, "preparing"}, WordOf{Stage::prepared, "prepared"},
    WordOf{Stage::listening, "listening"}, WordOf{Stage::connected, "connected"}, WordOf{Stage::accepting, "accepting"},
    WordOf{Stage::accepted, "accepted"},   WordOf{Stage::running, "running"},     WordOf{Stage::ending, "ending"},
    WordOf{Stage::refused, "refused"},     WordOf{Stage::aborted, "aborted"},     WordOf{Stage::died, "died"},
    WordOf{Stage::over, "over"}};
inline constexpr std::array error_words{
    WordOf{ErrorKind::invalid, "invalid"},         WordOf{ErrorKind::refused, "refused"},
    WordOf{ErrorKind::unsupported, "unsupported"}, WordOf{ErrorKind::conflict, "conflict"},
    WordOf{ErrorKind::unavailable, "unavailable"}, WordOf{ErrorKind::timed_out, "timed-out"},
    WordOf{ErrorKind::corrupt, "corrupt"}};

inline constexpr std::int64_t memory_bytes_max = std::int64_t{1} << 52;
inline constexpr std::int64_t size_bytes_max = static_cast<std::int64_t>(number_max);
inline constexpr int vcpus_max = 65536;
inline constexpr int versions_limit = 1'000'000;

template <class A> void request(A& a, RequestId& id) { a.number("request", id, RequestId{0}, RequestId{number_max}); }
template <class A> void port(A& a, std::string_view name, std::uint16_t& value, std::uint16_t low) {
    a.number(name, value, low, std::numeric_limits<std::uint16_t>::max());
}
template <class A> void lease_number(A& a, std::uint64_t& n) { a.number("n", n, std::uint64_t{0}, number_max); }

template <class A> void describe(A& a, Device& d) {
    a.text("place", d.place, text_bytes_max, Text::plain);
    a.text("type", d.type, text_bytes_max, Text::plain);
}
template <class A> void describe(A& a, Image& i) {
    a.text("node", i.node, text_bytes_max, Text::plain);
    a.text("file", i.file, text_bytes_max, Text::plain);
}
template <class A> void describe(A& a, Storage& s) {
    a.flag("seen", s.seen);
    a.flag("block", s.block);
    a.text("device", s.device, name_bytes_max, Text::plain);
    a.text("inode", s.inode, name_bytes_max, Text::plain);
    a.number("size_bytes", s.size.count, std::int64_t{0}, size_bytes_max);
    a.text("filesystem", s.filesystem, name_bytes_max, Text::plain);
    a.text("source", s.source, text_bytes_max, Text::shown);
    a.text("wwid", s.wwid, text_bytes_max, Text::shown);
}
template <class A> void describe(A& a, Disk& d) {
    a.text("place", d.place, text_bytes_max, Text::shown);
    a.text("file", d.file, text_bytes_max, Text::shown);
    a.flag("writable", d.writable);
    a.flag("direct", d.direct);
    a.flag("no_flush", d.no_flush);
    a.flag("local", d.local);
    a.flag("flash", d.flash);
    a.object("storage", d.storage);
}
template <class A> void describe(A& a, Obstacle& o) {
    a.text("code", o.code, name_bytes_max, Text::plain);
    a.text("what", o.what, text_bytes_max, Text::shown);
    a.text("remedy", o.remedy, text_bytes_max, Text::shown);
}
template <class A> void describe(A& a, Tap& t) {
    a.text("name", t.name, name_bytes_max, Text::shown);
    a.text("bridge", t.bridge, name_bytes_max, Text::shown);
    a.flag("carries", t.carries);
}
template <class A> void describe(A& a, HostFacts& h) {
    a.text("boot", h.boot, name_bytes_max, Text::plain);
    a.number("memory_available_bytes", h.memory_available.count, std::int64_t{0}, memory_bytes_max);
    a.number("memory_taken_bytes", h.memory_taken.count, std::int64_t{0}, memory_bytes_max);
    a.number("wall_ms", h.wall_ms, std::int64_t{0}, size_bytes_max);
    a.newer_number("memory_promised_bytes", h.memory_promised.count, std::int64_t{0}, memory_bytes_max);
    a.newer_list("taps", h.taps);
    a.newer_list("obstacles", h.obstacles);
}
template <class A> void describe(A& a, GuestFacts& f) {
    a.text("version", f.version, name_bytes_max, Text::plain);
    a.text("name", f.name, name_bytes_max, Text::plain);
    a.text("uuid", f.uuid, name_bytes_max, Text::plain);
    a.word("run_state", f.run_state, run_state_words);
    a.text("run_state_word", f.run_state_word, name_bytes_max, Text::plain);
    a.word("migration", f.migration, migration_words);
    a.text("machine_type", f.machine_type, name_bytes_max, Text::plain);
    a.text("cpu_type", f.cpu_type, name_bytes_max, Text::plain);
    a.text("cpu_features", f.cpu_features, long_text_bytes_max, Text::plain);
    a.number("vcpus", f.vcpus, 0, vcpus_max);
    a.number("memory_bytes", f.memory.count, std::int64_t{0}, memory_bytes_max);
    a.objects("devices", f.devices);
    a.objects("images", f.images);
    a.names("blockers", f.blockers, text_bytes_max, Text::shown);
    a.names("missing_features", f.missing_features, text_bytes_max, Text::shown);
    a.flag("native_switchover_bandwidth", f.native_switchover_bandwidth);
    a.flag("out_of_band", f.out_of_band);
    a.flag("hardware_accelerated", f.hardware_accelerated);
    a.number("pid", f.pid, 0, std::numeric_limits<int>::max());
    a.text("put_back_script", f.put_back_script, long_text_bytes_max, Text::lines);
    a.newer_flag("auto_converge", f.auto_converge);
    a.newer_names("cpu_unavailable", f.cpu_unavailable, name_bytes_max, Text::shown);
    a.newer_objects("disks", f.disks, f.disks_known);
    a.newer_object("host_facts", f.host);
}
template <class A> void describe(A& a, Expected& e) {
    a.text("uuid", e.uuid, name_bytes_max, Text::plain);
    a.text("machine_type", e.machine_type, name_bytes_max, Text::plain);
    a.number("vcpus", e.vcpus, 0, vcpus_max);
    a.number("memory_bytes", e.memory.count, std::int64_t{0}, memory_bytes_max);
}
template <class A> void describe(A& a, Error& e) {
    a.word("kind", e.kind, error_words);
    a.text("message", e.message, text_bytes_max, Text::shown);
    a.text("source", e.source, text_bytes_max, Text::shown);
}

template <class A> void describe(A& a, Hello& m) {
    a.number("versions_min", m.versions_min, 1, versions_limit);
    a.number("versions_max", m.versions_max, 1, versions_limit);
    a.text("segue", m.segue, name_bytes_max, Text::plain);
    a.text("host", m.host, name_bytes_max, Text::plain);
    a.names("features", m.features, name_bytes_max, Text::plain);
    a.optional_hex("move", m.move);
}
template <class A> void describe(A& a, VmText& v) {
    a.text("description", v.description, description_bytes_max, Text::lines);
    a.text("uuid", v.uuid, name_bytes_max, Text::plain);
}
template <class A> void describe(A& a, DataPlace& d) {
    a.text("host", d.host, name_bytes_max, Text::plain);
    port(a, "port", d.port, 0);
    port(a, "port_first", d.port_first, 0);
    port(a, "port_last", d.port_last, 0);
}
template <class A> void describe(A& a, Prepare& m) {
    request(a, m.request);
    a.text("monitor", m.monitor, monitor_bytes_max, Text::plain);
    a.names("command", m.command, text_bytes_max, Text::plain);
    a.object("expected", m.expected);
    a.optional_object("vm", m.vm);
    a.optional_object("data", m.data);
    a.newer_flag("only_looks", m.only_looks);
}
template <class A> void describe(A& a, ClearAutostart& m) { request(a, m.request); }
template <class A> void describe(A& a, Settings& m) { request(a, m.request); }
template <class A> void describe(A& a, PutBack& m) { request(a, m.request); }
template <class A> void describe(A& a, Listen& m) {
    request(a, m.request);
    a.text("host", m.host, name_bytes_max, Text::plain);
    port(a, "port", m.port, 0);
    port(a, "port_first", m.port_first, 0);
    port(a, "port_last", m.port_last, 0);
    a.hex("token", m.token.hex);
}
template <class A> void describe(A& a, Ping& m) { lease_number(a, m.n); }
template <class A> void describe(A& a, Word& m) { request(a, m.request); lease_number(a, m.n); }
template <class A> void describe(A& a, Finish& m) { request(a, m.request); }
template <class A> void describe(A& a, Abort& m) {
    request(a, m.request);
    a.text("reason", m.reason, text_bytes_max, Text::shown);
}
template <class A> void describe(A& a, Status& m) { request(a, m.request); }
template <class A> void describe(A& a, Bye& m) {
    a.newer_text("outcome", m.outcome, name_bytes_max, Text::plain);
    a.newer_text("reason", m.reason, text_bytes_max, Text::shown);
}
template <class A> void describe(A& a, Prepared& m) { request(a, m.request); a.object("facts", m.facts); }
template <class A> void describe(A& a, Did& m) { request(a, m.request); }
template <class A> void describe(A& a, Listening& m) {
    request(a, m.request);
    a.text("host", m.host, name_bytes_max, Text::plain);
    port(a, "port", m.port, 1);
}
template <class A> void describe(A&, Connected&) {}
template <class A> void describe(A& a, Lease& m) { lease_number(a, m.n); }
template <class A> void describe(A& a, Running& m) { request(a, m.request); }
template <class A> void describe(A& a, Refused& m) {
    request(a, m.request);
    a.text("reason", m.reason, text_bytes_max, Text::shown);
    a.flag("dead", m.dead);
}
template <class A> void describe(A& a, Aborted& m) { request(a, m.request); }
template <class A> void describe(A& a, StatusReply& m) {
    request(a, m.request);
    a.word("stage", m.stage, stage_words);
    a.word("run_state", m.run_state, run_state_words);
    a.flag("accepted", m.accepted);
    a.flag("tombstone", m.tombstone);
    a.flag("qemu_alive", m.qemu_alive);
}
template <class A> void describe(A& a, Failed& m) {
    request(a, m.request);
    describe(a, m.error);
    a.newer_list("obstacles", m.obstacles);
}
template <class A> void describe(A& a, LogLine& m) { a.text("text", m.text, text_bytes_max, Text::shown); }
template <class A> void describe(A& a, Died& m) { a.flag("accepted", m.accepted); }
template <class A> void describe(A& a, RunStateChanged& m) { a.word("run_state", m.run_state, run_state_words); }
template <class A> void describe(A&, Ignored&) {}

/// The `type` of each message, in the order of `Message`. What is written here never changes its meaning.
inline constexpr std::array<std::string_view, std::variant_size_v<Message>> type_words{
    "hello", "prepare", "clear-autostart", "settings", "put-back", "listen", "ping", "word", "finish", "abort",
    "status", "bye", "prepared", "done", "listening", "connected", "lease", "running", "refused", "aborted",
    "status-reply", "error", "log", "died", "run-state", ""};

}  // namespace segue::receive
