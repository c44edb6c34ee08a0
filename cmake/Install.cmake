# `cmake --install build --prefix P`: tools and the compiler's library, and what plugins are built against: headers (also
# the generated ones), td files, and the CMake package `moe` (find_package(moe CONFIG)). What is installed knows neither
# the source folder nor the build folder.
include(CMakePackageConfigHelpers)
set(MOE_HEADERS ${CMAKE_INSTALL_INCLUDEDIR}/moe)
set(MOE_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/moe)

install(TARGETS moert RUNTIME)
install(TARGETS moe-emulator LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}) # moert finds it from its own folder
install(FILES README.md LICENSE CHANGELOG.md CONTRIBUTING.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.html")
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/moe PATTERN "build*" EXCLUDE PATTERN quickstart.sh EXCLUDE)

if(MOE_COMPILER)
  install(TARGETS moe-compiler EXPORT moe LIBRARY)
  install(TARGETS moec moe-opt moe-lsp RUNTIME)
  install(DIRECTORY editors DESTINATION ${CMAKE_INSTALL_DATADIR}/moe PATTERN words.py EXCLUDE PATTERN node_modules EXCLUDE)
  get_directory_property(headers DIRECTORY frontends DEFINITION MOE_PLUGIN_HEADERS)
  foreach(header ${headers})
    cmake_path(GET header PARENT_PATH folder)
    install(FILES ${header} DESTINATION ${MOE_HEADERS}/${folder})
  endforeach()
  get_directory_property(abi DIRECTORY frontends DEFINITION MOE_PLUGIN_ABI)
  install(FILES ${abi} DESTINATION ${MOE_HEADERS}/frontends/driver)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/dialects DESTINATION ${MOE_HEADERS} FILES_MATCHING PATTERN "*.h.inc")
  install(EXPORT moe FILE moeTargets.cmake NAMESPACE moe:: DESTINATION ${MOE_PACKAGE})
  get_directory_property(LLVM_VERSION DIRECTORY frontends DEFINITION LLVM_VERSION)
  configure_package_config_file(cmake/moeConfig.cmake.in ${PROJECT_BINARY_DIR}/cmake/moeConfig.cmake
                                INSTALL_DESTINATION ${MOE_PACKAGE} PATH_VARS MOE_HEADERS)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/moeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/cmake/moeConfig.cmake ${PROJECT_BINARY_DIR}/cmake/moeConfigVersion.cmake
                cmake/MoePlugin.cmake DESTINATION ${MOE_PACKAGE})
endif()

# Last, since a link is kept where its file has been installed.
install(CODE "
  set(MOE_SOURCE \"${PROJECT_SOURCE_DIR}\")
  set(MOE_PREFIX \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
  set(MOE_DOCS \"${CMAKE_INSTALL_DOCDIR}\")
  set(MOE_DATA \"${CMAKE_INSTALL_DATADIR}/moe\")
  set(MOE_HEADERS \"${MOE_HEADERS}\")")
install(SCRIPT cmake/InstallLinks.cmake)
