# SPDX-License-Identifier: BSD-3-Clause
# Functions that define adjoin's targets: one static library a room, the shared library of them all, programs and tests.

add_library(adjoin_options INTERFACE)
# -pthread here, since MPI asks for it and the precompiled header must be built with the same options.
target_compile_options(adjoin_options INTERFACE -pthread -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor)
# Clang counts changes of the sign as conversions, which GCC does not in C++.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(adjoin_options INTERFACE -Wno-sign-conversion)
endif()
if(ADJOIN_WARNINGS_AS_ERRORS)
  target_compile_options(adjoin_options INTERFACE -Werror)
endif()
# In a unity build, which halves the time by sharing torch's templates among some sources, GCC takes these for headers.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(adjoin_options INTERFACE -Wno-subobject-linkage)
endif()
# GCC 13 sees a copy out of bounds within libstdc++'s vector<bool>, as torch's autograd uses it.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  target_compile_options(adjoin_options INTERFACE -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(ADJOIN_SANITIZE)
  target_compile_options(adjoin_options INTERFACE -fsanitize=${ADJOIN_SANITIZE} -fno-omit-frame-pointer)
  # What the sanitizers insert makes GCC doubt that optional members are initialised. Torch's headers have fences, which
  # ThreadSanitizer does not see.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(adjoin_options INTERFACE -Wno-maybe-uninitialized)
    if(ADJOIN_SANITIZE STREQUAL "thread")
      target_compile_options(adjoin_options INTERFACE -Wno-tsan)
    endif()
  endif()
  target_link_options(adjoin_options INTERFACE -fsanitize=${ADJOIN_SANITIZE})
endif()

# What only calls the library spends its time there: -O1 makes it no slower, and compiles in two thirds of the time.
set(adjoin_calling_options "$<$<CONFIG:Release>:-O1>")

# Torch's headers take seconds to parse: they are parsed once for all rooms, and once for all that call them, since from
# GCC 13 on a precompiled header serves one level of optimisation.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/pch.cpp.in" "")
configure_file("${CMAKE_CURRENT_BINARY_DIR}/pch.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/pch.cpp" COPYONLY)
foreach(name adjoin_pch adjoin_calling_pch)
  add_library(${name} OBJECT "${CMAKE_CURRENT_BINARY_DIR}/pch.cpp")
  target_link_libraries(${name} PUBLIC torch::torch PRIVATE adjoin_options)
  target_precompile_headers(${name} PRIVATE <ATen/ATen.h> <algorithm> <cmath> <functional> <memory> <string> <vector>)
endforeach()
target_compile_options(adjoin_calling_pch PRIVATE ${adjoin_calling_options})

# adjoin_room(NAME USES lower rooms and libraries… [SOURCES …] [WITHOUT sources…]): the static library adjoin_NAME of
# src/NAME/**/*.cpp, or of these sources.
function(adjoin_room name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES;SOURCES;WITHOUT")
  set(sources ${arg_SOURCES})
  if(NOT sources)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${name}/*.cpp")
    list(REMOVE_ITEM sources "" ${arg_WITHOUT})
  endif()
  if(NOT sources)
    add_library(adjoin_${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(adjoin_${name} STATIC ${sources})
    target_precompile_headers(adjoin_${name} REUSE_FROM adjoin_pch)
    target_link_libraries(adjoin_${name} PRIVATE adjoin_options)
    target_include_directories(adjoin_${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    set(scope PUBLIC)
  endif()
  list(TRANSFORM arg_USES REPLACE "^([a-z]+)$" "adjoin_\\1")
  target_link_libraries(adjoin_${name} ${scope} ${arg_USES})
  target_include_directories(adjoin_${name} ${scope} "${PROJECT_SOURCE_DIR}/include")
endfunction()

# adjoin_library(rooms…): the shared library adjoin::adjoin made of the rooms' objects, and its installation.
function(adjoin_library)
  add_library(adjoin SHARED)
  add_library(adjoin::adjoin ALIAS adjoin)
  foreach(room IN LISTS ARGN)
    get_target_property(type adjoin_${room} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      target_sources(adjoin PRIVATE $<TARGET_OBJECTS:adjoin_${room}>)
    endif()
  endforeach()
  target_link_libraries(adjoin PUBLIC torch::torch MPI::MPI_CXX PRIVATE Threads::Threads PNG::PNG ZLIB::ZLIB)
  target_include_directories(adjoin PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(adjoin PUBLIC cxx_std_20)
  set_target_properties(adjoin PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                          LINKER_LANGUAGE CXX INSTALL_RPATH_USE_LINK_PATH TRUE)

  install(TARGETS adjoin EXPORT adjoin-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/adjoin" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
  set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/adjoin")
  install(EXPORT adjoin-targets NAMESPACE adjoin:: DESTINATION ${package_dir})
  include(CMakePackageConfigHelpers)
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/adjoin-config.cmake.in"
                                "${CMAKE_CURRENT_BINARY_DIR}/adjoin-config.cmake" INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/adjoin-config-version.cmake"
                                   COMPATIBILITY SameMinorVersion)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/adjoin-config.cmake"
                "${CMAKE_CURRENT_BINARY_DIR}/adjoin-config-version.cmake"
                "${PROJECT_SOURCE_DIR}/cmake/FindTorchWheel.cmake" DESTINATION ${package_dir})
endfunction()

# adjoin_program(NAME SOURCES … USES rooms…): an executable.
function(adjoin_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES")
  add_executable(${name} ${arg_SOURCES})
  # -fPIC in place of -fPIE, so that the precompiled headers of the libraries serve.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC ${adjoin_calling_options})
  target_precompile_headers(${name} REUSE_FROM adjoin_calling_pch)
  list(TRANSFORM arg_USES REPLACE "^([a-z]+)$" "adjoin_\\1")
  target_link_libraries(${name} PRIVATE adjoin_options ${arg_USES})
endfunction()
