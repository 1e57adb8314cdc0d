// SPDX-License-Identifier: BSD-3-Clause
// That items of a batch are independent.
#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "physics/checks/trial.hpp"

namespace adjoin::checks {

namespace {

// Of an operator that takes one size of batches: other items do not change the first.
std::string independent(Trial& trial, const Sample& sample, const std::string& refused) {
  if (trial.x().size(0) < 2) {
    throw Nothing{"takes no batch of another size: " + refused};
  }
  at::Tensor other = trial.drawn(sample.u);
  other[0].copy_(sample.u[0]);
  const at::Tensor y = trial.A(other);
  expect(y.sizes() == sample.Au.sizes() && y.dim() > 0 && y.size(0) == trial.x().size(0), "A of a batch of ",
         trial.x().size(0), " gave the shape ", y.sizes(), ", whose dimension 0 is not that of the batch");
  const double change = difference(y[0], sample.Au[0]);
  expect(change <= trial.tol(sample.dtype), "A of the first item of a batch depends on the others: it changed by ",
         change, " of its norm with them. Items of a batch are independent.");
  return c10::str("items of a batch are independent, to ", change, "; no batch of another size: ", refused);
}

}  // namespace

std::string batches(Trial& trial) {
  if (!trial.options().batches || trial.x().dim() < 2) {
    throw Nothing{trial.options().batches ? "the image has no axis for batches" : "not asked for"};
  }
  const Sample& sample = trial.samples().front();
  std::vector<std::int64_t> sizes = sample.u.sizes().vec();
  sizes[0] = 3 * trial.x().size(0);
  const at::Tensor batch = trial.drawn(at::empty(sizes, sample.u.options()));
  at::Tensor y;
  try {
    y = trial.A(batch);
  } catch (const std::exception& error) {
    return independent(trial, sample, first_line(error));
  }
  const auto expect_alone = [&](const char* name, const at::Tensor& whole, const auto& map) {
    double largest = 0.0;
    for (std::int64_t first = 0; first + trial.x().size(0) <= sizes[0]; first += trial.x().size(0)) {
      const at::Tensor alone = map(first, trial.x().size(0));
      std::vector<std::int64_t> shape = alone.sizes().vec();
      expect(!shape.empty() && shape[0] == trial.x().size(0), name, " of a batch of ", trial.x().size(0),
             " gave the shape ", alone.sizes(), ", whose dimension 0 is not that of the batch");
      shape[0] = sizes[0];
      expect(whole.sizes() == at::IntArrayRef(shape), name, " of a batch of ", sizes[0], " gave the shape ",
             whole.sizes(), ", and of a batch of ", trial.x().size(0), " ", alone.sizes(),
             ": only dimension 0 may depend on the batch");
      largest = std::max(largest, difference(whole.narrow(0, first, trial.x().size(0)), alone));
      expect(largest <= trial.tol(sample.dtype), name,
             " treats an item of a batch not as it does alone: the results are ", largest,
             " of their norm apart. Items of a batch are independent.");
    }
    return largest;
  };
  const auto part = [](const at::Tensor& t, std::int64_t first, std::int64_t count) {
    return t.narrow(0, first, count).contiguous();
  };
  const double of_A =
      expect_alone("A", y, [&](std::int64_t first, std::int64_t count) { return trial.A(part(batch, first, count)); });
  const at::Tensor v = trial.drawn(y);
  const double of_adjoint =
      expect_alone("A_adjoint", trial.A_adjoint(v, batch), [&](std::int64_t first, std::int64_t count) {
        return trial.A_adjoint(part(v, first, count), part(batch, first, count));
      });
  return c10::str("items of a batch are treated as alone, to ", std::max(of_A, of_adjoint));
}

}  // namespace adjoin::checks
