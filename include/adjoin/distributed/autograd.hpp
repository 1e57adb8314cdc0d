// Lets torch's automatic differentiation pass through collective calls.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/parameters.hpp"

namespace adjoin {

/// Evaluates forward(), which is not recorded itself, as one differentiable operation of `inputs`: `backward` maps
/// gradients of the outputs to gradients of the inputs, and may be differentiable in turn. The differential of a
/// collective is a collective: every rank must run it, in the same order.
std::vector<at::Tensor> differentiable(
    const std::vector<at::Tensor>& inputs, const std::function<std::vector<at::Tensor>()>& forward,
    std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& gradients)> backward);

/// Lets a host language throw, from a backward pass, exceptions of its own in place of ours, of whose types torch's
/// engine would not keep more than the message. `translate` may throw; when it returns, the exception goes on as it is.
void set_backward_translator(void (*translate)(const std::exception_ptr& exception));

/// Σ over the ranks of each of the tensors that local() makes, all by one reduction.
std::vector<at::Tensor> sum_over_ranks(Exchange& exchange, ReducePlan& plan,
                                       c10::function_ref<std::vector<at::Tensor>()> local);

/// What a call is differentiated by when the graph of its local part serves for the backward pass.
struct Recording {
  std::vector<at::Tensor> inputs;
  /// Whether inputs are the same on every rank, so that their gradients are sums over the ranks, made by one reduction.
  /// Otherwise they are this rank's, as are the gradients.
  bool replicated = true;
  /// May be null.
  const Parameters* parameters = nullptr;
  /// Of the reduction of gradients. It and what `exchange` and `parameters` refer to must outlive the backward pass;
  /// `keep` is held until then.
  ReducePlan* gradient_plan = nullptr;
  std::shared_ptr<const void> keep = {};
};

/// Σ over the ranks of part(inputs), differentiable with respect to inputs and parameters, once. The inputs that `part`
/// gets are detached from their history; its own graph is kept for the backward pass. `what` names the call in
/// messages.
at::Tensor reduce_recorded(Exchange& exchange, const char* what, ReducePlan& plan, const Recording& recording,
                           const std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>& part);

/// The tensors of all ranks by global index, differentiable likewise; `one` makes that at a local position.
TensorList gather_recorded(
    Exchange& exchange, GatherPlan& plan, const Sharding& sharding, const Recording& recording,
    const std::function<at::Tensor(std::size_t position, const std::vector<at::Tensor>& inputs)>& one);

}  // namespace adjoin
