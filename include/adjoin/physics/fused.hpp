// Several operators computed as one.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstddef>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// A stack whose operators share work: circular blurs share the transforms of the image, coils their masks. Made by
/// LinearPhysics::fuse and equal to the plain stack up to round-off. A method returns an undefined result where it has
/// no quicker way than the plain stack for this input; the caller then falls back to it.
class FusedStack {
 public:
  virtual ~FusedStack() = default;
  /// [A_1 x, …, A_n x]; an empty list when not fused. `out`, when not empty, holds for each operator a contiguous
  /// tensor, or an undefined one, that the result may be written into if it has its shape, dtype and device (see fits);
  /// the results are wherever the returned tensors are.
  virtual TensorList A(const at::Tensor& /*x*/, const TensorList& /*out*/) { return {}; }
  /// Σ A_iᵀ y_i; `out`, when defined, is such a tensor for the sum.
  virtual at::Tensor A_adjoint(const TensorList& /*y*/, const at::Tensor& /*out*/) { return {}; }
  /// Σ A_iᵀ A_i x; `out` as above.
  virtual at::Tensor A_adjoint_A(const at::Tensor& /*x*/, const at::Tensor& /*out*/) { return {}; }
  /// What determines Σ A_iᵀ A_i on images like x and adds up over stacks, such as Σ |H_i|² of circular blurs.
  virtual at::Tensor normal_form(const at::Tensor& /*x*/) { return {}; }
  /// Part `part` of `parts` of the normal operator that `form`, a sum of normal forms, determines: the entries of the
  /// parts add up to the whole, and are zero where another part has something. `out` as above.
  virtual at::Tensor apply_normal_form(const at::Tensor& /*form*/, const at::Tensor& /*x*/, int /*part*/, int /*parts*/,
                                       const at::Tensor& /*out*/) {
    return {};
  }
};

/// Whether `out` is a tensor that a result with these sizes and options can be written into.
inline bool fits(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options) {
  return out.defined() && out.sizes() == sizes && out.dtype() == options.dtype() && out.device() == options.device() &&
         out.is_contiguous();
}

/// `out` where a result with these sizes and options fits into it, else a new tensor.
inline at::Tensor fit_or_empty(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options) {
  return fits(out, sizes, options) ? out : at::empty(sizes, options);
}

/// The same for result i and a list that may be empty.
inline at::Tensor fit_or_empty(const TensorList& out, std::size_t i, at::IntArrayRef sizes,
                               const at::TensorOptions& options) {
  return fit_or_empty(out.empty() ? at::Tensor() : out[i], sizes, options);
}

}  // namespace adjoin
