# Arrow's and Parquet's C++ libraries from the pip wheel pyarrow, which has their headers too, and libraries with the number of their
# version in the name alone. ARROW_WHEEL_ROOT is the package's folder, found where Python3_EXECUTABLE has it. ArrowWheel::parquet is what
# is linked; the headers are in ArrowWheel_INCLUDE_DIR.
if(NOT ARROW_WHEEL_ROOT)
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('pyarrow'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE _root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(ARROW_WHEEL_ROOT "${_root}" CACHE PATH "pyarrow package directory; empty: no Parquet" FORCE)
endif()
unset(ArrowWheel_VERSION)
set(ArrowWheel_INCLUDE_DIR "${ARROW_WHEEL_ROOT}/include")
set(_config "${ArrowWheel_INCLUDE_DIR}/arrow/util/config.h")
if(EXISTS "${_config}")
  file(STRINGS "${_config}" _lines REGEX "define ARROW_(VERSION_STRING|SO_VERSION) ")
  string(REGEX MATCH "ARROW_VERSION_STRING \"([0-9.]+)" _ "${_lines}")
  set(ArrowWheel_VERSION "${CMAKE_MATCH_1}")
  string(REGEX MATCH "ARROW_SO_VERSION \"([0-9]+)" _ "${_lines}")
  foreach(_name arrow parquet)
    set(_library "${ARROW_WHEEL_ROOT}/lib${_name}.so.${CMAKE_MATCH_1}")
    if(EXISTS "${_library}")
      set(ArrowWheel_${_name}_LIBRARY "${_library}")
    endif()
  endforeach()
  # Another wheel in the same folder is found by configuring again.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_config}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ArrowWheel
  REQUIRED_VARS ArrowWheel_arrow_LIBRARY ArrowWheel_parquet_LIBRARY VERSION_VAR ArrowWheel_VERSION)
if(ArrowWheel_FOUND AND NOT TARGET ArrowWheel::parquet)
  add_library(ArrowWheel::parquet INTERFACE IMPORTED)
  target_link_libraries(ArrowWheel::parquet INTERFACE "${ArrowWheel_parquet_LIBRARY}" "${ArrowWheel_arrow_LIBRARY}")
  target_link_options(ArrowWheel::parquet INTERFACE "LINKER:-rpath,${ARROW_WHEEL_ROOT}")
endif()
