// SPDX-License-Identifier: BSD-3-Clause
// Several operators computed as one.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/accumulate.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// A stack whose operators share work: circular blurs share the transforms of the image, coils their masks. Made by
/// LinearPhysics::fuse and equal to the plain stack up to round-off. A method returns an undefined result where it has
/// no quicker way than the plain stack for this input, or where the input does not fit; the caller then falls back to
/// the plain stack, which says what does not fit.
///
/// The stack asks for nothing that autograd records, and makes a new form when the version of an operator changes,
/// unless the form follows its operators by itself. Several threads may use one at once.
class FusedStack {
 public:
  virtual ~FusedStack() = default;
  /// [A_1 x, …, A_n x]; an empty list when not fused. `out`, when not empty, holds for each operator a contiguous
  /// tensor, or an undefined one, that the result may be written into if it has its shape, dtype and device (see fits);
  /// the results are wherever the returned tensors are.
  virtual TensorList A(const at::Tensor& /*x*/, const TensorList& /*out*/) const { return {}; }
  /// Σ A_iᵀ y_i; `out`, when defined, is such a tensor for the sum, and what its storage holds behind it may be
  /// overwritten: transforms of the image need somewhat more memory than the image.
  virtual at::Tensor A_adjoint(const TensorList& /*y*/, const at::Tensor& /*out*/) const { return {}; }
  /// Σ A_iᵀ A_i x; `out` as above.
  virtual at::Tensor A_adjoint_A(const at::Tensor& /*x*/, const at::Tensor& /*out*/) const { return {}; }
  /// Σ A_iᵀ (w_i · (A_i x − y_i)) with real weights that broadcast to the measurements, one tensor an operator: a
  /// number, or one for each sample. An empty list y stands for zeros. By default A, then the residual, then the
  /// adjoint.
  virtual at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                          const at::Tensor& out) const;
  /// What determines Σ A_iᵀ A_i on images like x and adds up over stacks, such as Σ |H_i|² of circular blurs;
  /// in memory of the caller's own.
  virtual at::Tensor normal_form(const at::Tensor& /*x*/) const { return {}; }
  /// The images of part `part` of `parts` (images_of_part) of what the normal operator that `form`, a sum of normal
  /// forms, determines makes of x; the other images of the result are arbitrary. `out` as above.
  virtual at::Tensor apply_normal_form(const at::Tensor& /*form*/, const at::Tensor& /*x*/, int /*part*/, int /*parts*/,
                                       const at::Tensor& /*out*/) const {
    return {};
  }
  /// Whether there are images that it has a normal form for.
  virtual bool has_normal_forms() const { return false; }
  /// Whether what it computes is what its operators are at the time, also after they changed.
  virtual bool follows_operators() const { return false; }
};

/// Whether weights broadcast to measurements y; and weights in the precision and on the device of y.
bool weights_fit(const at::Tensor& weights, const at::Tensor& y);
at::Tensor weights_for(const at::Tensor& weights, const at::Tensor& y);
/// The values of weights that are numbers, one an operator; none where one has more entries.
std::vector<double> numbers_of(const TensorList& weights);

/// Consecutive elements of a batch of images (batch, channels, spatial …).
struct ImageRange {
  std::int64_t first_image;
  std::int64_t images;
  std::int64_t numel;
};

/// The images of a batch of these sizes that are part `part` when they are divided evenly among `parts`.
inline ImageRange images_of_part(at::IntArrayRef sizes, int part, int parts) {
  const std::int64_t images = sizes.size() < 2 ? 1 : sizes[0] * sizes[1];
  const std::int64_t first = images * part / parts;
  const std::int64_t count = images * (part + 1) / parts - first;
  return {first, count, count == 0 ? 0 : count * (c10::multiply_integers(sizes) / images)};
}

/// Whether `out` is a tensor that a result with these sizes and options can be written into.
inline bool fits(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options) {
  return out.defined() && out.sizes() == sizes && out.dtype() == options.dtype() && out.device() == options.device() &&
         out.is_contiguous();
}

/// `out` where a result with these sizes and options fits into it, else a new tensor.
inline at::Tensor fit_or_empty(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options) {
  return fits(out, sizes, options) ? out : at::empty(sizes, options);
}

/// The same, the new tensor with `room` more elements behind it where it is of a megabyte or more.
inline at::Tensor fit_or_empty_with_room(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options,
                                         std::int64_t room) {
  const std::int64_t numel = c10::multiply_integers(sizes);
  const auto bytes = static_cast<std::size_t>(numel) * options.dtype().itemsize();
  return fits(out, sizes, options) || bytes < (std::size_t{1} << 20)
             ? fit_or_empty(out, sizes, options)
             : at::empty({numel + room}, options).narrow(0, 0, numel).view(sizes);
}

/// The same for result i and a list that may be empty.
inline at::Tensor fit_or_empty(const TensorList& out, std::size_t i, at::IntArrayRef sizes,
                               const at::TensorOptions& options) {
  return fit_or_empty(out.empty() ? at::Tensor() : out[i], sizes, options);
}

}  // namespace adjoin
