#include "app/segue/vm_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "app/segue/plain_text.hpp"
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
    object["uuid"] = vm.uuid.empty() ? json::value() : json::value(vm.uuid);
    object["moved_to"] = vm.moved ? json::value(vm.moved->host) : json::value();
    object["moved_at"] = vm.moved ? json::value(vm.moved->at) : json::value();
    object["moved_job"] = vm.moved ? json::value(vm.moved->job) : json::value();
    return object;
}

json::array array_of(const std::vector<std::string>& words) {
    json::array array;
    for (const std::string& word : words) array.emplace_back(word);
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
void limit_line(std::string& text, std::string_view name, const std::optional<T>& value) {
    if (value) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, to_text(*value));
}

json::value seconds_of(const std::optional<Duration>& value) {
    return value ? json::value(to_seconds(*value)) : json::value();
}
json::value rate_of(const std::optional<ByteRate>& value) {
    return value ? json::value(value->per_second) : json::value();
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
    return json::serialize(object);
}

std::string render_vm(const VmDetails& vm) {
    std::string limits;
    limit_line(limits, "max_downtime", vm.limits.max_downtime);
    limit_line(limits, "timeout", vm.limits.timeout);
    limit_line(limits, "max_bandwidth", vm.limits.max_bandwidth);
    limit_line(limits, "switchover_bandwidth", vm.limits.switchover_bandwidth);
    std::string text = fmt::format("name     {}\nstate    {}", vm.view.name, state_words(vm.view));
    if (vm.view.moved) text += fmt::format(", on {}, job {}", vm.view.moved->at, vm.view.moved->job);
    if (vm.view.pid) text += fmt::format(", process {}", *vm.view.pid);
    text += fmt::format("\nuuid     {}", vm.view.uuid.empty() ? "drawn at the first start" : vm.view.uuid);
    text += fmt::format("\nfile     {}\nfolder   {}\nstorage  {}\nlimits   {}", plain_text(vm.file),
                        plain_text(vm.folder), vm.shared_storage ? "shared by all hosts" : "not said to be shared",
                        limits.empty() ? "none" : limits);
    if (!vm.command.environment.empty()) {
        text += fmt::format("\nenv      {}", plain_text(in_shell_words(vm.command.environment)));
    }
    return text + fmt::format("\ncommand  {}", plain_text(in_shell_words(vm.command.words)));
}

std::string vm_json(const VmDetails& vm) {
    json::object object{{"type", "vm"}, {"schema", 1}};
    const json::object view = object_of(vm.view);
    object.insert(view.begin(), view.end());
    object["file"] = vm.file;
    object["folder"] = vm.folder;
    object["shared_storage"] = vm.shared_storage;
    object["max_downtime_seconds"] = seconds_of(vm.limits.max_downtime);
    object["timeout_seconds"] = seconds_of(vm.limits.timeout);
    object["max_bandwidth_bytes_per_second"] = rate_of(vm.limits.max_bandwidth);
    object["switchover_bandwidth_bytes_per_second"] = rate_of(vm.limits.switchover_bandwidth);
    object["env"] = array_of(vm.command.environment);
    object["command"] = array_of(vm.command.words);
    return json::serialize(object);
}

}  // namespace segue
