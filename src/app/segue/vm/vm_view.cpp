#include "app/segue/vm/vm_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/json_line.hpp"
#include "app/segue/words/plain_text.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

namespace json = boost::json;

std::string state_words(const VmView& vm) {
    return vm.state == "moved" ? fmt::format("moved to {}", plain_text(vm.moved->host)) : vm.state;
}

json::object object_of(const VmView& vm) {
    json::object object;
    object["name"] = vm.name;
    object["state"] = vm.state;
    object["pid"] = vm.pid ? json::value(*vm.pid) : json::value();
    object["uuid"] = json_line::text_or_null(vm.uuid);
    object["moved_to"] = json_line::text_or_null(vm.moved ? vm.moved->host : "");
    object["moved_at"] = json_line::text_or_null(vm.moved ? vm.moved->at : "");
    object["moved_job"] = vm.moved ? json::value(vm.moved->job) : json::value();
    return object;
}

json::array array_of(const std::vector<std::string>& words) {
    json::array array;
    for (const std::string& word : words) array.emplace_back(json_line::text_value(word));
    return array;
}

/// As the shell would take it back.
std::string in_shell_words(const std::vector<std::string>& words) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%";
    std::string text;
    for (const std::string& word : words) {
        if (!text.empty()) text += ' ';
        if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
            text += word;
            continue;
        }
        text += '\'';
        for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
        text += '\'';
    }
    return text;
}

template <class T>
void limit_line(std::string& text, std::string_view name, const T& value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
}

std::string limits_text(const vm::Limits& limits) {
    std::string text;
    if (!limits.preset.empty()) limit_line(text, "preset", limits.preset);
    if (limits.max_downtime) limit_line(text, "max_downtime", to_text(*limits.max_downtime));
    if (limits.timeout) limit_line(text, "timeout", to_text(*limits.timeout));
    if (limits.max_bandwidth) limit_line(text, "max_bandwidth", to_text(*limits.max_bandwidth));
    if (limits.switchover_bandwidth) limit_line(text, "switchover_bandwidth", to_text(*limits.switchover_bandwidth));
    if (limits.min_cpu) limit_line(text, "min_cpu", to_text(*limits.min_cpu));
    if (limits.max_stall) limit_line(text, "max_stall", to_text(*limits.max_stall));
    if (limits.aggression) limit_line(text, "aggression", *limits.aggression);
    return text.empty() ? "none" : text;
}

}  // namespace

VmView view_of(const VmRecord& record, bool runs, bool held) {
    VmView vm{record.name, "stopped", std::nullopt, record.moved, record.uuid};
    if (runs) vm.pid = record.process->pid;
    if (record.arriving) {
        vm.state = runs || held ? "arriving" : "unknown";
    } else if (runs) {
        vm.state = "running";
    } else if (record.moved) {
        vm.state = "moved";
    }
    // A mark that does not hold any more is nobody's business.
    if (vm.state != "moved") vm.moved.reset();
    return vm;
}

std::string render_vm_list(const std::vector<VmView>& vms) {
    std::size_t names = 4;
    std::size_t states = 5;
    for (const VmView& vm : vms) {
        names = std::max(names, vm.name.size());
        states = std::max(states, state_words(vm).size());
    }
    std::string text = fmt::format("{:<{}}  {:<{}}  PID", "NAME", names, "STATE", states);
    for (const VmView& vm : vms) {
        text += fmt::format("\n{:<{}}  {:<{}}  {}", vm.name, names, state_words(vm), states,
                            vm.pid ? fmt::format("{}", *vm.pid) : "-");
    }
    return text;
}

std::string vm_list_json(const std::vector<VmView>& vms) {
    json::object object{{"type", "vms"}, {"schema", 1}};
    json::array list;
    for (const VmView& vm : vms) list.emplace_back(object_of(vm));
    object["vms"] = std::move(list);
    return json_line::line_of(object);
}

std::string render_vm(const VmDetails& vm) {
    std::string text = fmt::format("name     {}\nstate    {}", vm.view.name, state_words(vm.view));
    if (vm.view.moved) text += fmt::format(", on {}, job {}", vm.view.moved->at, vm.view.moved->job);
    if (vm.view.pid) text += fmt::format(", process {}", *vm.view.pid);
    text += fmt::format("\nuuid     {}", vm.view.uuid.empty() ? "drawn at the first start" : vm.view.uuid);
    text += fmt::format("\nfile     {}\nfolder   {}\nstorage  {}\nlimits   {}", plain_text(vm.file),
                        plain_text(vm.folder), vm.shared_storage ? "shared by all hosts" : "not said to be shared",
                        limits_text(vm.limits));
    if (!vm.command.environment.empty()) {
        text += fmt::format("\nenv      {}", plain_text(in_shell_words(vm.command.environment)));
    }
    return text + fmt::format("\ncommand  {}", plain_text(in_shell_words(vm.command.words)));
}

std::string vm_json(const VmDetails& vm) {
    json::object object{{"type", "vm"}, {"schema", 1}};
    const json::object view = object_of(vm.view);
    object.insert(view.begin(), view.end());
    object["file"] = json_line::text_value(vm.file);
    object["folder"] = json_line::text_value(vm.folder);
    object["shared_storage"] = vm.shared_storage;
    object["max_downtime_seconds"] = json_line::seconds(vm.limits.max_downtime);
    object["timeout_seconds"] = json_line::seconds(vm.limits.timeout);
    object["max_bandwidth_bytes_per_second"] = json_line::rate(vm.limits.max_bandwidth);
    object["switchover_bandwidth_bytes_per_second"] = json_line::rate(vm.limits.switchover_bandwidth);
    object["min_cpu_ratio"] = vm.limits.min_cpu ? json::value(vm.limits.min_cpu->ratio) : json::value();
    object["max_stall_seconds"] = json_line::seconds(vm.limits.max_stall);
    object["aggression_ratio"] = vm.limits.aggression ? json::value(*vm.limits.aggression) : json::value();
    object["preset"] = json_line::text_or_null(vm.limits.preset);
    object["env"] = array_of(vm.command.environment);
    object["command"] = array_of(vm.command.words);
    return json_line::line_of(object);
}

}  // namespace segue
