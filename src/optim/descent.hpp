// SPDX-License-Identifier: BSD-3-Clause
// Steps of gradient methods: their length, and what shows that it is wrong.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <limits>

#include "adjoin/core/norms.hpp"
#include "adjoin/optim/data_term.hpp"
#include "adjoin/optim/optimise.hpp"
#include "optim/items.hpp"
#include "optim/products.hpp"

namespace adjoin {

/// The steps of each item of one run, from points z, where value and gradient of the smooth part are known.
class Descent {
 public:
  /// Starts from the step of the options, else from 1/lipschitz where that is finite, else from 1 if backtracking will
  /// mend it. Throws InvalidArgument where there is none.
  Descent(const OptimOptions& options, const Products& products, const Items& items, double lipschitz);

  const Reals& steps() const { return steps_; }
  void set_steps(double step) { std::ranges::fill(steps_, step); }

  /// x⁺ = next(steps) from z. With backtracking, steps are shortened until f(x⁺) ≤ f(z) + ⟨∇f(z), x⁺ − z⟩ +
  /// ‖x⁺ − z‖² / (2 step); `value` gives f(x⁺) and is asked only then.
  at::Tensor operator()(const Items& items, const at::Tensor& z, const ItemValues& here,
                        c10::function_ref<at::Tensor(const Reals& steps)> next,
                        c10::function_ref<Reals(const at::Tensor& x)> value);
  /// Makes steps longer that have served, for the next iteration, where backtracking is asked for. Returns by how much.
  Reals lengthen(const Items& items);

  /// Compares the curvature of f on the way from the point of the last call to z with the steps: where that proves a
  /// step too long, `limit` over the curvature or more, it is shortened, or, if the options set it and the images move
  /// farther and farther, an Error. Looks at a few iterations only, as it takes a few passes over an image.
  void watch(const Items& items, int iteration, const at::Tensor& z, const at::Tensor& grad, double limit);
  /// Steps as parts of full ones, 1 over the curvature; empty where they are full. Below zero where the edge of f's
  /// domain makes them short, so that no length of them is taken for convergence.
  Reals pace() const;

 private:
  struct State {
    int wait = 1;                                            // iterations between attempts to lengthen
    int left = 1;                                            // until the next attempt
    bool longer = false;                                     // whether the step is such an attempt
    bool clear = true;                                       // whether the last comparison was well above round-off
    bool tried = false;                                      // whether the last step began as such an attempt
    bool edge = false;                                       // whether f was infinite at one of its lengths
    bool blocked = false;                                    // whether f is infinite where a longer step leads
    double refused = 0.0;                                    // the longest step where it was, since it is blocked
    int stuck = 0;                                           // iterations that this leaves no way to go
    double curvature = 0;                                    // the largest that was seen
    double moved = std::numeric_limits<double>::infinity();  // ‖z − last z‖² when it was last looked at
  };

  void check_way(State& state, double step, double moved, double size) const;

  const OptimOptions& options_;
  const Products& products_;
  Reals steps_;
  c10::SmallVector<State, 2> states_;
  at::Tensor last_z_;
  at::Tensor last_grad_;
};

}  // namespace adjoin
