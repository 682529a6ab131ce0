# Man pages of docs/man, by scdoc where it is installed, and the completion for bash.
include(GNUInstallDirs)
find_program(SCDOC scdoc)

if(SCDOC)
  file(GLOB manual_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/docs/man/*.scd)
  foreach(source IN LISTS manual_sources)
    get_filename_component(page ${source} NAME_WLE)
    string(REGEX REPLACE ".*\\." "" section ${page})
    set(rendered ${CMAKE_BINARY_DIR}/man/${page})
    add_custom_command(OUTPUT ${rendered} DEPENDS ${source}
      COMMAND sh -c "mkdir -p '${CMAKE_BINARY_DIR}/man' && '${SCDOC}' < '${source}' > '${rendered}'" VERBATIM)
    list(APPEND manual_pages ${rendered})
    install(FILES ${rendered} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
  add_custom_target(segue_manual ALL DEPENDS ${manual_pages})
else()
  message(STATUS "scdoc is not installed: no man pages (tools/install-packages)")
endif()

install(FILES packaging/completion/segue.bash RENAME segue
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
