// SPDX-License-Identifier: BSD-3-Clause
// Whether a result is the argument's alone, and leaves that as it is.
#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "physics/checks/trial.hpp"

namespace adjoin::checks {

std::string input_unchanged(Trial& trial) {
  for (const Sample& sample : trial.samples()) {
    for (const auto& [name, method] : trial.methods()) {
      const at::Tensor image = trial.drawn(sample.u);
      const at::Tensor measurements = trial.drawn(sample.v);
      const at::Tensor u = image.clone();
      const at::Tensor v = measurements.clone();
      (void)method(u, v);
      const double of_image = difference(u, image);
      const double of_measurements = difference(v, measurements);
      expect(of_image == 0.0 && of_measurements == 0.0, name, " changed its ",
             of_image == 0.0 ? "measurements" : "image", " in place, by ", std::max(of_image, of_measurements),
             " of the norm: compute into a new tensor (x * w, not x.mul_(w) or x *= w)");
    }
  }
  return "no method writes into its arguments";
}

std::string determinism(Trial& trial) {
  double largest = 0.0;
  for (const auto& [name, method] : trial.methods()) {
    for (const Sample& sample : trial.samples()) {
      const at::Tensor first = method(sample.u, sample.v).clone();
      const double again = difference(method(sample.u, sample.v), first);
      expect(again <= trial.tol(sample.dtype), name, " of one and the same argument gave two results, ", again,
             " of their norm apart (", sample.dtype,
             "): noise belongs into a noise model, and training modes such as dropout must be off");
      for (const Sample& other : trial.samples()) {
        (void)method(trial.drawn(other.u), trial.drawn(other.v));
      }
      const double later = difference(method(sample.u, sample.v), first);
      expect(later <= trial.tol(sample.dtype), name,
             " of one and the same argument gave another result after calls with ", "other arguments, ", later,
             " of the norm apart (", sample.dtype, "): something that was kept from a call depends on its argument");
      largest = std::max({largest, again, later});
    }
  }
  return c10::str("results of one argument differ by ", largest, " of their norm at most");
}

}  // namespace adjoin::checks
