#pragma once
/// \file  How a guest dirties memory, as learned in a move, as JSON: one object of experience_codec's text.
/// Doubles come back bit for bit. Pure.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>

#include "model/guest_model.hpp"

namespace segue {

[[nodiscard]] boost::json::object guest_memory_object(const GuestMemory& memory);
/// Nothing when a number is missing, no number, negative or beyond what any guest does.
[[nodiscard]] std::optional<GuestMemory> guest_memory_of(const boost::json::value& value);

}  // namespace segue
