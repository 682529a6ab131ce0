# segue_folder(): a folder of src/ as a library and, beside it, its test program.
# segue_program(): a folder's main.cpp as a program.

function(segue_target_of folder out)
  string(REPLACE "/" "_" name ${folder})
  set(${out} segue_${name} PARENT_SCOPE)
endfunction()

# Library segue_<folder with _> (or TARGET) of all *.cpp but main.cpp and *_test.cpp. A folder without
# sources is an interface library, so that it may be empty or hold headers only. All *_test.cpp
# together become bin/<folder>_test and one ctest entry of that name. SUBFOLDERS: theirs too, as one library: which of
# them includes which is held by tools/check_layers.py alone.
function(segue_folder folder)
  cmake_parse_arguments(ARG "NO_TESTS;SUBFOLDERS" "TARGET;FAULTS_OF" "DEPENDS;PACKAGES;TEST_DEPENDS" ${ARGN})
  segue_target_of(${folder} target)
  if(ARG_TARGET)
    set(target ${ARG_TARGET})
  endif()
  set(dir ${CMAKE_CURRENT_SOURCE_DIR}/src/${folder})

  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cpp)
  if(ARG_SUBFOLDERS)
    file(GLOB inner CONFIGURE_DEPENDS ${dir}/*/*.cpp)
    list(APPEND sources ${inner})
  endif()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cpp$")

  # With fault points only the files that have some are compiled again; the rest comes from the shipping
  # library, which is linked behind this one.
  if(ARG_FAULTS_OF)
    foreach(source IN LISTS sources)
      file(STRINGS ${source} points REGEX "SEGUE_FAULT_POINT" LIMIT_COUNT 1)
      if(NOT points)
        list(REMOVE_ITEM sources ${source})
      endif()
    endforeach()
  endif()

  set(libraries ${ARG_FAULTS_OF})
  foreach(dependency IN LISTS ARG_DEPENDS)
    segue_target_of(${dependency} library)
    list(APPEND libraries ${library})
  endforeach()

  set(access INTERFACE)
  if(sources)
    set(access PUBLIC)
    add_library(${target} STATIC ${sources})
  else()
    add_library(${target} INTERFACE)
  endif()
  target_link_libraries(${target} ${access} segue_flags ${libraries} ${ARG_PACKAGES})
  if(ARG_FAULTS_OF)
    target_compile_definitions(${target} PRIVATE SEGUE_FAULT_POINTS=1)
  endif()

  if(tests AND SEGUE_TESTS AND NOT ARG_NO_TESTS)
    string(REPLACE "/" "_" test ${folder}_test)
    add_executable(${test} ${tests})
    target_link_libraries(${test} PRIVATE ${target} segue_test_packages)
    # Half the compile time of -O2; what they test is compiled as it ships.
    target_compile_options(${test} PRIVATE -Og -Wno-maybe-uninitialized)
    foreach(dependency IN LISTS ARG_TEST_DEPENDS)
      segue_target_of(${dependency} library)
      target_link_libraries(${test} PRIVATE ${library})
    endforeach()
    add_test(NAME ${test} COMMAND ${test})
    # Brief: what failed is what is shown, not the hundred cases beside it.
    set(environment "GTEST_BRIEF=1" "GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/results/${test}.xml"
      "SEGUE_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}")
    set_tests_properties(${test} PROPERTIES TIMEOUT 300 LABELS unit ENVIRONMENT "${environment}")
    set_property(GLOBAL APPEND PROPERTY SEGUE_UNIT_TARGETS ${test})
  endif()
endfunction()

# bin/<name> of src/<FOLDER>/main.cpp and the library TARGET; nothing while there is no main.cpp.
# STATIC: one file that needs no library at run time (a sanitizer cannot be linked so).
function(segue_program name)
  cmake_parse_arguments(ARG "FAULTS;STATIC" "FOLDER;TARGET" "" ${ARGN})
  file(GLOB main CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${ARG_FOLDER}/main.cpp)
  if(NOT main)
    return()
  endif()
  add_executable(${name} ${main})
  target_link_libraries(${name} PRIVATE ${ARG_TARGET})
  target_compile_definitions(${name} PRIVATE SEGUE_VERSION="${PROJECT_VERSION}")
  if(ARG_STATIC AND NOT SEGUE_SANITIZE)
    set_target_properties(${name} PROPERTIES SEGUE_STATIC ON)
    target_link_options(${name} PRIVATE -static -Wl,--gc-sections)
  endif()
  if(NOT ARG_FAULTS)
    set(SEGUE_SHIPPED_PROGRAMS ${SEGUE_SHIPPED_PROGRAMS} ${name} PARENT_SCOPE)
  endif()
endfunction()
