#pragma once
/// \file  For tests: whether a line is as docs/json-output.schema.json says.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace segue::json_test {

namespace json = boost::json;

// ---- the documents ---------------------------------------------------------------------------------

/// The root of the source tree: SEGUE_SOURCE_DIR, else found upwards from here or from this program.
inline std::filesystem::path source_tree() {
    if (const char* named = std::getenv("SEGUE_SOURCE_DIR")) return named;
    for (std::filesystem::path start : {std::filesystem::current_path(), std::filesystem::path("/proc/self/exe")}) {
        if (std::filesystem::is_symlink(start)) start = std::filesystem::read_symlink(start);
        for (; start.has_relative_path(); start = start.parent_path()) {
            if (std::filesystem::exists(start / "docs/json-output.schema.json")) return start;
        }
    }
    return {};
}

inline std::string read(const std::string& name) {
    std::ifstream file(source_tree() / "docs" / name);
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_FALSE(text.str().empty()) << "docs/" << name << " not found: set SEGUE_SOURCE_DIR to the source tree";
    return text.str();
}

inline const json::value& schema() {
    static const json::value parsed = json::parse(read("json-output.schema.json"));
    return parsed;
}

// ---- as much of JSON Schema draft 7 as the document uses ------------------------------------------------

inline bool has_type(const json::value& value, std::string_view type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_bool();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_int64() || value.is_uint64();
    if (type == "number") return value.is_number();
    return false;
}

inline bool has_any_type(const json::value& value, const json::value& types) {
    if (types.is_string()) return has_type(value, types.as_string());
    for (const auto& type : types.as_array()) {
        if (has_type(value, type.as_string())) return true;
    }
    return false;
}

/// What is wrong with `value`, or empty.
inline std::string check(const json::value& value, const json::object& rule, const std::string& place);

inline std::string check_object(const json::object& object, const json::object& rule, const std::string& place) {
    if (const auto* required = rule.if_contains("required")) {
        for (const auto& name : required->as_array()) {
            if (!object.contains(name.as_string())) return place + " has no " + std::string(name.as_string());
        }
    }
    const auto* properties = rule.if_contains("properties");
    for (const auto& [key, member] : object) {
        const json::value* property = properties ? properties->as_object().if_contains(key) : nullptr;
        if (property == nullptr) {
            if (rule.contains("additionalProperties")) return place + " has an unknown member " + std::string(key);
            continue;
        }
        const auto problem = check(member, property->as_object(), place + "." + std::string(key));
        if (!problem.empty()) return problem;
    }
    return {};
}

inline std::string check(const json::value& value, const json::object& rule, const std::string& place) {
    if (const auto* reference = rule.if_contains("$ref")) {
        const std::string pointer(reference->as_string());
        return check(value, schema().at_pointer(pointer.substr(1)).as_object(), place);
    }
    if (const auto* choices = rule.if_contains("oneOf")) {
        std::string problems;
        int fitting = 0;
        for (const auto& choice : choices->as_array()) {
            const auto problem = check(value, choice.as_object(), place);
            problems += "\n  " + problem;
            fitting += problem.empty() ? 1 : 0;
        }
        return fitting == 1 ? "" : place + " fits " + std::to_string(fitting) + " of the types:" + problems;
    }
    if (const auto* types = rule.if_contains("type")) {
        if (!has_any_type(value, *types)) return place + " has the wrong type: " + json::serialize(value);
    }
    if (const auto* words = rule.if_contains("enum")) {
        const auto& list = words->as_array();
        if (std::find(list.begin(), list.end(), value) == list.end()) {
            return place + " is none of the words: " + json::serialize(value);
        }
    }
    if (const auto* items = rule.if_contains("items"); items && value.is_array()) {
        for (const auto& item : value.as_array()) {
            const auto problem = check(item, items->as_object(), place + "[]");
            if (!problem.empty()) return problem;
        }
    }
    return value.is_object() ? check_object(value.as_object(), rule, place) : "";
}

inline std::string problem_of(const std::string& line) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    return check(json::parse(line), schema().as_object(), "line");
}

}  // namespace segue::json_test
