// SPDX-License-Identifier: BSD-3-Clause
// Stacks of linear operators: their calls, by fused forms where there are some.
#include "adjoin/physics/stacked.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <typeinfo>
#include <utility>

#include "adjoin/core/modes.hpp"
#include "adjoin/core/sole_holder.hpp"
#include "physics/stack_calls.hpp"

namespace adjoin {

namespace {

// Whether fused forms may see this argument; the plain stack reports what is wrong with others.
bool fusable(const at::Tensor& x) { return !records_gradients(x); }

bool fusable(const TensorList& y) {
  return std::ranges::all_of(y, [](const at::Tensor& t) { return t.defined(); }) && !records_gradients(y);
}

// The adjoint by `stack`; undefined where that is null or has none.
at::Tensor fused_adjoint(const FusedStack* stack, const TensorList& y, const at::Tensor& out) {
  const auto adjoint = [&](const TensorList& v) { return stack->A_adjoint(v, out); };
  return stack != nullptr ? without_autocast(adjoint, y) : at::Tensor();
}

at::Tensor residual_of(const at::Tensor& Ax, const at::Tensor& y) {
  check(y.defined() && y.sizes() == Ax.sizes(), "y must have the shape of A x, ", Ax.sizes(), ", got ",
        y.defined() ? c10::str(y.sizes()) : "an undefined tensor");
  return Ax - y;
}

}  // namespace

StackedLinearPhysics::StackedLinearPhysics(std::vector<LinearPhysicsPtr> operators, const StackOptions& options)
    : operators_(std::move(operators)), options_(options) {
  stacks::check_operators(operators_);
  const auto same_type = [&](const LinearPhysicsPtr& op) {
    const LinearPhysics& one = *op;
    const LinearPhysics& first = *operators_.front();
    return typeid(one) == typeid(first);
  };
  if (options_.fuse && !operators_.empty() && std::ranges::all_of(operators_, same_type)) {
    forms_ = std::make_unique<Forms>();
  }
  MeasurementSpace space;
  space.total = static_cast<std::int64_t>(size());
  for (std::int64_t i = 0; i < space.total; ++i) {
    space.indices.push_back(i);
  }
  space.weight = weight();
  space_ = std::make_shared<const MeasurementSpace>(std::move(space));
}

StackedLinearPhysics::StackedLinearPhysics(StackedLinearPhysics&&) noexcept = default;
StackedLinearPhysics& StackedLinearPhysics::operator=(StackedLinearPhysics&&) noexcept = default;
StackedLinearPhysics::~StackedLinearPhysics() = default;

ParameterNames StackedLinearPhysics::parameter_names() const { return stacks::names_of(operators_, accepted_); }

Params StackedLinearPhysics::taken(std::size_t i, const Params& params) const {
  return stacks::taken_by(*this, i, params);
}

template <class... Arguments>
StackedLinearPhysics::Fused StackedLinearPhysics::fused(const Params& params, const Arguments&... arguments) const {
  const auto requires_grad = [](const LinearPhysicsPtr& op) { return op->requires_grad(); };
  if (forms_ == nullptr || !params.empty() || !(fusable(arguments) && ...) ||
      (c10::GradMode::is_enabled() && std::ranges::any_of(operators_, requires_grad))) {
    return {};
  }
  const auto make = [&]() -> std::shared_ptr<const FusedStack> {
    const std::vector<std::shared_ptr<const LinearPhysics>> members(operators_.begin(), operators_.end());
    return operators_[0]->fuse(members);
  };
  const auto& following = forms_->following.get([&] {
    return lasting([&] {
      auto form = make();
      return form != nullptr && form->follows_operators() ? form : nullptr;
    });
  });
  if (following != nullptr) {
    return {.form = following.get()};
  }
  auto kept = forms_->by_version.get(version(), make);
  return {.form = kept.get(), .kept = kept};
}

TensorList StackedLinearPhysics::A(const at::Tensor& x, const Params& params) const { return A_into({}, x, params); }

TensorList StackedLinearPhysics::A_into(const TensorList& out, const at::Tensor& x, const Params& params) const {
  stacks::check_image("A", "x", x);
  if (const auto stack = fused(params, x)) {
    const auto A = [&](const at::Tensor& image) { return stack->A(image, out); };
    if (TensorList y = without_autocast(A, x); !y.empty()) {
      return y;
    }
  }
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->A(x, own[i]); });
}

TensorList StackedLinearPhysics::A_reusing(TensorList& kept, const at::Tensor& x, const Params& params) const {
  const bool free = std::ranges::all_of(
      kept, [](const at::Tensor& t) { return t.defined() && t.has_storage() && is_sole_holder(t); });
  static const TensorList none;
  kept = A_into(free ? kept : none, x, params);
  return kept;
}

