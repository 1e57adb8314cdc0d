// SPDX-License-Identifier: BSD-3-Clause
// NVRTC and the CUDA driver, opened at run time, and kernels compiled and launched by them.
#include "kernels/cuda_program.hpp"

#include <c10/core/DeviceGuard.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include "adjoin/core/errors.hpp"
#include "core/load_symbol.hpp"

namespace adjoin {
namespace {

/// The functions of NVRTC and of the driver that are used, with names and constants of their public interfaces (nvrtc.h
/// and cuda.h of the CUDA toolkit): torch has the libraries, but their headers come with the toolkit.
struct Cuda {
  using Handle = void*;
  static constexpr int compute_capability_major = 75;
  static constexpr int compute_capability_minor = 76;

  int (*create_program)(Handle*, const char* source, const char* name, int headers, const char* const*,
                        const char* const*) = nullptr;
  int (*compile_program)(Handle, int options, const char* const*) = nullptr;
  int (*binary_size)(Handle, std::size_t*) = nullptr;
  int (*binary)(Handle, char*) = nullptr;
  int (*destroy_program)(Handle*) = nullptr;
  int (*device_attribute)(int*, int attribute, int device) = nullptr;
  int (*load_module)(Handle*, const void*) = nullptr;
  int (*unload_module)(Handle) = nullptr;
  int (*get_function)(Handle*, Handle module, const char*) = nullptr;
  int (*launch)(Handle function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared_bytes,
                Handle stream, void** arguments, void** extra) = nullptr;
  int (*error_text)(int, const char**) = nullptr;

  /// The functions, or null where torch has no CUDA.
  static const Cuda* find() {
    static const Cuda cuda;
    return cuda.complete_ ? &cuda : nullptr;
  }

 private:
  Cuda() {
    // Torch's own stub, linked with both libraries, whatever their versions.
    void* library = dlopen("libcaffe2_nvrtc.so", RTLD_LAZY);
    complete_ = library != nullptr && load_symbol(library, "nvrtcCreateProgram", create_program) &&
                load_symbol(library, "nvrtcCompileProgram", compile_program) &&
                load_symbol(library, "nvrtcGetCUBINSize", binary_size) &&
                load_symbol(library, "nvrtcGetCUBIN", binary) &&
                load_symbol(library, "nvrtcDestroyProgram", destroy_program) &&
                load_symbol(library, "cuDeviceGetAttribute", device_attribute) &&
                load_symbol(library, "cuModuleLoadData", load_module) &&
                load_symbol(library, "cuModuleUnload", unload_module) &&
                load_symbol(library, "cuModuleGetFunction", get_function) &&
                load_symbol(library, "cuLaunchKernel", launch) && load_symbol(library, "cuGetErrorString", error_text);
  }
  bool complete_ = false;
};

/// The driver's handle of a stream. Torch before 2.11 does not tell it by Stream itself, but by CUDAStream, a class of
/// libc10_cuda that holds nothing but a Stream.
template <class Stream>
void* handle_of(const Stream& stream) {
  if constexpr (requires { stream.native_handle(); }) {
    return stream.native_handle();
  } else {
    using Handle = void* (*)(const Stream*);
    Handle handle = nullptr;
    check(load_symbol(dlopen("libc10_cuda.so", RTLD_LAZY), "_ZNK3c104cuda10CUDAStream6streamEv", handle),
          "libc10_cuda.so does not export CUDAStream::stream");
    return handle(&stream);
  }
}

}  // namespace

std::unique_ptr<const CudaProgram> CudaProgram::compile(const std::string& source,
                                                        const std::vector<std::string>& options, at::Device device) {
  const Cuda* cuda = device.is_cuda() ? Cuda::find() : nullptr;
  if (cuda == nullptr) {
    return nullptr;
  }
  const c10::DeviceGuard guard(device);
  int major = 0;
  int minor = 0;
  if (cuda->device_attribute(&major, Cuda::compute_capability_major, device.index()) != 0 ||
      cuda->device_attribute(&minor, Cuda::compute_capability_minor, device.index()) != 0) {
    return nullptr;
  }
  const std::string architecture = c10::str("--gpu-architecture=sm_", major, minor);
  std::vector<const char*> arguments = {architecture.c_str()};
  for (const std::string& option : options) {
    arguments.push_back(option.c_str());
  }
  Cuda::Handle program = nullptr;
  if (cuda->create_program(&program, source.c_str(), "adjoin.cu", 0, nullptr, nullptr) != 0) {
    return nullptr;
  }
  std::size_t size = 0;
  std::string binary;
  Cuda::Handle module = nullptr;
  if (cuda->compile_program(program, static_cast<int>(arguments.size()), arguments.data()) == 0 &&
      cuda->binary_size(program, &size) == 0) {
    binary.resize(size);
    if (cuda->binary(program, binary.data()) != 0 || cuda->load_module(&module, binary.data()) != 0) {
      module = nullptr;
    }
  }
  cuda->destroy_program(&program);
  return std::unique_ptr<const CudaProgram>(module == nullptr ? nullptr : new CudaProgram(device, module));
}

CudaProgram::~CudaProgram() { Cuda::find()->unload_module(module_); }

void CudaProgram::launch(const char* kernel, std::array<unsigned, 3> blocks, std::array<unsigned, 2> threads,
                         void** arguments) const {
  const Cuda& cuda = *Cuda::find();
  const c10::DeviceGuard guard(device_);
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  Cuda::Handle function = nullptr;
  int status = cuda.get_function(&function, module_, kernel);
  if (status == 0) {
    status = cuda.launch(function, blocks[0], blocks[1], blocks[2], threads[0], threads[1], 1, 0, handle_of(stream),
                         arguments, nullptr);
  }
  if (status != 0) [[unlikely]] {
    const char* text = "unknown";
    cuda.error_text(status, &text);
    throw Error(c10::str("the GPU kernel '", kernel, "' could not be started: ", text));
  }
}

}  // namespace adjoin
