// SPDX-License-Identifier: BSD-3-Clause
// The weight of the data against the prior in proximal steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace adjoin {

/// γ > 0 and finite: one number for all items of a batch, or one for each.
class Gamma {
 public:
  Gamma(double value) : values_{value} {}  // NOLINT(google-explicit-constructor): prox_l2(z, y, 0.7)
  /// The elements of a real tensor, of any shape: one, or one an item.
  Gamma(const at::Tensor& values);  // NOLINT(google-explicit-constructor)

  /// One, or one an item.
  const std::vector<double>& values() const { return values_; }
  bool is_single() const { return values_.size() == 1; }
  /// What it was made of; undefined for a number.
  const at::Tensor& tensor() const { return tensor_; }

  /// Throws InvalidArgument, naming the method, unless all are above 0 and finite.
  void check_positive(const char* method) const;
  /// One for each of `items`. Throws InvalidArgument unless it holds one, or so many.
  std::vector<double> for_items(const char* method, std::int64_t items) const;
  /// As text, for messages and comparisons.
  std::string text() const;

 private:
  std::vector<double> values_;
  at::Tensor tensor_;
};

}  // namespace adjoin
