// SPDX-License-Identifier: BSD-3-Clause
// The normal operator of a whole distributed stack as one fused form.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// Where the fused forms of all ranks add up (StackedLinearPhysics::normal_form), their sum is the normal operator of
/// the whole stack. The ranks then need not each work on the whole image: each computes its part of the result.
class JointNormal {
 public:
  /// Whether there is such a sum. The same on all ranks.
  bool exists() const { return exists_; }
  /// The sum of the forms; undefined on a rank that has no images to apply it to.
  const at::Tensor& form() const { return form_; }

  /// What the ranks must agree on for one call: whether all of them have a form for x, and the sum. An image that an
  /// operator refuses leaves what was agreed on as it was.
  class ForCall : public Agreement {
   public:
    ForCall(JointNormal& joint, Exchange& exchange, const StackedLinearPhysics& local, const at::Tensor& x,
            const Params& params)
        : joint_(joint), exchange_(exchange), local_(local), x_(x), params_(params) {}
    bool made() const override { return joint_.made_; }
    bool is_current() const override;
    void make() override;
    bool by_images() const override { return joint_.exists_; }

   private:
    JointNormal& joint_;
    Exchange& exchange_;
    const StackedLinearPhysics& local_;
    const at::Tensor& x_;
    const Params& params_;
  };

 private:
  bool made_ = false;
  bool exists_ = false;
  at::Tensor form_;
  // What it was agreed for, on this rank.
  /// There are images that all ranks may have a form for; else nobody asks to agree anew.
  bool possible_ = true;
  std::int64_t version_ = 0;
  bool has_params_ = false;
  std::vector<std::int64_t> sizes_;
  at::ScalarType dtype_ = at::ScalarType::Undefined;
};

}  // namespace adjoin
