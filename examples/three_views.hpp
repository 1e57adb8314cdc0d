// SPDX-License-Identifier: BSD-3-Clause
// The photograph's three views of the examples.
#pragma once

#include <memory>
#include <vector>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/physics/noise.hpp"

namespace adjoin::example {

/// A sharp view with little noise, and two that are worse. A seed a view: the noise does not depend on the ranks.
inline std::vector<LinearPhysicsPtr> make_views() {
  std::vector<LinearPhysicsPtr> views;
  const auto add = [&](const at::Tensor& kernel, double noise) {
    views.push_back(std::make_shared<Blur>(kernel, BlurOptions{.padding = Padding::Circular}));
    views.back()->set_noise(gaussian_noise(noise, views.size()));
  };
  add(gaussian_kernel({1.0, 1.0}), 0.03);
  add(gaussian_kernel({2.0, 2.0}), 0.05);
  add(gaussian_kernel({1.5, 3.0}, 30.0), 0.04);
  return views;
}

}  // namespace adjoin::example
