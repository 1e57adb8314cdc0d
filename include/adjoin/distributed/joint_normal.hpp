// The normal operator of a whole distributed stack as one fused form.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/distributed/exchange.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// Where the fused forms of all ranks add up (StackedLinearPhysics::normal_form), their sum is the normal operator of
/// the whole stack. The ranks then need not each work on the whole image: each computes its part of the result.
class JointNormal {
 public:
  /// Whether what was agreed holds for this call on this rank. Never before the first agreement.
  bool is_current(const StackedLinearPhysics& local, const at::Tensor& x, const Params& params) const;
  bool agreed_once() const { return agreed_once_; }
  /// Finds out whether all ranks have a form for x, and adds the forms up. Collective.
  void agree(Exchange& exchange, const StackedLinearPhysics& local, const at::Tensor& x, const Params& params);
  /// The sum of the forms; undefined where there is none.
  const at::Tensor& form() const { return form_; }

 private:
  bool agreed_once_ = false;
  /// This rank's operators have no form that adds up: it never asks to agree anew.
  bool never_ = false;
  at::Tensor form_;
  // What was agreed about, on this rank.
  std::int64_t version_ = 0;
  bool has_params_ = false;
  std::vector<std::int64_t> sizes_;
  at::ScalarType dtype_ = at::ScalarType::Undefined;
};

}  // namespace adjoin
