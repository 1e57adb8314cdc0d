// SPDX-License-Identifier: BSD-3-Clause
// What must be equal on all ranks that make a call together.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/distributed/context.hpp"

namespace adjoin {

/// Options, compared in every call, and replicated tensors, compared as the context asks for it. Refers to the tensors.
class CallArguments {
 public:
  CallArguments() = default;
  CallArguments(const char* name, const at::Tensor& tensor) { add_tensor(name, tensor); }

  /// The value of an option, whose text is made only for a message. A view must last as long as the call.
  using Value = std::variant<bool, std::int64_t, double, std::string_view, std::string>;
  CallArguments& add(const char* name, Value value) {
    options_.push_back({name, std::move(value)});
    return *this;
  }
  CallArguments& add_tensor(const char* name, const at::Tensor& tensor) {
    tensors_.push_back({name, &tensor, nullptr});
    return *this;
  }
  /// Each of whose tensors is replicated. A sample leaves it out.
  CallArguments& add_list(const char* name, const TensorList& list) {
    tensors_.push_back({name, nullptr, &list});
    return *this;
  }

  /// Of the options, and with a full check of the tensors. 0 when there is nothing to compare.
  std::uint64_t fingerprint(CheckReplicated check) const;
  /// Of the replicated tensors, whatever their scales: relative errors multiply. NaN when there is nothing to compare.
  double sample() const;
  /// Everything by name: the values of options, and the checksums or samples of tensors.
  Params described(CheckReplicated check) const;

 private:
  struct Replicated {
    const char* name;
    const at::Tensor* tensor;
    const TensorList* list;
  };
  struct Option {
    const char* name;
    Value value;
  };
  c10::SmallVector<Replicated, 3> tensors_;
  c10::SmallVector<Option, 6> options_;
};

/// Largest relative difference of samples that counts as round-off.
constexpr double sample_tolerance = 5e-3;
/// Whether two samples are further apart; not where one is NaN.
inline bool unlike_samples(double a, double b) { return std::abs(a - b) > sample_tolerance * std::max(a, b); }

}  // namespace adjoin
