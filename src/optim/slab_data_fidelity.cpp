// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities of stacks on sharded images: slabs in are gathered, gradients are scattered to slabs.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "distributed/solve_arguments.hpp"
#include "optim/plain_error.hpp"

namespace adjoin {

using detail::factor_of;
using detail::scaled;

namespace {

CallArguments arguments_of(const ShardedImage& x) {
  CallArguments arguments;
  arguments.add("x", described(x));
  return arguments;
}

}  // namespace

template <class Part>
ShardedImage DistributedDataFidelity::scattered(const char* what, const ShardedImage& x, const Measurements& y,
                                                Part&& part) const {
  const c10::NoGradGuard no_grad;
  return exchange_->call(what, arguments_of(x), [&] {
    const ShardedImage own = linear(what).own_slab(c10::str(what, ": x").c_str(), x);
    const at::Tensor whole = exchange_->assemble(slab_plans_, own);
    return exchange_->reduce_to_slab(
        slab_plans_.sums, [&](const at::Tensor& out) { return part(whole, stack_.local_part("y", y), out); },
        [&](at::IntArrayRef, at::ScalarType) { return own.space; });
  });
}

at::Tensor DistributedDataFidelity::fn(const ShardedImage& x, const Measurements& y, const Params& params) const {
  return at::scalar_tensor(item_values(x, y, 1, params)[0], at::TensorOptions(at::kDouble).device(exchange_->device()));
}

ShardedImage DistributedDataFidelity::grad(const ShardedImage& x, const Measurements& y, const Params& params) const {
  return scattered("grad", x, y, [&](const at::Tensor& whole, const TensorList& part, const at::Tensor& out) {
    return scaled(terms_.sum(Wanted::grad, whole, part, 1, out, params).grad, scale());
  });
}

ShardedImage DistributedDataFidelity::grad(const ShardedImage& x, const Measurements& y, const Subset& subset,
                                           const Params& params) const {
  return scattered("grad", x, y, [&](const at::Tensor& whole, const TensorList& part, const at::Tensor& /*out*/) {
    const at::Tensor own = terms_.subset_grad(subset, whole, part, params);
    return own.defined() ? scaled(own, scale()) : at::zeros_like(whole);
  });
}

Reals DistributedDataFidelity::item_values(const ShardedImage& x, const Measurements& y, std::int64_t items,
                                           const Params& params) const {
  const c10::NoGradGuard no_grad;
  return exchange_->call("fn", arguments_of(x), [&] {
    const at::Tensor whole = exchange_->assemble(slab_plans_, linear("fn").own_slab("fn: x", x));
    const auto own = [&] {
      return terms_.sum(Wanted::value, whole, stack_.local_part("y", y), items, {}, params).values;
    };
    return added_up(exchange_->deferring(own, [&] { return Reals(static_cast<std::size_t>(items), 0.0); }));
  });
}

ItemValues DistributedDataFidelity::item_values_and_grad(const ShardedImage& x, const Measurements& y,
                                                         std::int64_t items, const Params& params) const {
  return exchange_->call("fn_and_grad", arguments_of(x), [&] {
    Reals values;
    const ShardedImage grad =
        scattered("fn_and_grad", x, y, [&](const at::Tensor& whole, const TensorList& part, const at::Tensor& out) {
          ItemValues own = terms_.sum(Wanted::both, whole, part, items, out, params);
          values = std::move(own.values);
          return scaled(own.grad, scale());
        });
    return ItemValues{.values = added_up(std::move(values)), .grad = grad.local};
  });
}

// f's values, of which `own` are this rank's terms.
Reals DistributedDataFidelity::added_up(Reals own) const {
  exchange_->sum_real(own);
  std::ranges::transform(own, own.begin(), [&](double sum) { return scale() * sum; });
  return own;
}

std::int64_t DistributedDataFidelity::items(const ShardedImage& x0, const Measurements& y) const {
  return least_items(y, [&](const TensorList& part) { return common_items(x0, part); });
}

ShardedImage DistributedDataFidelity::prox(const ShardedImage& x, const Measurements& y, double gamma,
                                           const SlabDaggerOptions& options) const {
  const auto [factor, converted] = prox_arguments(x.local, y, gamma);
  return as_plain_error([&, &weight = factor, &measured = converted] {
    return y.is_vector() ? linear_->prox_l2(x, linear_->shard(measured), weight, options)
                         : linear_->prox_l2(x, measured, weight, options);
  });
}

ShardedImage DistributedDataFidelity::dual_step(TensorList& u, const ShardedImage& x, const Measurements& y,
                                                double sigma, const Params& params) const {
  TensorList next = u;
  ShardedImage image =
      scattered("dual_step", x, y, [&](const at::Tensor& whole, const TensorList& part, const at::Tensor& out) {
        const double factor = factor_of(linear_->reduction(), stack_.num_operators());
        return scaled(terms_.dual_step(next, whole, part, sigma, weight(), out, params), factor);
      });
  u = std::move(next);
  return image;
}

double DistributedDataFidelity::lipschitz(const ShardedImage& x0, const Params& params) const {
  (void)linear("lipschitz");
  return std::isinf(lipschitz_) ? lipschitz_ : lipschitz_ * weight() * sqnorm(x0, params);
}

double DistributedDataFidelity::sqnorm(const ShardedImage& x0, const Params& params) const {
  return linear("sqnorm").guess_sqnorm(x0, params);
}

}  // namespace adjoin
