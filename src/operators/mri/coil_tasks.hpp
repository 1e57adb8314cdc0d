// SPDX-License-Identifier: BSD-3-Clause
// The CPU's work on coils: what MultiCoilMRI and its fused form do to one coil, item and frame after another, a row or
// a block of columns at a time.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <vector>

#include "kernels/complex_kernels.hpp"
#include "kernels/image_transform.hpp"
#include "kernels/residual.hpp"

namespace adjoin::mri {

template <class T>
struct CoilTask {
  const T* map;
  kernels::Weights<T> weights;  // of samples
  kernels::Weights<T> power;    // of the normal operator, in the order in which run_normal reads it
  kernels::Complex<const T> source;
  kernels::Complex<T> target;
  bool first;  // of the coils that are added up in the target
  // For run_residual: measured samples, null for zeros, and the weights of real and imaginary parts.
  kernels::Complex<const T> measured = {nullptr, nullptr, 1};
  kernels::Complex<const T> residual_weights = {nullptr, nullptr, 1};
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
    coil.forward_rows([&](std::int64_t r, T* row) {
      kernels::multiply(kernels::from(task.source, r * width), task.map + 2 * r * width, row, width);
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
    coil.backward_rows([&](std::int64_t r, T* row) {
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
  const auto weigh = [&](const CoilTask<T>& task, std::int64_t r, T* row) {
    kernels::multiply(kernels::from(task.source, r * width), task.map + 2 * r * width, row, width);
  };
  const auto add = [&](const CoilTask<T>& task, std::int64_t r, T* row) {
    kernels::multiply_conjugate(task.map + 2 * r * width, row, kernels::from(task.target, r * width), task.first,
                                width);
  };
  if (!axes.columns) {
    // Rows stay apart: some are done with all coils while they are in cache.
    coil.for_rows_at_once([&](std::int64_t first, int count) {
      for (const CoilTask<T>& task : tasks) {
        const auto enter = [&](std::int64_t r, T* row) { weigh(task, r, row); };
        const auto leave = [&](std::int64_t r, T* row) { add(task, r, row); };
        axes.rows ? coil.forward_rows(first, count, enter) : coil.for_rows(first, count, enter);
        coil.for_rows(first, count, [&](std::int64_t r, T* row) {
          kernels::scale(row, kernels::from(task.power, r * width), width);
        });
        axes.rows ? coil.backward_rows(first, count, leave) : coil.for_rows(first, count, leave);
      }
    });
    return;
  }
  for (const CoilTask<T>& task : tasks) {
    const auto enter = [&](std::int64_t r, T* row) { weigh(task, r, row); };
    const auto leave = [&](std::int64_t r, T* row) { add(task, r, row); };
    axes.rows ? coil.forward_rows(enter) : coil.for_each_row(enter);
    coil.for_each_block([&](std::int64_t offset, T* block) {
      transform.along_columns().forward(block, block);
      kernels::scale(block, kernels::from(task.power, offset * transform.rows()), coil.columns());
      transform.along_columns().backward(block, block);
    });
    axes.rows ? coil.backward_rows(leave) : coil.for_each_row(leave);
  }
}

/// target = Σ conj(map) · Fᴴ(conj(weights) · w · (weights · F(map · source) − measured)), w the residual's weights.
template <class T>
void run_residual(const fft::ImageTransform& transform, const std::vector<CoilTask<T>>& tasks) {
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  const at::Tensor rows = at::empty({at::get_num_threads() * 2 * width}, c10::CppTypeToScalarType<T>::value);
  for (const CoilTask<T>& task : tasks) {
    coil.forward_rows([&](std::int64_t r, T* row) {
      kernels::multiply(kernels::from(task.source, r * width), task.map + 2 * r * width, row, width);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().forward(block, block); });
    const int step = task.source.step;
    coil.for_each_row([&](std::int64_t r, T* row) {
      T* const samples = rows.template mutable_data_ptr<T>() + at::get_thread_num() * 2 * width;
      const kernels::Complex<T> residual = {samples, step == 2 ? samples + 1 : samples + width, step};
      const auto weights = kernels::from(task.weights, r * width);
      const auto w = kernels::from(task.residual_weights, r * width);
      const auto y = task.measured.re == nullptr ? task.measured : kernels::from(task.measured, r * width);
      kernels::sample(weights, row, residual, width);
      kernels::weigh_residual(residual.re, y.re, w.re, width, step);
      if (step == 1) {
        kernels::weigh_residual(residual.im, y.im, w.im, width, step);
      }
      kernels::unsample(weights, kernels::Complex<const T>{residual.re, residual.im, step}, row, width);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().backward(block, block); });
    coil.backward_rows([&](std::int64_t r, T* row) {
      kernels::multiply_conjugate(task.map + 2 * r * width, row, kernels::from(task.target, r * width), task.first,
                                  width);
    });
  }
}

}  // namespace adjoin::mri