TensorList StackedLinearPhysics::forward(const at::Tensor& x, const Params& params) const {
  stacks::check_image("forward", "x", x);
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->forward(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint(const TensorList& y, const Params& params) const {
  return weighted(A_adjoint_sum(y, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_for(const TensorList& y, const at::Tensor& image,
                                               const Params& params) const {
  return weighted(A_adjoint_for_sum(y, image, {}, params));
}

at::Tensor StackedLinearPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  return weighted(A_vjp_sum(x, v, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_A(const at::Tensor& x, const Params& params) const {
  return weighted(A_adjoint_A_sum(x, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_W_A(const at::Tensor& x, const TensorList& weights,
                                               const Params& params) const {
  return weighted(A_adjoint_W_residual_sum(x, {}, weights, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_W_residual(const at::Tensor& x, const TensorList& y,
                                                      const TensorList& weights, const Params& params) const {
  stacks::check_count("A_adjoint_W_residual", "y", y, size());
  return weighted(A_adjoint_W_residual_sum(x, y, weights, {}, params));
}

TensorList StackedLinearPhysics::A_A_adjoint(const TensorList& y, const Params& params) const {
  stacks::check_count("A_A_adjoint", "y", y, size());
  return size() == 0 ? TensorList{} : A(A_adjoint(y, params), params);
}

TensorList StackedLinearPhysics::A_adjoint_each(const TensorList& y, const Params& params) const {
  stacks::check_count("A_adjoint", "y", y, size());
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], own[i]); });
}

TensorList StackedLinearPhysics::A_vjp_each(const at::Tensor& x, const TensorList& v, const Params& params) const {
  stacks::check_image("A_vjp", "x", x);
  stacks::check_count("A_vjp", "v", v, size());
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

TensorList StackedLinearPhysics::A_adjoint_A_each(const at::Tensor& x, const Params& params) const {
  stacks::check_image("A_adjoint_A", "x", x);
  const stacks::Taken own(*this, params);
  return stacks::each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_sum(const TensorList& y, const at::Tensor& out, const Params& params) const {
  stacks::check_count("A_adjoint", "y", y, size());
  if (at::Tensor image = fused_adjoint(fused(params, y).form, y, out); image.defined()) {
    return image;
  }
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_for_sum(const TensorList& y, const at::Tensor& image, const at::Tensor& out,
                                                   const Params& params) const {
  stacks::check_image("A_adjoint_for", "image", image);
  stacks::check_count("A_adjoint_for", "y", y, size());
  if (at::Tensor adjoint = fused_adjoint(fused(params, y).form, y, out); adjoint.defined()) {
    return adjoint;
  }
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint_for(y[i], image, own[i]); });
}

at::Tensor StackedLinearPhysics::A_vjp_sum(const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                                           const Params& params) const {
  stacks::check_image("A_vjp", "x", x);
  stacks::check_count("A_vjp", "v", v, size());
  if (at::Tensor image = fused_adjoint(fused(params, x, v).form, v, out); image.defined()) {
    return in_space_of(x, image);
  }
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), out, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_A_sum(const at::Tensor& x, const at::Tensor& out,
                                                 const Params& params) const {
  stacks::check_image("A_adjoint_A", "x", x);
  if (const auto stack = fused(params, x)) {
    const auto normal = [&](const at::Tensor& image) { return stack->A_adjoint_A(image, out); };
    if (at::Tensor image = without_autocast(normal, x); image.defined()) {
      return image;
    }
  }
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_W_residual_sum(const at::Tensor& x, const TensorList& y,
                                                          const TensorList& weights, const at::Tensor& out,
                                                          const Params& params) const {
  stacks::check_image("A_adjoint_W_residual", "x", x);
  stacks::check_weights("A_adjoint_W_residual", weights, size());
  check(y.empty() || y.size() == size(), "A_adjoint_W_residual: y must hold ", size(), " tensors, got ", y.size());
  if (const auto stack = fused(params, x, y, weights)) {
    const auto residual = [&](const at::Tensor& image, const TensorList& measured) {
      return stack->A_adjoint_W_residual(image, measured, weights, out);
    };
    if (at::Tensor image = without_autocast(residual, x, y); image.defined()) {
      return in_space_of(x, image);
    }
  }
  const stacks::Taken own(*this, params);
  return stacks::sum(size(), out, [&](std::size_t i) {
    const at::Tensor Ax = operators_[i]->A(x, own[i]);
    return operators_[i]->A_vjp(x, weighed(y.empty() ? Ax : residual_of(Ax, y[i]), weights[i]), own[i]);
  });
}

at::Tensor StackedLinearPhysics::normal_form(const at::Tensor& x, const Params& params) const {
  const Fused stack = x.defined() ? fused(params, x) : Fused();
  const auto form = [&](const at::Tensor& image) { return stack->normal_form(image); };
  return stack ? without_autocast(form, x) : at::Tensor();
}

at::Tensor StackedLinearPhysics::apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                                                   const at::Tensor& out) const {
  const auto stack = fused({}, x);
  const auto apply = [&](const at::Tensor& image) { return stack->apply_normal_form(form, image, part, parts, out); };
  at::Tensor result = stack ? without_autocast(apply, x) : at::Tensor();
  check(result.defined(), "apply_normal_form: form must be a sum of normal forms for images like x");
  return result;
}

bool StackedLinearPhysics::has_normal_forms() const {
  const Fused stack = fused({});
  return stack && stack->has_normal_forms();
}

std::int64_t StackedLinearPhysics::version() const { return stacks::version_of(operators_); }

at::Tensor StackedLinearPhysics::weighted(at::Tensor sum) const {
  return options_.reduction == Reduction::mean ? stacks::divide(std::move(sum), size()) : sum;
}

double StackedLinearPhysics::weight() const {
  return options_.reduction == Reduction::mean && size() > 0 ? 1.0 / static_cast<double>(size()) : 1.0;
}

}  // namespace adjoin
