#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/nearest_word.hpp"
#include "settings/settings.hpp"
#include "vm/toml_text.hpp"

namespace segue::settings {
namespace {

constexpr std::string_view lock_key = "lock";

std::vector<std::string> lockable_keys() {
    std::vector<std::string> keys = vm::limit_keys(vm::Level::site);
    // They are other names of keys that can be locked.
    std::erase(keys, vm::ganeti_bandwidth);
    std::erase(keys, vm::ganeti_downtime);
    return keys;
}

class Reader {
public:
    explicit Reader(vm::Level level) : level_(level) {}

    File read(const toml::table& table) {
        vm::LimitReader limits(level_, file_.limits, problems_);
        for (const auto& [key, value] : table) {
            if (limits.take(key, value)) continue;
            if (key == lock_key && level_ == vm::Level::site) take_lock(value);
            else unknown(key, value);
        }
        limits.finish(table.source());
        return std::move(file_);
    }

    vm::Problems problems() {
        std::ranges::stable_sort(problems_, {}, &vm::Problem::line);
        return std::move(problems_);
    }

private:
    void wrong(const toml::source_region& place, std::string what) {
        problems_.push_back({static_cast<int>(place.begin.line), std::move(what),
                             static_cast<int>(place.begin.column)});
    }

    void unknown(const toml::key& key, const toml::node& node) {
        const std::string name = vm::shown(key.str());
        if (name == lock_key) return wrong(key.source(), "lock belongs to site.toml: only a site locks keys");
        if (name == vm::ganeti_bandwidth) {
            return wrong(key.source(), "migration_bandwidth belongs to site.toml: as in Ganeti it is one for the site");
        }
        if (name == "data_address") {
            return wrong(key.source(), "data_address belongs to hosts/NAME.toml of the host that it is of");
        }
        if (name == "limits" && node.is_table()) {
            return wrong(key.source(), "[limits] belongs to a VM's file: here write its keys without a table");
        }
        std::vector<std::string> known = vm::limit_keys(level_);
        if (level_ == vm::Level::site) known.emplace_back(lock_key);
        const std::string_view near = nearest_word(key.str(), known);
        wrong(key.source(), near.empty() ? fmt::format("\"{}\" is not known: what is known is {}", name,
                                                       fmt::join(known, ", "))
                                         : fmt::format("\"{}\" is not known: did you mean {}?", name, near));
    }

    void take_lock(const toml::node& node) {
        const auto* keys = node.as_array();
        if (keys == nullptr) {
            return wrong(node.source(), fmt::format("lock is {}, not an array: write lock = [\"max_bandwidth\"]",
                                                    vm::kind_of(node)));
        }
        const std::vector<std::string> known = lockable_keys();
        for (const toml::node& entry : *keys) {
            const auto* text = entry.as_string();
            if (text == nullptr) {
                wrong(entry.source(), fmt::format("an entry of lock is {}, not a string: write the key in quotes",
                                                  vm::kind_of(entry)));
                continue;
            }
            const std::string& key = text->get();
            if (std::ranges::find(known, key) != known.end()) {
                file_.locks[key] = {static_cast<int>(entry.source().begin.line),
                                    static_cast<int>(entry.source().begin.column)};
                continue;
            }
            const std::string_view near = nearest_word(key, known);
            wrong(entry.source(),
                  near.empty() ? fmt::format("lock names \"{}\", which is no key that can be locked: these are {}",
                                             vm::shown(key), fmt::join(known, ", "))
                               : fmt::format("lock names \"{}\", which is no key that can be locked: did you mean {}?",
                                             vm::shown(key), near));
        }
    }

    vm::Level level_;
    File file_;
    vm::Problems problems_;
};

}  // namespace

vm::Parsed<File> parse_settings(std::string_view text, vm::Level level) {
    auto table = vm::parse_toml(text);
    if (!table) {
        table.error().what = vm::shown(table.error().what);
        return std::unexpected(vm::Problems{table.error()});
    }
    Reader reader(level);
    File file = reader.read(*table);
    if (auto problems = reader.problems(); !problems.empty()) return std::unexpected(std::move(problems));
    return file;
}

}  // namespace segue::settings
