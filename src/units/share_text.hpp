#pragma once
/// \file  A share of a CPU as people write and read it: "20%", "12.5 %". A number alone is an error: some mean 20 % by
///        0.2, some 0.2 %.

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "units/share.hpp"

namespace segue {

/// 0 % to 100 %, at most three digits behind the point. Errors: `invalid`.
[[nodiscard]] Result<Share> parse_share(std::string_view text);

/// "20%", "12.5%".
[[nodiscard]] std::string to_text(Share share);

}  // namespace segue
