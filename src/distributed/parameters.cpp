// SPDX-License-Identifier: BSD-3-Clause
// Parameters that require gradients, which the backward pass of a call sums over the ranks or leaves to their owner.
#include "adjoin/distributed/parameters.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/autograd.hpp"

namespace adjoin {

namespace {

bool requires_grad(const at::Tensor& tensor) { return tensor.requires_grad(); }

std::vector<at::Tensor> those_that_require_grad(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  std::ranges::copy_if(tensors, std::back_inserter(result), requires_grad);
  return result;
}

std::string layouts_of(const std::vector<at::Tensor>& tensors) {
  std::string text;
  for (const at::Tensor& tensor : tensors) {
    text += c10::str(text.empty() ? "" : ", ", tensor.scalar_type(), ' ', tensor.sizes());
  }
  return text.empty() ? "none" : text;
}

bool same_tensors(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::ranges::equal(a, b, [](const at::Tensor& p, const at::Tensor& q) { return p.is_same(q); });
}

}  // namespace

Parameters::Parameters(std::shared_ptr<Exchange> exchange, std::vector<at::Tensor> replicated,
                       std::vector<at::Tensor> owned)
    : exchange_(std::move(exchange)),
      plans_(std::make_shared<CallPlans>()),
      replicated_(std::move(replicated)),
      owned_(std::move(owned)) {
  const c10::InferenceMode normal(false);
  CallArguments arguments;
  arguments.add("parameters", layouts_of(replicated_));
  owned_somewhere_ = exchange_->call("set_parameters", arguments, [&] {
    std::vector<at::Tensor> all = replicated_;
    all.insert(all.end(), owned_.begin(), owned_.end());
    check(
        are_independent(all),
        "parameters: one tensor that requires gradients is computed from another, so their gradients would be counted "
        "twice: make the operator of tensor.clone() in place of the tensor that others are computed from");
    return exchange_->agree_min(std::ranges::any_of(owned_, requires_grad) ? 0.0 : 1.0) == 0.0;
  });
  nothing_ = at::zeros({}).requires_grad_();
}

bool Parameters::recorded() const {
  if (!exchange_ || !c10::GradMode::is_enabled()) {
    return false;
  }
  // A rank without parameters of its own cannot know whether those of others still require gradients.
  return std::ranges::any_of(replicated_, requires_grad) ||
         (owned_somewhere_ && (owned_.empty() || std::ranges::any_of(owned_, requires_grad)));
}

bool Parameters::contain(const at::Tensor& tensor) const {
  const auto is_sought = [&](const at::Tensor& one) { return one.is_same(tensor); };
  return std::ranges::any_of(replicated_, is_sought) || std::ranges::any_of(owned_, is_sought);
}

std::vector<at::Tensor> Parameters::tensors() const { return with_owned(those_that_require_grad(replicated_)); }

std::vector<at::Tensor> Parameters::routes() const {
  return with_owned(summed_routes(those_that_require_grad(replicated_)));
}

std::vector<at::Tensor> Parameters::with_owned(std::vector<at::Tensor> replicated) const {
  std::ranges::copy_if(owned_, std::back_inserter(replicated), requires_grad);
  if (replicated.empty()) {
    replicated.push_back(nothing_);
  }
  return replicated;
}

std::vector<at::Tensor> Parameters::summed_routes(const std::vector<at::Tensor>& tensors) const {
  if (tensors.empty() || exchange_->alone()) {
    return tensors;
  }
  if (!same_tensors(tensors, routed_)) {
    const auto forward = [&] {
      std::vector<at::Tensor> shapes;
      shapes.reserve(tensors.size());
      for (const at::Tensor& tensor : tensors) {
        shapes.push_back(at::zeros({}, tensor.options().requires_grad(false)).expand(tensor.sizes()));
      }
      return shapes;
    };
    const RecordedCall call{.name = "gradient of parameters", .exchange = exchange_, .plans = plans_};
    const auto backward = [call](const Tensors& gradients) {
      RecordedInputs parts;
      for (const at::Tensor& gradient : gradients) {
        parts.add(gradient, Spread::owned);
      }
      const std::vector<Spread> sums(gradients.size(), Spread::replicated);
      return adjoin::recorded(call, parts, sums, [](const Tensors& own) { return own; });
    };
    summed_ = differentiable(tensors, forward, backward);
    routed_ = tensors;
  }
  return summed_;
}

}  // namespace adjoin
