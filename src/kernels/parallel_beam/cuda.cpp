// SPDX-License-Identifier: BSD-3-Clause
// Projection and backprojection on a GPU, compiled at the first call.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "kernels/cuda_program.hpp"
#include "kernels/parallel_beam/parallel_beam.hpp"

namespace adjoin::parallel_beam {
namespace {

/// Measurements of one view, as the kernels see them.
struct DeviceMeasured {
  View view;
  void* data;
  std::int64_t plane_stride;
};

/// Rays, and parts of the lines, that a block of the projection's threads is for.
constexpr unsigned rays_a_block = 32;
constexpr unsigned parts_a_line = 8;

// Threads compute one cell of one view, in parts of the lines, or one pixel, for one plane after another. Lines are
// read from x, or, where they are columns, from its transpose, so that neighbouring rays read neighbouring numbers.
constexpr const char* program_text = R"cuda(
// As in parallel_beam.hpp and DeviceMeasured above.
struct View {
  bool columns, reversed;
  double offset, drift, step, weight, width;
  long long detectors;
};
struct Measured {
  View view;
  REAL* data;
  long long plane_stride;
};

// The sum of entries k of a line around position p, by max(0, 1 - slope |k - p|).
template <class Entry>
__device__ REAL gather(double p, double slope, int taps, long long length, Entry entry) {
  REAL sum = 0;
  if (p > -taps && p < length + taps) {
    const long long base = (long long)floor(p);
    for (long long k = max(base - taps + 1, 0LL); k <= min(base + taps, length - 1); ++k) {
      sum += entry(k) * (REAL)fmax(0.0, 1.0 - slope * fabs(k - p));
    }
  }
  return sum;
}

extern "C" __global__ void project(const REAL* x, const REAL* transposed, const Measured* views, long long planes,
                                   long long height, long long width) {
  __shared__ REAL parts[PARTS][RAYS];
  const Measured measured = views[blockIdx.y];
  const View view = measured.view;
  const long long ray = blockIdx.x * (long long)RAYS + threadIdx.x;
  const long long lines = view.columns ? width : height;
  const long long length = view.columns ? height : width;
  const double first = view.offset + view.step * ray;
  const double slope = 1.0 / view.width;
  const int taps = (int)ceil(view.width);
  const long long cell = view.reversed ? view.detectors - 1 - ray : ray;
  for (long long plane = blockIdx.z; plane < planes; plane += gridDim.z) {
    const REAL* const image = (view.columns ? transposed : x) + plane * height * width;
    REAL sum = 0;
    for (long long line = threadIdx.y; line < lines && ray < view.detectors; line += PARTS) {
      const REAL* const entries = image + line * length;
      sum += gather(first + view.drift * line, slope, taps, length, [=](long long k) { return entries[k]; });
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && ray < view.detectors) {
      for (int part = 1; part < PARTS; ++part) {
        sum += parts[part][threadIdx.x];
      }
      measured.data[plane * measured.plane_stride + cell] = sum * (REAL)view.weight;
    }
    __syncthreads();
  }
}

extern "C" __global__ void backproject(const Measured* views, long long count, REAL* x, long long planes, long long height,
                                       long long width) {
  const long long column = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  const long long row = blockIdx.y * (long long)blockDim.y + threadIdx.y;
  if (row >= height || column >= width) {
    return;
  }
  for (long long plane = blockIdx.z; plane < planes; plane += gridDim.z) {
    REAL sum = 0;
    for (long long v = 0; v < count; ++v) {
      const View view = views[v].view;
      const long long line = view.columns ? column : row;
      const long long pixel = view.columns ? row : column;
      const double ray = (pixel - view.offset - view.drift * line) / view.step;
      const REAL* const cells = views[v].data + plane * views[v].plane_stride;
      const long long last = view.detectors - 1;
      const bool reversed = view.reversed;
      sum += (REAL)view.weight * gather(ray, view.step / view.width, (int)ceil(view.width / view.step), view.detectors,
                                        [=](long long k) { return cells[reversed ? last - k : k]; });
    }
    x[(plane * height + row) * width + column] = sum;
  }
}
)cuda";

/// The kernels for one device and precision, compiled at first use; null where that cannot be.
template <class T>
const CudaProgram* program(at::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, std::unique_ptr<const CudaProgram>> programs;
  const std::scoped_lock lock(mutex);
  const auto [place, is_new] = programs.try_emplace(device.index());
  if (is_new) {
    const char* real = std::is_same_v<T, float> ? "-DREAL=float" : "-DREAL=double";
    place->second = CudaProgram::compile(
        program_text, {real, c10::str("-DRAYS=", rays_a_block), c10::str("-DPARTS=", parts_a_line)}, device);
  }
  return place->second.get();
}

template <class T>
at::Tensor on_device(std::span<const Measured<T>> views, at::Device device) {
  std::vector<DeviceMeasured> table;
  table.reserve(views.size());
  for (const auto& [view, data, plane_stride] : views) {
    table.push_back({*view, const_cast<std::remove_const_t<T>*>(data), plane_stride});
  }
  const at::Tensor bytes = at::from_blob(
      table.data(), {static_cast<std::int64_t>(views.size() * sizeof(DeviceMeasured))}, at::TensorOptions(at::kByte));
  // What is not pinned is copied aside before the call returns.
  return bytes.to(device, /*non_blocking=*/true, /*copy=*/true);
}

unsigned blocks_of(std::int64_t count, std::int64_t threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

/// Planes that have threads of their own; the others follow.
constexpr std::int64_t planes_at_once = 1024;

}  // namespace

bool has_gpu_kernels(at::Device device, at::ScalarType dtype) {
  return device.is_cuda() && (dtype == at::kFloat ? program<float>(device) : program<double>(device)) != nullptr;
}

template <class T>
void project_on_gpu(const at::Tensor& x, Size image, std::span<const Measured<T>> views) {
  if (x.numel() == 0) {
    return;
  }
  const at::Tensor images = x.flatten(0, -3);
  const bool has_columns = std::ranges::any_of(views, [](const auto& measured) { return measured.view->columns; });
  const at::Tensor transposed = has_columns ? images.transpose(1, 2).contiguous() : at::Tensor();
  std::int64_t most = 0;
  for (const auto& measured : views) {
    most = std::max(most, measured.view->detectors);
  }
  const at::Tensor table = on_device(views, x.device());
  const void* rows = images.const_data_ptr();
  const void* columns = has_columns ? transposed.const_data_ptr() : nullptr;
  const void* table_data = table.const_data_ptr();
  std::int64_t planes = images.size(0);
  std::array<void*, 6> arguments = {&rows, &columns, &table_data, &planes, &image.height, &image.width};
  program<T>(x.device())
      ->launch("project",
               {blocks_of(most, rays_a_block), static_cast<unsigned>(views.size()),
                static_cast<unsigned>(std::min(planes, planes_at_once))},
               {rays_a_block, parts_a_line}, arguments.data());
}

template <class T>
void backproject_on_gpu(std::span<const Measured<const T>> views, const at::Tensor& x, Size image) {
  if (x.numel() == 0) {
    return;
  }
  const at::Tensor table = on_device(views, x.device());
  const void* table_data = table.const_data_ptr();
  auto count = static_cast<std::int64_t>(views.size());
  void* data = x.mutable_data_ptr();
  std::int64_t planes = x.numel() / (image.height * image.width);
  constexpr unsigned width = 32;
  constexpr unsigned height = 4;
  std::array<void*, 6> arguments = {&table_data, &count, &data, &planes, &image.height, &image.width};
  program<T>(x.device())
      ->launch("backproject",
               {blocks_of(image.width, width), blocks_of(image.height, height),
                static_cast<unsigned>(std::min(planes, planes_at_once))},
               {width, height}, arguments.data());
}

template void project_on_gpu(const at::Tensor&, Size, std::span<const Measured<float>>);
template void project_on_gpu(const at::Tensor&, Size, std::span<const Measured<double>>);
template void backproject_on_gpu(std::span<const Measured<const float>>, const at::Tensor&, Size);
template void backproject_on_gpu(std::span<const Measured<const double>>, const at::Tensor&, Size);

}  // namespace adjoin::parallel_beam
