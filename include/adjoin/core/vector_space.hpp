// SPDX-License-Identifier: BSD-3-Clause
// The vector-space operations that solvers are written against, the same for at::Tensor, TensorList and
// ShardedTensorList. The inner product belongs to the vector: that of a ShardedTensorList is global.
//
// A vector holds `items` independent problems, stacked along dimension 0 of each of its tensors; `items = 1` takes the
// whole vector as one problem whatever its shape. Scalars hold one number an item.
//
// Call them qualified (adjoin::dot, adjoin::norm …): ATen has functions of the same names for at::Tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>
#include <c10/util/complex.h>

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// One number an item, always in double precision.
using Scalars = c10::SmallVector<c10::complex<double>, 2>;

/// ⟨a, b⟩ = Σ conj(a) b of each item, accumulated in double precision. Shapes of a and b must agree.
Scalars dot(const at::Tensor& a, const at::Tensor& b, std::int64_t items = 1);
Scalars dot(const TensorList& a, const TensorList& b, std::int64_t items = 1);
Scalars dot(const ShardedTensorList& a, const ShardedTensorList& b, std::int64_t items = 1);

/// ‖a‖² of each item, accumulated in double precision; imaginary parts are zero.
Scalars squared_norm(const at::Tensor& a, std::int64_t items = 1);
Scalars squared_norm(const TensorList& a, std::int64_t items = 1);
Scalars squared_norm(const ShardedTensorList& a, std::int64_t items = 1);

/// ‖a‖ of the whole vector.
double norm(const at::Tensor& a);
double norm(const TensorList& a);
double norm(const ShardedTensorList& a);

/// Several inner products at the cost of one reduction: {⟨a_k, b_k⟩}.
template <class V>
using VectorPair = std::pair<const V*, const V*>;
std::vector<Scalars> dots(std::initializer_list<VectorPair<at::Tensor>> pairs, std::int64_t items = 1);
std::vector<Scalars> dots(std::initializer_list<VectorPair<TensorList>> pairs, std::int64_t items = 1);
std::vector<Scalars> dots(std::initializer_list<VectorPair<ShardedTensorList>> pairs, std::int64_t items = 1);

/// y ← alpha x + beta y, item by item. A real vector takes the real parts of the factors. y must be contiguous and
/// must not require gradients.
void axpby(const Scalars& alpha, const at::Tensor& x, const Scalars& beta, at::Tensor& y);
void axpby(const Scalars& alpha, const TensorList& x, const Scalars& beta, TensorList& y);
void axpby(const Scalars& alpha, const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y);

/// y ← y + alpha x.
void axpy(const Scalars& alpha, const at::Tensor& x, at::Tensor& y);
void axpy(const Scalars& alpha, const TensorList& x, TensorList& y);
void axpy(const Scalars& alpha, const ShardedTensorList& x, ShardedTensorList& y);
/// y ← x + beta y.
void xpby(const at::Tensor& x, const Scalars& beta, at::Tensor& y);
void xpby(const TensorList& x, const Scalars& beta, TensorList& y);
void xpby(const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y);
/// y ← alpha y.
void scale(const Scalars& alpha, at::Tensor& y);
void scale(const Scalars& alpha, TensorList& y);
void scale(const Scalars& alpha, ShardedTensorList& y);

/// A new contiguous vector of the same layout, filled with zeros; a contiguous copy.
at::Tensor zeros_like(const at::Tensor& a);
TensorList zeros_like(const TensorList& a);
ShardedTensorList zeros_like(const ShardedTensorList& a);
at::Tensor clone(const at::Tensor& a);
TensorList clone(const TensorList& a);
ShardedTensorList clone(const ShardedTensorList& a);

/// A vector of the same layout whose entries are standard normal, drawn with `seed` on the CPU, so the same on every
/// device and every rank.
at::Tensor randn_like(const at::Tensor& a, std::uint64_t seed);

/// Number of independent items of a batched problem with image x and measurements y: the length of dimension 0 where
/// every tensor has at least two dimensions and that length in common, else 1.
std::int64_t common_items(const at::Tensor& x, const at::Tensor& y);
std::int64_t common_items(const at::Tensor& x, const TensorList& y);

}  // namespace adjoin
