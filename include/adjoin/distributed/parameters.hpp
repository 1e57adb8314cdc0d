// SPDX-License-Identifier: BSD-3-Clause
// Gradients of what operators and processors are made of: filters, coil maps, the weights of a denoiser.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "adjoin/distributed/autograd.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"

namespace adjoin {

/// Tensors that local work uses beside its inputs.
class Parameters {
 public:
  /// No parameters.
  Parameters() = default;
  /// `replicated` are the same tensors, in the same order, on every rank: their gradients are summed over the ranks by
  /// one reduction in a backward pass, however many calls used them. `owned` are this rank's alone, and so are their
  /// gradients. Throws InvalidArgument where one that requires gradients is computed from another. Collective.
  Parameters(std::shared_ptr<Exchange> exchange, std::vector<at::Tensor> replicated,
             std::vector<at::Tensor> owned = {});

  /// Whether autograd records a call that uses them: the same on every rank.
  bool recorded() const;
  bool contain(const at::Tensor& tensor) const;
  /// Those that require gradients.
  std::vector<at::Tensor> tensors() const;
  /// For each of tensors(), what a call must have as input for the gradient to arrive. It has the shape of the tensor,
  /// not its values.
  std::vector<at::Tensor> routes() const;

 private:
  /// `replicated`, and this rank's own that require gradients; never empty, as a call must have an input.
  std::vector<at::Tensor> with_owned(std::vector<at::Tensor> replicated) const;
  std::vector<at::Tensor> summed_routes(const std::vector<at::Tensor>& tensors) const;

  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<CallPlans> plans_;
  std::vector<at::Tensor> replicated_;
  std::vector<at::Tensor> owned_;
  bool owned_somewhere_ = false;
  /// Stands in for parameters on a rank that owns none.
  at::Tensor nothing_;
  /// Kept: all calls of a backward pass share the one reduction behind them.
  mutable std::vector<at::Tensor> routed_;
  mutable std::vector<at::Tensor> summed_;
};

}  // namespace adjoin
