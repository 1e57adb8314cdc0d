// SPDX-License-Identifier: BSD-3-Clause
// Steps that are lengthened while all goes well, and shortened or refused where the objective shows that they are too
// long.
#include "optim/descent.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "solvers/precision.hpp"

namespace adjoin {

namespace {

double first_step(const OptimOptions& options, double lipschitz) {
  if (options.step) {
    return *options.step;
  }
  check(std::isfinite(lipschitz) || options.backtracking,
        "step: must be given, or backtracking asked for, since the gradient has no Lipschitz constant");
  return std::isfinite(lipschitz) && lipschitz > 0.0 ? 1.0 / lipschitz : 1.0;
}

// 2, 3, 4, 6, 8, 12, 16, 24 …
bool is_looked_at(int iteration) {
  while (iteration > 4 && iteration % 2 == 0) {
    iteration /= 2;
  }
  return iteration >= 2 && iteration <= 4;
}

}  // namespace

Descent::Descent(const OptimOptions& options, const Products& products, const Items& items, double lipschitz)
    : options_(options),
      products_(products),
      steps_(items.size(), first_step(options, lipschitz)),
      states_(items.size()) {}

at::Tensor Descent::operator()(const Items& items, const at::Tensor& z, const ItemValues& here,
                               c10::function_ref<at::Tensor(const Reals& steps)> next,
                               c10::function_ref<Reals(const at::Tensor& x)> value) {
  constexpr int most_attempts = 80;
  const double round_off = 16.0 * precision(z);
  for (State& state : states_) {
    state.tried = state.longer;
    state.edge = false;
  }
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    const at::Tensor x = next(steps_);
    if (!options_.backtracking) {
      return x;
    }
    const Reals there = value(x);
    const at::Tensor moved = x - z;
    const auto products = products_.dots({{&here.grad, &moved}, {&moved, &moved}, {&z, &z}}, items.count());
    bool again = false;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!items.running(i)) {
        continue;
      }
      if (std::isnan(there[i])) {
        throw Error("backtracking: the objective is NaN: look for NaN in y, the operators and the prior");
      }
      State& state = states_[i];
      // How far f lies above its tangent, against what the step allows.
      const double above = there[i] - here.values[i] - products[0][i].real();
      const double squared = products[1][i].real();
      const double allowed = squared / (2.0 * steps_[i]);
      const double noise = round_off * std::abs(here.values[i]);
      state.clear = allowed > 10.0 * noise;
      if (above <= allowed + noise) {
        continue;
      }
      again = true;
      state.edge = state.edge || !std::isfinite(above);
      state.refused = std::isfinite(above) ? 0.0 : std::max(state.refused, steps_[i]);
      if (state.longer) {
        state.longer = false;
        state.left = state.wait = std::min(2 * state.wait, 32);
      }
      // The step that the curvature on the way allows, within bounds.
      const double fitting = squared / (2.0 * above);
      constexpr double least = 1.0 / 64.0;
      steps_[i] *= std::isfinite(above) ? std::clamp(fitting / steps_[i], least, 0.5) : 0.5;
    }
    if (!again) {
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (items.running(i)) {
          check_way(states_[i], steps_[i], products[1][i].real(), products[2][i].real());
        }
      }
      return x;
    }
  }
  throw Error("backtracking: no step is short enough; is the gradient that of the value?");
}

// `moved` and `size`: squares of how far an item moved and of its size.
void Descent::check_way(State& state, double step, double moved, double size) const {
  constexpr int patience = 10;
  constexpr double still = 1e-6;
  const bool went = state.tried && moved > 0.0;
  // One longer step may go because the image hardly moves: the way is free where the longest that was refused goes.
  state.blocked = state.edge || (state.blocked && !(went && step >= state.refused));
  if (!state.blocked) {
    state.refused = 0.0;
  }
  const double least = std::max(options_.tol, still);
  state.stuck = state.blocked && !went && moved <= least * least * size ? state.stuck + 1 : 0;
  if (state.stuck >= patience) {
    throw Error(
        "backtracking: the image is at the edge of the data fidelity's domain, and no step leads on: take proximal "
        "gradient descent or FISTA with Positivity, which stay inside, or a background above zero");
  }
}

Reals Descent::lengthen(const Items& items) {
  constexpr double growth = 2.0;
  Reals factors(items.size(), 1.0);
  for (std::size_t i = 0; i < items.size() && options_.backtracking; ++i) {
    State& state = states_[i];
    if (!items.running(i)) {
      continue;
    }
    if (state.longer) {
      state.left = state.wait = 1;  // the last attempt was a success
    }
    state.longer = (--state.left <= 0 && state.clear) || state.blocked;
    if (state.longer) {
      factors[i] = growth;
      steps_[i] *= growth;
    }
  }
  return factors;
}

void Descent::watch(const Items& items, int iteration, const at::Tensor& z, const at::Tensor& grad, double limit) {
  if (options_.backtracking) {
    return;
  }
  const bool is_last = iteration == options_.max_iter;
  if (last_z_.defined() && (is_looked_at(iteration) || is_last)) {
    const at::Tensor moved = z - last_z_;
    const at::Tensor turned = grad - last_grad_;
    const auto products = products_.dots({{&moved, &turned}, {&moved, &moved}, {&z, &z}}, items.count());
    // Differences that round-off does not reach.
    const double clear = std::pow(1e4 * precision(z), 2);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const double squared = products[1][i].real();
      if (!items.running(i) || !(squared > 0.0)) {
        continue;
      }
      State& state = states_[i];
      const double curvature = products[0][i].real() / squared;  // at most the Lipschitz constant of ∇f
      state.curvature = std::max(state.curvature, curvature);
      const double last_squared = std::exchange(state.moved, squared);
      if (!(squared > clear * products[2][i].real()) || !(steps_[i] * curvature > (options_.step ? limit : 1.0))) {
        continue;
      }
      if (options_.step) {
        if (!(squared > last_squared)) {
          continue;  // a prior may hold what the step drives apart
        }
        throw Error(c10::str("step: ", steps_[i], " is too long, as the gradient's Lipschitz constant is at least ",
                             curvature, ": take at most ", 1.0 / curvature,
                             ", leave the step out, or ask for backtracking"));
      }
      steps_[i] = 1.0 / (1.02 * curvature);
    }
  }
  const bool needed_next = is_looked_at(iteration + 1) || iteration + 1 == options_.max_iter;
  last_z_ = needed_next ? z : at::Tensor();
  last_grad_ = needed_next ? grad : at::Tensor();
}

Reals Descent::pace() const {
  const bool blocked = std::ranges::any_of(states_, &State::blocked);
  if (!blocked && (!options_.step || options_.backtracking)) {
    return {};
  }
  Reals result(steps_.size(), 1.0);
  for (std::size_t i = 0; i < steps_.size() && options_.backtracking; ++i) {
    result[i] = states_[i].blocked ? -1.0 : 1.0;
  }
  if (options_.backtracking) {
    return result;
  }
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    result[i] = std::min(1.0, steps_[i] * states_[i].curvature);
  }
  return result;
}

}  // namespace adjoin
