# What is taken from the distribution: Boost (headers and Boost.JSON), fmt, CLI11, toml++ (headers), SQLite; for
# tests GoogleTest and RapidCheck. A program with the property SEGUE_STATIC gets the archives, all others the
# shared ones.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 3.37 REQUIRED)  # STRICT tables

# Where the distribution has no archive (fmt on Debian 12) a static program gets nothing: it must not use
# that library, and the linker says so by name when it does.
function(segue_package name shared archive_name)
  find_library(SEGUE_ARCHIVE_${archive_name} NAMES lib${archive_name}.a)
  set(archive "")
  if(SEGUE_ARCHIVE_${archive_name})
    set(archive ${SEGUE_ARCHIVE_${archive_name}})
  endif()
  add_library(segue_pkg_${name} INTERFACE)
  add_library(segue::${name} ALIAS segue_pkg_${name})
  target_link_libraries(segue_pkg_${name} INTERFACE
    $<IF:$<BOOL:$<TARGET_PROPERTY:SEGUE_STATIC>>,${archive},${shared}>)
endfunction()

segue_package(fmt fmt::fmt fmt)
segue_package(json Boost::json boost_json)
segue_package(sqlite SQLite::SQLite3 sqlite3)

add_library(segue_pkg_asio INTERFACE)
add_library(segue::asio ALIAS segue_pkg_asio)
target_link_libraries(segue_pkg_asio INTERFACE Boost::headers Threads::Threads)

add_library(segue_pkg_cli INTERFACE)
add_library(segue::cli ALIAS segue_pkg_cli)
target_link_libraries(segue_pkg_cli INTERFACE CLI11::CLI11)

# Headers alone: src/vm/toml_text.hpp replaces its assertions.
find_path(SEGUE_TOML toml++/toml.h REQUIRED)
add_library(segue_pkg_toml INTERFACE)
add_library(segue::toml ALIAS segue_pkg_toml)
target_include_directories(segue_pkg_toml SYSTEM INTERFACE ${SEGUE_TOML})
target_compile_definitions(segue_pkg_toml INTERFACE TOML_HEADER_ONLY=1 TOML_EXCEPTIONS=1 TOML_ENABLE_FORMATTERS=0)

if(SEGUE_TESTS)
  find_package(GTest REQUIRED)
  find_library(SEGUE_RAPIDCHECK rapidcheck REQUIRED)
  find_path(SEGUE_RAPIDCHECK_GTEST rapidcheck/gtest.h REQUIRED)
  add_library(segue_test_packages INTERFACE)
  target_link_libraries(segue_test_packages INTERFACE
    GTest::gmock_main GTest::gmock GTest::gtest ${SEGUE_RAPIDCHECK} Threads::Threads)
endif()
