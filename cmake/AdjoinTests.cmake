# SPDX-License-Identifier: BSD-3-Clause
# Functions that register tests: one program a room, run alone or under mpirun at 1, 2, 3 and 4 ranks.

set(ADJOIN_GTEST_SOURCES "/usr/src/googletest" CACHE PATH "Sources of GoogleTest (Debian: googletest)")
# Built from its sources, so that it has the string ABI of the torch wheel.
set(CMAKE_POLICY_VERSION_MINIMUM 3.10)  # it asks for less, which CMake 4 warns about
add_subdirectory("${ADJOIN_GTEST_SOURCES}" "${CMAKE_BINARY_DIR}/googletest" EXCLUDE_FROM_ALL SYSTEM)
unset(CMAKE_POLICY_VERSION_MINIMUM)
target_link_libraries(gtest PUBLIC torch::torch)
target_compile_options(gtest PRIVATE ${adjoin_calling_options})

file(STRINGS "${PROJECT_SOURCE_DIR}/scripts/mpi.env" adjoin_test_environment REGEX "^[A-Z]")
list(APPEND adjoin_test_environment "ASAN_OPTIONS=detect_leaks=0" "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1"
     "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/scripts/tsan.supp:halt_on_error=1:die_after_fork=0")
# Tests make tensors on the CPU, and a context would choose a GPU; tests/device is for those.
set(adjoin_gpu_test_environment ${adjoin_test_environment})
list(APPEND adjoin_test_environment "CUDA_VISIBLE_DEVICES=")

