// SPDX-License-Identifier: BSD-3-Clause
// Values and gradients of all operators, by the stack's weighted residual where the distance is L2.
#include "adjoin/optim/stacked_data_fidelity.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <numeric>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"

namespace adjoin {

using detail::factor_of;

namespace {

std::vector<std::int64_t> counting(std::size_t n) {
  std::vector<std::int64_t> indices(n);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

at::Tensor vjp_sum(const StackedLinearPhysics& stack, const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                   const Params& params) {
  return stack.A_vjp_sum(x, v, out, params);
}

at::Tensor vjp_sum(const StackedPhysics& stack, const at::Tensor& x, const TensorList& v, const at::Tensor& /*out*/,
                   const Params& params) {
  return stack.A_vjp(x, v, params);
}

auto weighted_residual_of(const StackedLinearPhysics& stack) {
  return [&stack](const at::Tensor& x, const TensorList& y, const TensorList& weights, const at::Tensor& out,
                  const Params& params) { return stack.A_adjoint_W_residual_sum(x, y, weights, out, params); };
}

std::nullptr_t weighted_residual_of(const StackedPhysics& /*stack*/) { return nullptr; }

template <class Stack>
detail::LocalOperators operators_of(const Stack& stack) {
  return {.A = [&stack](const at::Tensor& x, const Params& params) { return stack.A(x, params); },
          .vjp = [&stack](const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                          const Params& params) { return vjp_sum(stack, x, v, out, params); },
          .weighted_residual = weighted_residual_of(stack),
          .one = [&stack](std::size_t position) -> const Physics& { return stack[position]; },
          .taken = [&stack](std::size_t position, const Params& params) { return stack.taken(position, params); }};
}

template <class Stack>
detail::StackTerms terms_of(const Stack& stack, std::vector<DataFidelityPtr> fidelities) {
  return {operators_of(stack), std::move(fidelities), counting(stack.size())};
}

std::int64_t size_of(const auto& stack) { return static_cast<std::int64_t>(stack.size()); }

}  // namespace

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityPtr& fidelity,
                                         const DataFidelityOptions& options)
    : linear_(&stack),
      size_(size_of(stack)),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(terms_of(stack, detail::one_for_all(fidelity, counting(stack.size())))) {}

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack,
                                         const std::vector<DataFidelityPtr>& fidelities,
                                         const DataFidelityOptions& options)
    : linear_(&stack),
      size_(size_of(stack)),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(terms_of(stack, detail::picked(fidelities, counting(stack.size()), size_of(stack)))) {}

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityFactory& factory,
                                         const DataFidelityOptions& options)
    : linear_(&stack),
      size_(size_of(stack)),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(terms_of(stack, detail::made(factory, counting(stack.size()), at::kCPU))) {}

StackedDataFidelity::StackedDataFidelity(const StackedPhysics& stack, const std::vector<DataFidelityPtr>& fidelities,
                                         const DataFidelityOptions& options)
    : size_(size_of(stack)),
      reduction_(options.reduction.value_or(Reduction::sum)),
      terms_(terms_of(stack, detail::picked(fidelities, counting(stack.size()), size_of(stack)))) {}

StackedDataFidelity::StackedDataFidelity(const StackedPhysics& stack, const DataFidelityPtr& fidelity,
                                         const DataFidelityOptions& options)
    : StackedDataFidelity(stack, std::vector<DataFidelityPtr>(stack.size(), fidelity), options) {}

double StackedDataFidelity::scale() const { return factor_of(reduction_, size_); }

double StackedDataFidelity::weight() const { return scale() / factor_of(linear("weight").reduction(), size_); }

const StackedLinearPhysics& StackedDataFidelity::linear(const char* what) const {
  check(linear_ != nullptr, what, ": the operators of the stack must be linear");
  return *linear_;
}

void StackedDataFidelity::check_count(const TensorList& y) const {
  check(static_cast<std::int64_t>(y.size()) == size_, "y: must hold ", size_, " tensors, one for each operator, got ",
        y.size());
}

ItemValues StackedDataFidelity::evaluate(detail::StackTerms::Wanted wanted, const at::Tensor& x, const TensorList& y,
                                         std::int64_t items, const Params& params) const {
  const c10::NoGradGuard no_grad;
  check_count(y);
  ItemValues result = terms_.sum(wanted, x, y, items, {}, params);
  for (double& value : result.values) {
    value *= scale();
  }
  result.grad = detail::scaled(result.grad, scale());
  return result;
}

at::Tensor StackedDataFidelity::fn(const at::Tensor& x, const TensorList& y, const Params& params) const {
  if (records_gradients(x)) {
    return detail::value_with_gradient(x, [&] { return evaluate(Wanted::both, x, y, 1, params); });
  }
  return at::full({}, evaluate(Wanted::value, x, y, 1, params).values[0], x.options().dtype(at::kDouble));
}

at::Tensor StackedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Params& params) const {
  return evaluate(Wanted::grad, x, y, 1, params).grad;
}

ValueAndGradient StackedDataFidelity::fn_and_grad(const at::Tensor& x, const TensorList& y,
                                                  const Params& params) const {
  const ItemValues both = evaluate(Wanted::both, x, y, 1, params);
  return {.value = both.values[0], .grad = both.grad};
}

Reals StackedDataFidelity::item_values(const at::Tensor& x, const TensorList& y, std::int64_t items,
                                       const Params& params) const {
  return evaluate(Wanted::value, x, y, items, params).values;
}

ItemValues StackedDataFidelity::item_values_and_grad(const at::Tensor& x, const TensorList& y, std::int64_t items,
                                                     const Params& params) const {
  return evaluate(Wanted::both, x, y, items, params);
}

at::Tensor StackedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Subset& subset,
                                     const Params& params) const {
  const c10::NoGradGuard no_grad;
  check_count(y);
  const at::Tensor sum = terms_.subset_grad(subset, x, y, params);
  return sum.defined() ? detail::scaled(sum, scale()) : at::zeros_like(x);
}

at::Tensor StackedDataFidelity::prox(const at::Tensor& x, const TensorList& y, double gamma,
                                     const DaggerOptions& options) const {
  const StackedLinearPhysics& stack = linear("prox");
  return stack.prox_l2(x, detail::in_precision_of(x, y), detail::prox_weight(gamma, terms_.sigma(), weight()), options);
}

at::Tensor StackedDataFidelity::dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                                          const Params& params) const {
  const c10::NoGradGuard no_grad;
  check_count(y);
  const at::Tensor sum = terms_.dual_step(u, x, y, sigma, weight(), {}, params);
  return detail::scaled(sum, factor_of(linear("dual_step").reduction(), size_));
}

std::int64_t StackedDataFidelity::items(const at::Tensor& x0, const TensorList& y) const { return common_items(x0, y); }

double StackedDataFidelity::lipschitz(const at::Tensor& x0, const Params& params) const {
  const double largest = linear_ != nullptr ? terms_.lipschitz() : std::numeric_limits<double>::infinity();
  return std::isinf(largest) ? largest : largest * weight() * sqnorm(x0, params);
}

double StackedDataFidelity::sqnorm(const at::Tensor& x0, const Params& params) const {
  return linear("sqnorm").guess_sqnorm(x0, params);
}

}  // namespace adjoin
