# moe_add_plugin(<name> SOURCES <file>... [TD <file> DIALECT <dialect>]): a shared library <name>.so for `moec --load`. Of a
# td file Ops.td it makes OpsDialect.h.inc and OpsDialect.cpp.inc, the dialect's class, and Ops.h.inc and Ops.cpp.inc, its
# ops, in the build folder, where sources find them. Summaries and descriptions of its ops become the page that editors show. The td file is read with the folder that it lies in, moe's headers and
# MLIR's on the include path.

# `cmake -DPAGE=FILE -DOUTPUT=FILE -P MoePlugin.cmake` writes a page as a string of C++, which the compiler finds by its name.
if(CMAKE_SCRIPT_MODE_FILE)
  cmake_minimum_required(VERSION 3.25)
  file(READ ${PAGE} text)
  file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT
"extern \"C\" __attribute__((visibility(\"default\"))) const char moePluginPage[];
const char moePluginPage[] = R\"page(@text@)page\";
")
  return()
endif()

# Stops where the td file defines no dialect of that name, since mlir-tblgen's own error names neither. What else is wrong
# with the file is told by the build. The file is looked at again where it has changed.
function(moe_check_dialect name td folder dialect)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${td})
  if(NOT EXISTS ${td})
    message(FATAL_ERROR "moe_add_plugin(${name} ...): expected a td file after TD, found none: ${td}")
  endif()
  set(tblgen ${MLIR_TABLEGEN_EXE}) # the name of a target of MLIR's package, or a file
  if(TARGET ${tblgen})
    get_target_property(tblgen ${tblgen} LOCATION)
  endif()
  execute_process(COMMAND ${tblgen} -gen-dialect-decls -dialect=${dialect} -I ${folder} -I ${MOE_INCLUDE_DIR}
                          -I ${MLIR_INCLUDE_DIRS} ${td}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE error)
  if(status EQUAL 0 OR NOT error MATCHES "selected dialect .* does not exist")
    return()
  endif()
  file(READ ${td} text)
  string(REGEX MATCHALL "[ :]Dialect *{[^}]*name *= *\"[^\"]*\"" definitions "${text}")
  list(TRANSFORM definitions REPLACE ".*\"([^\"]*)\"" "'\\1'")
  list(JOIN definitions ", " found)
  if(NOT found)
    set(found "none")
  endif()
  message(FATAL_ERROR "moe_add_plugin(${name} ...): expected DIALECT to be a dialect that ${td} defines, found '${dialect}'; "
                      "it defines: ${found}")
endfunction()

function(moe_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TD;DIALECT" "SOURCES")
  if(NOT arg_SOURCES OR (arg_TD AND NOT arg_DIALECT) OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "expected moe_add_plugin(<name> SOURCES <file>... [TD <file> DIALECT <dialect>])")
  endif()
  set(generated)
  if(arg_TD)
    cmake_path(ABSOLUTE_PATH arg_TD OUTPUT_VARIABLE td)
    cmake_path(GET td STEM stem)
    cmake_path(GET td PARENT_PATH folder)
    moe_check_dialect(${name} ${td} ${folder} ${arg_DIALECT})
    foreach(rule "Dialect.h.inc;-gen-dialect-decls;-dialect=${arg_DIALECT}" "Dialect.cpp.inc;-gen-dialect-defs;-dialect=${arg_DIALECT}"
                 ".h.inc;-gen-op-decls;-dialect=${arg_DIALECT}" ".cpp.inc;-gen-op-defs;-dialect=${arg_DIALECT}")
      list(POP_FRONT rule suffix)
      set(output ${CMAKE_CURRENT_BINARY_DIR}/${stem}${suffix})
      add_custom_command(OUTPUT ${output}
        COMMAND ${MLIR_TABLEGEN_EXE} ${rule} -I ${folder} -I ${MOE_INCLUDE_DIR} -I ${MLIR_INCLUDE_DIRS} ${td} -o ${output}
                --write-if-changed -d ${output}.d
        DEPENDS ${td} DEPFILE ${output}.d COMMENT "${stem}${suffix}" VERBATIM)
      list(APPEND generated ${output})
    endforeach()
    # The page of its ops, which editors show (docs/editors.md).
    set(page ${CMAKE_CURRENT_BINARY_DIR}/${stem}.md)
    add_custom_command(OUTPUT ${page}
      COMMAND ${MLIR_TABLEGEN_EXE} -gen-op-doc -dialect=${arg_DIALECT} -I ${folder} -I ${MOE_INCLUDE_DIR} -I ${MLIR_INCLUDE_DIRS}
              ${td} -o ${page} -d ${page}.d
      DEPENDS ${td} DEPFILE ${page}.d COMMENT "${stem}.md" VERBATIM)
    add_custom_command(OUTPUT ${stem}Page.cpp
      COMMAND ${CMAKE_COMMAND} -DPAGE=${page} -DOUTPUT=${CMAKE_CURRENT_BINARY_DIR}/${stem}Page.cpp
              -P ${CMAKE_CURRENT_FUNCTION_LIST_FILE}
      DEPENDS ${page} VERBATIM)
    list(APPEND arg_SOURCES ${CMAKE_CURRENT_BINARY_DIR}/${stem}Page.cpp)
    add_custom_target(${name}-tablegen DEPENDS ${generated})
  endif()
  add_library(${name} MODULE ${arg_SOURCES})
  if(arg_TD)
    add_dependencies(${name} ${name}-tablegen)
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
  endif()
  target_link_libraries(${name} PRIVATE moe::moe-compiler)
  # What a plugin gives is told by its one function; a symbol that is missing is told when it is linked.
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_EXTENSIONS OFF)
  target_link_options(${name} PRIVATE LINKER:-z,defs)
endfunction()
