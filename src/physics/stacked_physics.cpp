// SPDX-License-Identifier: BSD-3-Clause
// Stacks of any measurement models.
#include "adjoin/physics/stacked.hpp"
#include "physics/stack_calls.hpp"

namespace adjoin {

Reduction reduction_from_string(std::string_view name) {
  check(name == "sum" || name == "mean", "reduction: must be sum or mean, got '", name, "'");
  return name == "sum" ? Reduction::sum : Reduction::mean;
}

std::string_view to_string(Reduction reduction) { return reduction == Reduction::sum ? "sum" : "mean"; }

StackedPhysics::StackedPhysics(std::vector<PhysicsPtr> operators) : operators_(std::move(operators)) {
  stacks::check_operators(operators_);
}

std::int64_t StackedPhysics::version() const { return stacks::version_of(operators_); }

ParameterNames StackedPhysics::parameter_names() const { return stacks::names_of(operators_, accepted_); }

Params StackedPhysics::taken(std::size_t i, const Params& params) const { return stacks::taken_by(*this, i, params); }

TensorList StackedPhysics::A(const at::Tensor& x, const Params& params) const {
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->A(x, own[i]); });
}

TensorList StackedPhysics::forward(const at::Tensor& x, const Params& params) const {
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->forward(x, own[i]); });
}

at::Tensor StackedPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  stacks::check_count("A_vjp", "v", v, size());
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), {}, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

}  // namespace adjoin
