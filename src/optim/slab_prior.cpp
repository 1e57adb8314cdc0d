// SPDX-License-Identifier: BSD-3-Clause
// Priors on sharded images.
#include "optim/slab_prior.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <exception>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/optim/prior.hpp"
#include "distributed/solve_arguments.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

Exchange* exchange_of(const ShardedImage& x) {
  auto* const exchange = dynamic_cast<Exchange*>(x.space->reducer.get());
  check(exchange != nullptr || x.space->reducer == nullptr,
        "x: a prior that needs more than the slab takes no image of a stack on a grid");
  return exchange;
}

at::Tensor gathered(Exchange& exchange, const ShardedImage& x) {
  const ImageSpace& space = *x.space;
  const at::Tensor own = in_slab_order(x.local, space).contiguous().view(-1);
  const at::Tensor all = exchange.communicator().all_gather_v(own, space.counts());
  if (space.is_flat()) {
    return all.view(space.sizes);
  }
  at::Tensor image = at::empty(space.sizes, x.local.options());
  at::Tensor ordered = in_slab_order(image, space);
  ordered.copy_(all.view(ordered.sizes()));
  return image;
}

namespace {

// Runs `work` on the whole image of a slab, as a call of all ranks that is named `what`.
template <class Work>
auto on_whole(const char* what, const ShardedImage& x, const Work& work) -> decltype(work(x.local)) {
  Exchange* const exchange = exchange_of(x);
  if (exchange == nullptr) {
    return work(x.local.view(x.space->sizes));
  }
  CallArguments arguments;
  arguments.add("x", described(x));
  return exchange->call(what, arguments, [&] {
    const at::Tensor whole = gathered(*exchange, x);
    decltype(work(x.local)) result;
    // A denoiser in tiles sends messages itself: what fails is told thereafter.
    std::exception_ptr failed;
    try {
      result = work(whole);
    } catch (...) {
      failed = std::current_exception();
    }
    exchange->agree([&] {
      if (failed) {
        std::rethrow_exception(failed);
      }
    });
    return result;
  });
}

}  // namespace

void Prior::check_slab(const ShardedImage& x) const {
  check(x.defined() && x.space != nullptr, name(), ": x must be a sharded image, got none");
  check(x.local.sizes() == x.space->local_sizes(), name(), ": the slab must have the shape ",
        at::IntArrayRef(x.space->local_sizes()), ", got ", x.local.sizes());
  refuse_gradients(name().c_str(), x.local);
}

at::Tensor Prior::fn(const ShardedImage& x) const {
  check_slab(x);
  const c10::NoGradGuard no_grad;
  if (!acts_on_numbers()) {
    return fn_of_slab(x);
  }
  auto sum = fn(x.local).item<double>();
  if (x.space->reducer) {
    x.space->reducer->sum_real({&sum, 1});
  }
  return at::full({}, sum, x.local.options().dtype(at::kDouble));
}

ShardedImage Prior::grad(const ShardedImage& x) const {
  check_slab(x);
  const c10::NoGradGuard no_grad;
  const auto of_whole = [&](const at::Tensor& whole) { return slab_of(grad(whole), x.space).local; };
  return {acts_on_numbers() ? grad(x.local) : on_whole("the gradient of a prior", x, of_whole), x.space};
}

ShardedImage Prior::prox(const ShardedImage& x, double gamma) const {
  check_slab(x);
  check_step(name(), "gamma", gamma);
  const c10::NoGradGuard no_grad;
  return acts_on_numbers() ? ShardedImage{prox(x.local, gamma), x.space} : prox_of_slab(x, gamma);
}

at::Tensor Prior::fn_of_slab(const ShardedImage& x) const {
  return on_whole("the value of a prior", x, [&](const at::Tensor& whole) { return fn(whole); });
}

ShardedImage Prior::prox_of_slab(const ShardedImage& x, double gamma) const {
  const auto of_whole = [&](const at::Tensor& whole) { return slab_of(prox(whole, gamma), x.space).local; };
  return {on_whole("the prox of a prior", x, of_whole), x.space};
}

}  // namespace adjoin
