// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of solves by the implicit function theorem: the differential of a solve is a solve with the same
// operator.
#pragma once

#include <ATen/core/Tensor.h>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/physics/gamma.hpp"
#include "adjoin/physics/least_squares_problem.hpp"

namespace adjoin {

/// γ as a tensor that broadcasts over the items of `like`.
at::Tensor along_batch(const Gamma& gamma, const at::Tensor& like);
/// Re ⟨a, b⟩ of all samples.
at::Tensor real_product(const at::Tensor& a, const at::Tensor& b);
/// Of a list that may hold dual tensors the values, and the tangents, zero where there are none.
TensorList primals_of(const TensorList& list);
TensorList tangents_of(const TensorList& list);

/// The solutions of solve_least_squares and solve_prox_l2 as operations that autograd follows, with respect to
/// measurements, z, γ, and whatever leaves A is made of, as often as A is differentiable; forwards with respect to all
/// but these leaves. Undefined where autograd follows none of them. The maps of `problem` must own what they refer to.
template <class Y>
at::Tensor followed_least_squares(const LeastSquaresProblem<Y>& problem, const DaggerOptions& options);
template <class Y>
at::Tensor followed_prox_l2(const LeastSquaresProblem<Y>& problem, const at::Tensor& z, const Gamma& gamma,
                            const DaggerOptions& options);

}  // namespace adjoin
