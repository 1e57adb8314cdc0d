// SPDX-License-Identifier: BSD-3-Clause
// Weights that fit measurements, as all fused forms take them.
#include "adjoin/physics/fused.hpp"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>

namespace adjoin {

at::Tensor FusedStack::A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                            const at::Tensor& out) const {
  TensorList residuals = A(x, {});
  for (std::size_t i = 0; i < residuals.size(); ++i) {
    at::Tensor& residual = residuals[i];
    if (!y.empty()) {
      if (!y[i].defined() || y[i].sizes() != residual.sizes() || y[i].scalar_type() != residual.scalar_type()) {
        return {};
      }
      residual.sub_(y[i]);
    }
    if (!weights_fit(weights[i], residual)) {
      return {};
    }
    residual.mul_(weights_for(weights[i], residual));
  }
  return residuals.empty() ? at::Tensor() : A_adjoint(residuals, out);
}

bool weights_fit(const at::Tensor& weights, const at::Tensor& y) {
  return at::is_expandable_to(weights.sizes(), y.sizes());
}

at::Tensor weights_for(const at::Tensor& weights, const at::Tensor& y) {
  return weights.to(y.device(), c10::toRealValueType(y.scalar_type()));
}

std::vector<double> numbers_of(const TensorList& weights) {
  std::vector<double> numbers;
  numbers.reserve(weights.size());
  for (const at::Tensor& one : weights) {
    if (one.numel() != 1) {
      return {};
    }
    numbers.push_back(one.item<double>());
  }
  return numbers;
}

}  // namespace adjoin