function(adjoin_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES")
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  if(sources)
    adjoin_program(${name}_test SOURCES ${sources} USES ${arg_USES} GTest::gtest)
    target_include_directories(${name}_test PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
endfunction()

# adjoin_test(ROOM USES rooms…): tests/ROOM/*.cpp as one program in one process.
function(adjoin_test name)
  adjoin_test_program(${name} ${ARGN})
  if(TARGET ${name}_test)
    target_link_libraries(${name}_test PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${adjoin_test_environment}")
  endif()
endfunction()

# adjoin_mpi_test(ROOM USES rooms… [ONCE tests…] [FEW tests…] [MESSAGES]): the same program under mpirun at 1, 2, 3 and 4
# ranks; tests that know no ranks, as GoogleTest's filter has them, at 1 rank only, and long ones at 1 and 2 unless
# ADJOIN_WHOLE is on. With MESSAGES at 2 and 3 ranks without shared memory, too.
option(ADJOIN_WHOLE "Run long tests at every number of ranks" OFF)
function(adjoin_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "MESSAGES" "" "USES;ONCE;FEW")
  adjoin_test_program(${name} USES ${arg_USES})
  if(TARGET ${name}_test)
    target_sources(${name}_test PRIVATE mpi_main.cpp)
    target_link_libraries(${name}_test PRIVATE MPI::MPI_CXX)
    foreach(ranks 1 2 3 4)
      set(left "")
      if(ranks GREATER 1)
        list(APPEND left ${arg_ONCE})
      endif()
      if(ranks GREATER 2 AND NOT ADJOIN_WHOLE)
        list(APPEND left ${arg_FEW})
      endif()
      list(JOIN left ":" filter)
      if(filter)
        set(filter "--gtest_filter=-${filter}")
      endif()
      add_test(NAME ${name}.${ranks}ranks
               COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}_test> ${filter})
      set_tests_properties(${name}.${ranks}ranks PROPERTIES TIMEOUT 600 PROCESSORS 2
                                                            ENVIRONMENT "${adjoin_test_environment}")
      if(arg_MESSAGES AND ranks MATCHES "2|3")
        add_test(NAME ${name}.${ranks}ranks.messages
                 COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}_test> ${filter})
        set_tests_properties(${name}.${ranks}ranks.messages PROPERTIES
                             TIMEOUT 600 PROCESSORS 2 ENVIRONMENT "${adjoin_test_environment};ADJOIN_SHARED_MEMORY=off")
      endif()
    endforeach()
  endif()
endfunction()

# adjoin_fuzz_program(NAME USES rooms…): tests/fuzz/NAME.cpp, which tests/fuzz/target.hpp describes. The target `fuzzers`
# is all of them.
option(ADJOIN_LIBFUZZER "Change files by libFuzzer, of Clang, in place of tests/fuzz/mutate.cpp" OFF)
add_custom_target(fuzzers)
function(adjoin_fuzz_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES")
  set(sources fuzz/${name}.cpp fuzz/target.cpp fuzz/allocations.cpp)
  if(NOT ADJOIN_LIBFUZZER)
    list(APPEND sources fuzz/mutate.cpp)
  endif()
  adjoin_program(fuzz_${name} SOURCES ${sources} USES ${arg_USES})
  if(ADJOIN_LIBFUZZER)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
  target_include_directories(fuzz_${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz/${name}")
  add_dependencies(fuzzers fuzz_${name})
endfunction()

# adjoin_fuzz_test(FORMAT USES rooms…): the loader of a format, in tests/fuzz/FORMAT.cpp, given some thousand files that
# are changed at random, and 100 000 where sanitizers look on.
function(adjoin_fuzz_test format)
  adjoin_fuzz_program(${format} ${ARGN})
  set(folder "${PROJECT_BINARY_DIR}/fuzz/${format}")
  set(runs 3000)
  if(ADJOIN_SANITIZE)
    set(runs 100000)
  endif()
  if(ADJOIN_LIBFUZZER)
    set(arguments -runs=${runs} -seed=1 -max_len=4096 -len_control=0 -timeout=100 -rss_limit_mb=0 -malloc_limit_mb=0
        -detect_leaks=0 -print_final_stats=1 "${folder}/files")
  else()
    set(arguments ${runs})
  endif()
  add_test(NAME fuzz.${format} COMMAND fuzz_${format} ${arguments} WORKING_DIRECTORY "${folder}")
  set_tests_properties(fuzz.${format} PROPERTIES TIMEOUT 1800
                       ENVIRONMENT "${adjoin_test_environment};ADJOIN_FUZZ_SEEDS=${folder}/files")
endfunction()

# adjoin_fuzz_bounds_test(): that loaders which break a bound do not pass.
function(adjoin_fuzz_bounds_test)
  adjoin_fuzz_program(bounds USES core)
  set(folder "${PROJECT_BINARY_DIR}/fuzz/bounds")
  set(memory "fuzz: memory: ")
  set(time "fuzz: no answer within 2 s")
  set(exception "fuzz: not one of adjoin's own")
  set(heap "AddressSanitizer: heap-buffer-overflow")
  set(undefined "runtime error: signed integer overflow")
  set(breaches memory time exception)
  if(ADJOIN_SANITIZE MATCHES "address.*undefined")
    list(APPEND breaches heap undefined)
  endif()
  foreach(breach IN LISTS breaches)
    file(WRITE "${folder}/${breach}" "${breach}")
    add_test(NAME fuzz.bounds.${breach} COMMAND fuzz_bounds "${folder}/${breach}" WORKING_DIRECTORY "${folder}")
    set_tests_properties(fuzz.bounds.${breach} PROPERTIES TIMEOUT 100 PASS_REGULAR_EXPRESSION "${${breach}}"
                                                          RESOURCE_LOCK fuzz_bounds
                                                          ENVIRONMENT "${adjoin_test_environment}")
  endforeach()
endfunction()

# adjoin_header_test(): the target adjoin_headers, which compiles every public header by itself. Those that begin with
# torch's tensor, which takes most of the time, find it precompiled.
function(adjoin_header_test)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
       "${PROJECT_SOURCE_DIR}/include/adjoin/*.hpp")
  foreach(header IN LISTS headers)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/headers/${header}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${header}\"\n")
    list(APPEND sources "${source}")
    file(STRINGS "${PROJECT_SOURCE_DIR}/include/${header}" torch_header REGEX "^#include <" LIMIT_COUNT 1)
    if(NOT torch_header STREQUAL "#include <ATen/core/Tensor.h>")
      set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
  add_library(adjoin_headers OBJECT EXCLUDE_FROM_ALL ${sources})
  set_target_properties(adjoin_headers PROPERTIES UNITY_BUILD OFF)
  target_compile_options(adjoin_headers PRIVATE -O0)
  target_precompile_headers(adjoin_headers PRIVATE <ATen/core/Tensor.h>)
  target_link_libraries(adjoin_headers PRIVATE adjoin_options adjoin)
endfunction()

# adjoin_run_test(NAME RANKS command…): a program under mpirun that must exit with 0.
function(adjoin_run_test name ranks)
  add_test(NAME ${name} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 PROCESSORS 2 ENVIRONMENT "${adjoin_test_environment}")
endfunction()

# adjoin_python_test(NAME command…): a command that finds the package adjoin as built here.
function(adjoin_python_test name)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES TIMEOUT 600
                       ENVIRONMENT "${adjoin_test_environment};PYTHONPATH=${PROJECT_BINARY_DIR}/python;PYTHONDONTWRITEBYTECODE=1")
endfunction()
