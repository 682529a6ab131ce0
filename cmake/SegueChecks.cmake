# Checks of the tree itself, and the tests of those checks (tools/test_*.py).
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(segue_check name)
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} -B ${ARGN}
           WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS tools TIMEOUT 300)
endfunction()

if(NOT SEGUE_SANITIZE)
  segue_check(layers tools/check_layers.py)
  segue_check(lint tools/lint.py)
  segue_check(headers tools/check_headers.py --compiler ${CMAKE_CXX_COMPILER})
  # What the program says of itself, held against its manual and its completion.
  segue_check(manual tests/manual/test_manual.py $<TARGET_FILE:segue>)
  file(GLOB tool_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tools/test_*.py)
  foreach(tool_test IN LISTS tool_tests)
    get_filename_component(name ${tool_test} NAME_WE)
    segue_check(tools_${name} ${tool_test})
  endforeach()
endif()
