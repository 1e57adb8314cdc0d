// SPDX-License-Identifier: BSD-3-Clause
// The steps of the dual iteration for total variation (total_variation.cpp), for any tensor; fast for CPU tensors.
//
// Images are real and have the shape {parts, …}, with one part, or the real and the imaginary part of a complex image,
// whose differences are measured together. The dual variable p has the shape {dims, …shape of the image}: p[k] belongs
// to the differences along the k-th of the spatial dimensions, which are the last ones, and is zero where they are, at
// the far border. All tensors contiguous.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>

#include "adjoin/core/norms.hpp"

namespace adjoin::tv {

struct Bounds {
  double lower;
  double upper;
};

/// x ← b − γ Dᵀp, clamped to the bounds.
void primal(at::Tensor& x, const at::Tensor& b, const at::Tensor& p, double gamma, const Bounds& bounds);

/// One step of the accelerated dual iteration: q = r + step · D x, projected on the unit balls, is the new p, and
/// r ← p_new + beta (p_new − p).
void dual_step(const at::Tensor& x, at::Tensor& p, at::Tensor& r, double step, double beta);

/// Indices [begin, end) along the first spatial dimension.
struct Planes {
  std::int64_t begin = 0;
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
};

/// Σ ( |D x| − ⟨p, D x⟩ ), or Σ |D x| over `dims` dimensions when p is undefined, of each of `items` along the second
/// dimension of x: several only where batched_gaps says so. Over the pixels of `planes`, whose differences may reach
/// the plane behind.
Reals gap(const at::Tensor& x, const at::Tensor& p, std::int64_t dims, std::int64_t items = 1,
          const Planes& planes = {});

/// Whether the items of a batch are better worked on together than one after the other: where there are no kernels.
bool batched_gaps(const at::Tensor& x);

}  // namespace adjoin::tv
