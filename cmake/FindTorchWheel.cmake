# SPDX-License-Identifier: BSD-3-Clause
# Locates libtorch inside an installed torch wheel and defines the target torch::torch.
#
# TorchConfig.cmake of a CUDA wheel demands the CUDA toolkit; the headers and the three libraries that adjoin uses do not.
#
# Input:  Python executable in ADJOIN_PYTHON (default: python3 on the path), or the folder of the wheel in TORCH_ROOT.
# Output: torch::torch, torch::python (for extension modules), TorchWheel_ROOT, TorchWheel_VERSION, TorchWheel_CXX11_ABI.

set(ADJOIN_PYTHON "python3" CACHE STRING "Python interpreter that has torch installed")

if(NOT TORCH_ROOT)
  execute_process(
    COMMAND "${ADJOIN_PYTHON}" -c
            "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE TORCH_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT EXISTS "${TORCH_ROOT}/include/ATen/ATen.h")
  message(FATAL_ERROR "torch was not found: install it for '${ADJOIN_PYTHON}' (pip install torch), "
                      "or pass -DADJOIN_PYTHON=<interpreter> or -DTORCH_ROOT=<folder of the torch package>")
endif()

file(READ "${TORCH_ROOT}/version.py" _torch_version)
string(REGEX MATCH "__version__ = '([0-9]+\\.[0-9]+\\.[0-9]+)" _ "${_torch_version}")
set(TorchWheel_VERSION "${CMAKE_MATCH_1}")

# Wheels up to 2.6 were built with either ABI of std::string; the configuration file names it in its compile flags.
set(TorchWheel_CXX11_ABI 1)
if(EXISTS "${TORCH_ROOT}/share/cmake/Torch/TorchConfig.cmake")
  file(READ "${TORCH_ROOT}/share/cmake/Torch/TorchConfig.cmake" _torch_config)
  if(_torch_config MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
    set(TorchWheel_CXX11_ABI 0)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TorchWheel REQUIRED_VARS TORCH_ROOT VERSION_VAR TorchWheel_VERSION)

if(TorchWheel_FOUND AND NOT TARGET torch::torch)
  set(TorchWheel_ROOT "${TORCH_ROOT}")
  add_library(torch::torch INTERFACE IMPORTED)
  target_include_directories(torch::torch SYSTEM INTERFACE "${TORCH_ROOT}/include"
                                                           "${TORCH_ROOT}/include/torch/csrc/api/include")
  target_compile_definitions(torch::torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${TorchWheel_CXX11_ABI})
  # libtorch must stay in the list of needed libraries even where no symbol of it is used: it loads the operators.
  target_link_libraries(torch::torch INTERFACE
    -Wl,--no-as-needed "${TORCH_ROOT}/lib/libtorch.so" "${TORCH_ROOT}/lib/libtorch_cpu.so" "${TORCH_ROOT}/lib/libc10.so"
    -Wl,--as-needed)
  if(EXISTS "${TORCH_ROOT}/lib/libtorch_cuda.so")
    target_link_libraries(torch::torch INTERFACE
      -Wl,--no-as-needed "${TORCH_ROOT}/lib/libtorch_cuda.so" "${TORCH_ROOT}/lib/libc10_cuda.so" -Wl,--as-needed)
  endif()
  # at::parallel_for is a template, which shares loops among threads only where it is compiled for OpenMP; with libtorch's
  # own library, so that there is one pool of threads. Clang's OpenMP has another library, so adjoin's loops call
  # libtorch's there (src/core/parallel_for.hpp). A torch that was not made for PyPI uses the system's.
  file(GLOB _torch_openmp "${TORCH_ROOT}/lib/libgomp*.so*")
  file(STRINGS "${TORCH_ROOT}/include/ATen/Config.h" _torch_has_openmp REGEX "AT_PARALLEL_OPENMP 1")
  if(_torch_has_openmp AND NOT _torch_openmp)
    set(_torch_openmp -l:libgomp.so.1)
  endif()
  if(_torch_openmp)
    target_compile_options(torch::torch INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fopenmp>)
    target_link_libraries(torch::torch INTERFACE "${_torch_openmp}")
  endif()
  add_library(torch::python INTERFACE IMPORTED)
  target_link_libraries(torch::python INTERFACE torch::torch "${TORCH_ROOT}/lib/libtorch_python.so")
endif()
