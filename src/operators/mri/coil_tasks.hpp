// The CPU's work on coils: what MultiCoilMRI and its fused form do to one coil, item and frame after another, a row or
// a block of columns at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/complex_kernels.hpp"
#include "kernels/image_transform.hpp"

namespace adjoin::mri {

template <class T>
struct CoilTask {
  const T* map;
  kernels::Weights<T> weights;  // of samples
  kernels::Weights<T> power;    // of the normal operator, in the order in which run_normal reads it
  kernels::Complex<const T> source;
  kernels::Complex<T> target;
  bool first;  // of the coils that are added up in the target
};

/// The axes that the normal operator transforms.
struct NormalAxes {
  bool rows;     // the last axis
  bool columns;  // the others
  bool operator==(const NormalAxes&) const = default;
};

/// target = weights · F(map · source).
template <class T>
void run_forward(const fft::ImageTransform& transform, const std::vector<CoilTask<T>>& tasks) {
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  for (const CoilTask<T>& task : tasks) {
    coil.for_each_row([&](std::int64_t r, T* row) {
      kernels::multiply(kernels::from(task.source, r * width), task.map + 2 * r * width, row, width);
      transform.along_row().forward(row, row);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().forward(block, block); });
    coil.for_each_row([&](std::int64_t r, const T* row) {
      kernels::sample(kernels::from(task.weights, r * width), row, kernels::from(task.target, r * width), width);
    });
  }
}

/// target = Σ conj(map) · Fᴴ(conj(weights) · source).
template <class T>
void run_adjoint(const fft::ImageTransform& transform, const std::vector<CoilTask<T>>& tasks) {
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  for (const CoilTask<T>& task : tasks) {
    coil.for_each_row([&](std::int64_t r, T* row) {
      kernels::unsample(kernels::from(task.weights, r * width), kernels::from(task.source, r * width), row, width);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().backward(block, block); });
    coil.for_each_row([&](std::int64_t r, T* row) {
      transform.along_row().backward(row, row);
      kernels::multiply_conjugate(task.map + 2 * r * width, row, kernels::from(task.target, r * width), task.first,
                                  width);
    });
  }
}

/// target = Σ conj(map) · Fᴴ(power · F(map · source)).
template <class T>
void run_normal(const fft::ImageTransform& transform, NormalAxes axes, const std::vector<CoilTask<T>>& tasks) {
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  const auto enter = [&](const CoilTask<T>& task, std::int64_t r, T* row) {
    kernels::multiply(kernels::from(task.source, r * width), task.map + 2 * r * width, row, width);
    if (axes.rows) {
      transform.along_row().forward(row, row);
    }
  };
  const auto leave = [&](const CoilTask<T>& task, std::int64_t r, T* row) {
    if (axes.rows) {
      transform.along_row().backward(row, row);
    }
    kernels::multiply_conjugate(task.map + 2 * r * width, row, kernels::from(task.target, r * width), task.first,
                                width);
  };
  if (!axes.columns) {
    // Rows stay apart: each is done with all coils while it is in cache.
    coil.for_each_row([&](std::int64_t r, T* row) {
      for (const CoilTask<T>& task : tasks) {
        enter(task, r, row);
        kernels::scale(row, kernels::from(task.power, r * width), width);
        leave(task, r, row);
      }
    });
    return;
  }
  for (const CoilTask<T>& task : tasks) {
    coil.for_each_row([&](std::int64_t r, T* row) { enter(task, r, row); });
    coil.for_each_block([&](std::int64_t offset, T* block) {
      transform.along_columns().forward(block, block);
      kernels::scale(block, kernels::from(task.power, offset * transform.rows()), coil.columns());
      transform.along_columns().backward(block, block);
    });
    coil.for_each_row([&](std::int64_t r, T* row) { leave(task, r, row); });
  }
}

}  // namespace adjoin::mri
