#pragma once
/// \file  How a command was asked to speak. Values only.

namespace segue {

struct OutputOptions {
    bool json = false;
    bool verbose = false;
};

}  // namespace segue
