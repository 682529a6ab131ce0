#pragma once
/// \file  Which capabilities and parameters of a QEMU a move changes, and how they are put back exactly.
///
/// Pure. Only what exists in this QEMU and is not yet as wanted is touched.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/qemu/wire.hpp"
#include "units/share.hpp"

namespace segue::qemu {

enum class Side { source, destination };

struct Capability {
    std::string name;
    bool on = false;
    friend bool operator==(const Capability&, const Capability&) = default;
};

/// How a side was found, before anything was changed.
struct Originals {
    std::vector<Capability> capabilities;  ///< All that this QEMU has.
    /// Those of migrate-set-parameters that this side's Prepare changes, verbatim.
    boost::json::object parameters;
};

[[nodiscard]] Originals originals(Side side, const boost::json::value& query_migrate_capabilities,
                                  const boost::json::value& query_migrate_parameters);

/// Capabilities that a move cannot do without and that this QEMU does not have.
[[nodiscard]] std::vector<std::string> missing_features(Side side, const Originals& found);

/// What Prepare has to change: needed ones on, those that would change the promises off.
/// \param own_brake  QEMU's auto-converge is asked for.
[[nodiscard]] std::vector<Capability> capabilities_to_change(Side side, const Originals& found, bool own_brake = false);
/// The states that those had, with and without `own_brake`.
[[nodiscard]] std::vector<Capability> capabilities_to_restore(Side side, const Originals& found);

/// Arguments of migrate-set-capabilities and migrate-set-parameters.
[[nodiscard]] boost::json::object capability_arguments(const std::vector<Capability>& capabilities);
/// Arguments of migrate-set-parameters: auto-converge with QEMU's own steps, never below `floor`.
[[nodiscard]] boost::json::object throttle_arguments(Share floor);
[[nodiscard]] bool has_auto_converge(const Originals& found);
[[nodiscard]] boost::json::object parameter_arguments(const SwitchoverParameters& parameters);

/// Arguments of announce-self: QEMU's own defaults for the end of a migration.
[[nodiscard]] boost::json::object announce_arguments();

/// One QMP command a line, without ids; empty when Prepare changes nothing.
[[nodiscard]] std::string put_back_script(Side side, const Originals& found);

}  // namespace segue::qemu
