# What plugins are built against: MOE_PLUGIN_HEADERS, the headers and td files that are installed, from the root; and
# PluginAbi.h, a text that is another one wherever a plugin of one build cannot be loaded by another: a digest of these
# files, made when the compiler is built, and whether it has assertions and which sanitizers. What is generated from the td
# files follows from them and from LLVM's version, which plugins state beside it. Included, this file defines the list and
# the rule; run by `cmake -P`, it writes the header.
if(CMAKE_SCRIPT_MODE_FILE)
  set(digests)
  foreach(file ${FILES})
    file(SHA256 ${ROOT}/${file} digest)
    string(APPEND digests "${file} ${digest}\n")
  endforeach()
  string(SHA256 digest "${digests}")
  string(SUBSTRING ${digest} 0 16 digest)
  file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "// Which build of the compiler a plugin is built against; written by cmake/PluginAbi.cmake.
#pragma once

namespace moe {
inline constexpr const char *pluginAbi = \"${digest}${OPTIONS}\";
} // namespace moe
" @ONLY)
  return()
endif()

# A pass or an op of a plugin sees the dialects, the pipeline, and the passes that it may run itself; a target sees what
# targets share.
file(GLOB_RECURSE MOE_PLUGIN_HEADERS RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/dialects/*.h
     ${PROJECT_SOURCE_DIR}/dialects/*.td ${PROJECT_SOURCE_DIR}/passes/kernels/*.h)
list(APPEND MOE_PLUGIN_HEADERS frontends/driver/Plugin.h passes/language/Elaborate.h passes/training/Training.h
     passes/pipeline/Pipeline.h passes/pipeline/Places.h passes/pipeline/VerifyByEvaluation.h runtime/base/Version.h)
list(SORT MOE_PLUGIN_HEADERS)

set(MOE_PLUGIN_ABI ${PROJECT_BINARY_DIR}/frontends/driver/PluginAbi.h)
string(TOUPPER "${CMAKE_BUILD_TYPE}" configuration)
set(options)
if(NOT "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${configuration}} " MATCHES "-DNDEBUG ")
  string(APPEND options " assertions")
endif()
if(MOE_SANITIZE)
  string(APPEND options " ${MOE_SANITIZE}")
endif()
list(TRANSFORM MOE_PLUGIN_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE headers)
add_custom_command(OUTPUT ${MOE_PLUGIN_ABI}
  COMMAND ${CMAKE_COMMAND} "-DFILES=${MOE_PLUGIN_HEADERS}" -DROOT=${PROJECT_SOURCE_DIR} -DOUTPUT=${MOE_PLUGIN_ABI}
          "-DOPTIONS=${options}" -P ${CMAKE_CURRENT_LIST_FILE}
  DEPENDS ${headers} ${CMAKE_CURRENT_LIST_FILE} COMMENT "frontends/driver/PluginAbi.h" VERBATIM)
add_custom_target(moe-plugin-abi DEPENDS ${MOE_PLUGIN_ABI})
