#include "optim/prior_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "adjoin/core/vector_space.hpp"

namespace adjoin {

namespace {
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
}

Reals PriorTerm::values(const at::Tensor& x, const Items& items) const {
  Reals result(items.size(), 0.0);
  if (!has_value()) {
    return result;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const at::Tensor own = items.size() == 1 ? x : x.narrow(0, static_cast<std::int64_t>(i), 1);
    result[i] = lambda_ * g_.fn(own).item<double>();
  }
  return result;
}

at::Tensor PriorTerm::grad(const at::Tensor& x) const {
  return image(x, [&] { return g_.grad(x); });
}

at::Tensor PriorTerm::prox(const at::Tensor& x, const Reals& steps) const {
  std::map<double, std::vector<std::int64_t>> items_of;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    items_of[steps[i]].push_back(static_cast<std::int64_t>(i));
  }
  if (items_of.size() == 1) {
    return image(x, [&] { return g_.prox(x, steps.front() * lambda_); });
  }
  return image(x, [&] {
    at::Tensor result = at::empty_like(x);
    for (const auto& [step, own] : items_of) {
      const at::Tensor index = at::tensor(own, at::kLong).to(x.device());
      result.index_copy_(0, index, g_.prox(x.index_select(0, index), step * lambda_));
    }
    return result;
  });
}

// A denoiser may make numbers of NaN, and so hide what has gone wrong: it does not get to see them.
at::Tensor PriorTerm::image(const at::Tensor& x, const std::function<at::Tensor()>& work) const {
  return has_value() || std::isfinite(adjoin::norm(x)) ? work() : at::full_like(x, unknown);
}

}  // namespace adjoin
