// Lets torch's automatic differentiation pass through collective calls, backwards and forwards, as often as asked.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"

namespace adjoin {

class Parameters;

using Tensors = std::vector<at::Tensor>;

/// Evaluates forward(), which is not recorded itself, as one differentiable operation of `inputs`: `backward` maps
/// gradients of the outputs to gradients of the inputs, and is made of differentiable operations in turn. The
/// differential of a collective is a collective: every rank must run it, in the same order.
Tensors differentiable(const Tensors& inputs, const std::function<Tensors()>& forward,
                       std::function<Tensors(const Tensors& gradients)> backward);
/// The same, where `backward` needs the outputs.
Tensors differentiable_by_outputs(const Tensors& inputs, const std::function<Tensors()>& forward,
                                  std::function<Tensors(const Tensors& gradients, const Tensors& outputs)> backward);
/// Tensors that cannot be differentiated again, as `inputs` have been used: that throws Error, in which `what` names
/// them.
Tensors differentiable_once(const Tensors& inputs, const Tensors& results, const char* what);

/// How a tensor is spread over the ranks, and so how what the ranks contribute to it becomes the tensor.
struct Spread {
  enum Kind : std::uint8_t {
    replicated,  ///< the same on every rank: the sum of the contributions
    item,        ///< an operator's, the same on every rank: the contribution of the operator's owner
    owned        ///< each rank's own: its contribution
  };
  Kind kind;
  /// Of an item.
  std::int64_t operator_index;
  Spread(Kind of_kind, std::int64_t index = -1)  // NOLINT(google-explicit-constructor)
      : kind(of_kind), operator_index(index) {}
};

/// A collective whose local part autograd follows by itself.
struct RecordedCall {
  const char* name;
  std::shared_ptr<Exchange> exchange;
  /// Of the operators, and how their results are gathered, where items are spread.
  const Sharding* sharding = nullptr;
  GatherStrategy gather_strategy = GatherStrategy::concatenated;
  /// May be null.
  const Parameters* parameters = nullptr;
  std::shared_ptr<CallPlans> plans;
  /// Held until there are no more backward passes, with all that the local part refers to.
  std::shared_ptr<const void> keep = {};
  /// Whether a message of others follows where this call has none, so that its failure reaches the other ranks.
  bool message_follows = false;
};

/// The inputs of a call, in the order in which its local part gets them.
struct RecordedInputs {
  Tensors tensors;
  std::vector<Spread> spreads;

  RecordedInputs& add(const at::Tensor& tensor, Spread spread);
  /// Where they are items, those of operators 0, 1, …
  RecordedInputs& add(const TensorList& list, Spread::Kind kind);
  /// The tensors among parameters, which are replicated.
  RecordedInputs& add(const Params& params);
};

/// What `part` makes of the inputs on each rank, combined over the ranks as `outputs` says; items may be undefined on
/// ranks that do not own the operator. Differentiable with respect to inputs and parameters, backwards and forwards, as
/// often as `part` is. It gets the inputs detached from their history.
Tensors recorded(const RecordedCall& call, const RecordedInputs& inputs, const std::vector<Spread>& outputs,
                 std::function<Tensors(const Tensors& inputs)> part);

/// Tensors as one real vector, and back to tensors like these.
at::Tensor joined(const Tensors& tensors);
Tensors parted(const at::Tensor& vector, const Tensors& like);

/// Whether autograd follows operations on any tensor of `params`.
bool records_gradients(const Params& params);

/// `params` with these tensors, in the order of RecordedInputs::add, in place of its own.
Params with_tensors(const Params& params, at::ArrayRef<at::Tensor> tensors);

/// Lets a host language throw, from a backward pass, exceptions of its own in place of ours, of whose types torch's
/// engine would not keep more than the message. `translate` may throw; when it returns, the exception goes on as it is.
void set_backward_translator(void (*translate)(const std::exception_ptr& exception));

}  // namespace adjoin
