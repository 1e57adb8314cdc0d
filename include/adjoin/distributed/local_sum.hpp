// SPDX-License-Identifier: BSD-3-Clause
// Sums over the operators of all ranks of what a function makes of each, such as a data fidelity of the user's own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/distributed/autograd.hpp"
#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/parameters.hpp"

namespace adjoin {

/// Σ_i term(i, x, …) over all operators, of tensors that are the same on every rank. Creation and calls with `gather`
/// are collective, and fail on all ranks when they fail on one.
class LocalSum : public std::enable_shared_from_this<LocalSum> {
 public:
  /// `name` is what messages call it, `indices` are the global indices of this rank's operators.
  LocalSum(const DistributedContext& context, std::string name, std::vector<std::int64_t> indices);

  /// Tensors that the terms use beside their inputs and that calls differentiate with respect to; see Parameters.
  /// Collective.
  void set_parameters(std::vector<at::Tensor> replicated, std::vector<at::Tensor> owned);

  /// The term of the operator at `position` among this rank's.
  using Term = std::function<at::Tensor(std::size_t position, const Tensors& inputs)>;
  /// The sum, of the terms' common shape, differentiable with respect to inputs and parameters as often as the terms
  /// are; with gather = false this rank's part, without any message (a zero scalar on a rank without operators).
  at::Tensor operator()(const Term& term, const Tensors& inputs, bool gather = true) const;

  /// In a handler, where a call's arguments are read: as DistributedStackedPhysics::refuse.
  [[noreturn]] void refuse(const char* method) const { exchange_->refuse(method); }

 private:
  std::shared_ptr<Exchange> exchange_;
  Parameters parameters_;
  std::shared_ptr<CallPlans> plans_ = std::make_shared<CallPlans>();
};

}  // namespace adjoin
