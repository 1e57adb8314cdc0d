// SPDX-License-Identifier: BSD-3-Clause
// Kernels for NVIDIA GPUs, compiled at run time.
#pragma once

#include <c10/core/Device.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace adjoin {

/// The kernels of one source, compiled for one GPU by the compiler that torch's CUDA wheels carry for their own use
/// (NVRTC): neither building nor running adjoin takes the CUDA toolkit.
class CudaProgram {
 public:
  /// Null where torch carries no compiler, the device is no NVIDIA GPU, or the source does not compile for it.
  /// `options` are those of the compiler, such as "-DREAL=float".
  static std::unique_ptr<const CudaProgram> compile(const std::string& source, const std::vector<std::string>& options,
                                                    at::Device device);
  CudaProgram(const CudaProgram&) = delete;
  CudaProgram& operator=(const CudaProgram&) = delete;
  ~CudaProgram();

  /// Starts a kernel declared extern "C" on the device's current stream; `arguments` points to the values of its
  /// parameters. Throws Error with the driver's words when it cannot be started.
  void launch(const char* kernel, std::array<unsigned, 3> blocks, std::array<unsigned, 2> threads,
              void** arguments) const;

 private:
  CudaProgram(at::Device device, void* module) : device_(device), module_(module) {}

  at::Device device_;
  void* module_;
};

}  // namespace adjoin
