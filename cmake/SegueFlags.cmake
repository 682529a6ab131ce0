# How everything of ours is compiled. Target `segue_flags` carries it; nothing is set globally but the
# language and the build type.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
# Line tables only: backtraces are readable, and the build and its files stay small.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(SEGUE_CCACHE ccache)
if(SEGUE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SEGUE_CCACHE})
endif()

add_library(segue_flags INTERFACE)
target_include_directories(segue_flags INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/src)
target_compile_definitions(segue_flags INTERFACE _GLIBCXX_ASSERTIONS)
target_compile_options(segue_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Wswitch-enum -Werror
  -ffp-contract=off          # a replay must be bit-equal, whatever the compiler
  -fstack-protector-strong
  -ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 is wrong about these after inlining (PR 105651: "text" + std::string; PR 105562, 107138:
  # std::variant and std::optional members): the first is useless, the others warn only.
  target_compile_options(segue_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized
    -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=stringop-overread)
endif()

if(SEGUE_SANITIZE)
  target_compile_options(segue_flags INTERFACE -fsanitize=${SEGUE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all -Og -Wno-maybe-uninitialized -Wno-array-bounds)
  target_link_options(segue_flags INTERFACE -fsanitize=${SEGUE_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(segue_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

find_program(SEGUE_MOLD mold)
if(SEGUE_MOLD)
  target_link_options(segue_flags INTERFACE -fuse-ld=mold)
endif()
