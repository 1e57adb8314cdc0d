// SPDX-License-Identifier: BSD-3-Clause
// What the fused forms of operators of one class have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// The fused form of operators of one class, which it keeps. What it derives from them follows their versions.
template <class Operator>
class FusedOf : public FusedStack {
 public:
  using Operators = std::vector<std::shared_ptr<const Operator>>;

  explicit FusedOf(Operators operators) : operators_(std::move(operators)) {}

  bool follows_operators() const override { return true; }

 protected:
  std::size_t size() const { return operators_.size(); }
  const Operator& operator[](std::size_t i) const { return *operators_[i]; }
  const Operators& operators() const { return operators_; }
  /// Grows with the operators' versions.
  std::int64_t version() const {
    std::int64_t sum = 0;
    for (const auto& one : operators_) {
      sum += one->version();
    }
    return sum;
  }

  /// Whether a form may take these arguments: one measurement for each operator, nothing that autograd records.
  bool takes(const at::Tensor& x) const { return x.defined() && !records_gradients(x); }
  bool takes(const TensorList& y) const {
    return y.size() == size() && std::ranges::all_of(y, [](const at::Tensor& t) { return t.defined(); }) &&
           !records_gradients(y);
  }

  /// What make() returns, or nothing where an operator refuses the input: that is the plain stack's to report.
  template <class Make>
  static auto unless_refused(const Make& make) -> decltype(make()) {
    try {
      return make();
    } catch (const InvalidArgument&) {
      return {};
    }
  }

 private:
  Operators operators_;
};

/// The operators as those of class Operator; none when one is of another class.
template <class Operator>
FusedOf<Operator>::Operators all_of_class(std::span<const std::shared_ptr<const LinearPhysics>> operators) {
  typename FusedOf<Operator>::Operators result;
  for (const auto& one : operators) {
    auto cast = std::dynamic_pointer_cast<const Operator>(one);
    if (cast == nullptr) {
      return {};
    }
    result.push_back(std::move(cast));
  }
  return result;
}

}  // namespace adjoin
