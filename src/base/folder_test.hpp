#pragma once
/// \file  For tests: a folder of its own.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace segue {

/// New and empty, of this user alone; gone with this object, with all that was put there.
class TestFolder {
public:
    TestFolder() { EXPECT_NE(::mkdtemp(path_.data()), nullptr) << path_; }
    ~TestFolder() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
        EXPECT_FALSE(error) << path_ << ": " << error.message();
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_ = testing::TempDir() + "segue_XXXXXX";
};

}  // namespace segue
