// SPDX-License-Identifier: BSD-3-Clause
// Trajectories as operators take them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include "adjoin/operators/nufft/nonuniform_fourier.hpp"

namespace adjoin::nufft {

/// Throw InvalidArgument, whose message begins with the operator's name. The trajectory in cycles a pixel; checked for
/// images of `image_size`.
void check_image_size(const char* name, at::IntArrayRef image_size);
void check_trajectory(const char* name, const at::Tensor& trajectory, at::IntArrayRef image_size);
at::Tensor in_cycles_per_pixel(const at::Tensor& trajectory, FrequencyUnits units, at::IntArrayRef image_size);
void check_eps(const char* name, double eps);
/// Throws InvalidArgument unless the tensor is on the CPU and of single or double precision.
void check_precision(const char* name, const char* argument, const at::Tensor& tensor);

}  // namespace adjoin::nufft
