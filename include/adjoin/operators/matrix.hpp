// SPDX-License-Identifier: BSD-3-Clause
// Dense matrices as measurement models.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// y = M x for a matrix M of shape (m, n), real or complex: images (B, n), or (B, …image_shape) flattened, to
/// measurements (B, m), all of M's dtype; real x are taken by complex M, too. Parameter "matrix" replaces M.
///
/// A_dagger and ‖A‖² are closed forms (pseudoinverse and largest singular value), kept as long as M is unchanged.
/// Stacks fuse to one matrix of all rows.
class Matrix final : public LinearPhysics {
 public:
  /// `image_shape` without the batch dimension; its product must be n. Throws InvalidArgument unless `matrix` is a
  /// floating or complex matrix with at least one row and column.
  explicit Matrix(const at::Tensor& matrix, std::vector<std::int64_t> image_shape = {});

  std::string name() const override { return "Matrix"; }
  ParameterNames parameter_names() const override { return {.names = {"matrix"}}; }
  Recipe recipe() const override {
    return {.maker = "Matrix", .arguments = {{"matrix", matrix_}, {"image_shape", image_shape_}}};
  }
  const at::Tensor& matrix() const { return matrix_; }
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;
  at::Tensor image_like(const at::Tensor& y) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override;
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override;
  void update_impl(const Params& params) override;

 private:
  friend class FusedMatrices;

  at::Tensor current(const Params& params) const;
  bool takes(const at::Tensor& x, const at::Tensor& matrix) const;
  bool keeps_derived(const Params& params) const;
  std::vector<std::int64_t> batch_shape(std::int64_t batch) const;

  at::Tensor matrix_;
  std::vector<std::int64_t> image_shape_;
  Derived<at::Tensor> pseudoinverse_;
  Derived<double, at::ScalarType> sqnorm_;  // on images of real or complex dtype
};

}  // namespace adjoin
