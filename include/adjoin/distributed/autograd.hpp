// SPDX-License-Identifier: BSD-3-Clause
// Lets torch's automatic differentiation pass through collective calls, backwards and forwards, as often as asked.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"

namespace adjoin {

class Parameters;

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

}  // namespace adjoin
