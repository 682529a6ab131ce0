#include <fmt/format.h>

#include "policy/policy.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// Allowing early costs a few dirty syncs more and never a bound (the source checks the exact backlog
/// before it stops), so go is said while the backlog is still this many budgets away.
constexpr std::int64_t near_budgets = 3;

class Patient final : public Policy {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "patient"; }

    [[nodiscard]] Decision decide(const View& view) override {
        if (view.allowed || view.passes.size() < 2 || !view.bandwidth) return {CarryOn{}, {}};
        const Bytes backlog = view.passes.back().backlog;
        const Bytes before = view.passes[view.passes.size() - 2].backlog;
        const double fall =
            before.count > 0 ? static_cast<double>(backlog.count) / static_cast<double>(before.count) : 0;
        const Bytes next = scale(backlog, fall);
        if (backlog.count <= near_budgets * view.budget.count || next <= view.budget) {
            return {AllowSwitchover{},
                    fmt::format("{} left after pass {}, budget {}: the guest may stop when what is left fits",
                                to_text(backlog), view.passes.back().number - 1, to_text(view.budget))};
        }
        return {CarryOn{}, fmt::format("{} left after pass {}, budget {}", to_text(backlog),
                                       view.passes.back().number - 1, to_text(view.budget))};
    }
};

}  // namespace

std::string Policy::refuse(const View&) const { return {}; }

std::unique_ptr<Policy> make_patient_policy() {
    return std::make_unique<Patient>();
}

}  // namespace segue
