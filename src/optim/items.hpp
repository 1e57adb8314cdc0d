// SPDX-License-Identifier: BSD-3-Clause
// Images that hold independent problems along dimension 0, each with numbers of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "adjoin/core/norms.hpp"

namespace adjoin {

/// Of what is not known.
inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// A yes or no an item.
using Choice = c10::SmallVector<bool, 2>;

/// The items of `yes` where the choice is yes, those of `no` elsewhere; new memory unless all are of one of the two.
at::Tensor choose(const Choice& choice, const at::Tensor& yes, const at::Tensor& no);
/// x − factor g, item by item.
at::Tensor subtract(const at::Tensor& x, const at::Tensor& g, const Reals& factors);
/// a + weight (b − a), item by item.
at::Tensor interpolate(const at::Tensor& a, const at::Tensor& b, const Reals& weights);

/// Which problems still run.
class Items {
 public:
  explicit Items(std::int64_t count) : running_(static_cast<std::size_t>(count), true) {}

  std::int64_t count() const { return static_cast<std::int64_t>(running_.size()); }
  std::size_t size() const { return running_.size(); }
  bool running(std::size_t item) const { return running_[item]; }
  bool any_running() const {
    return std::ranges::any_of(running_, [](bool r) { return r; });
  }
  void stop(std::size_t item) { running_[item] = false; }
  /// `next` with `last` in place of the items that have stopped.
  at::Tensor keep(const at::Tensor& next, const at::Tensor& last) const { return choose(running_, next, last); }

 private:
  Choice running_;
};

}  // namespace adjoin
