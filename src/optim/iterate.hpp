// SPDX-License-Identifier: BSD-3-Clause
// The loop behind optimise(), for algorithms that know of the items of a batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "adjoin/core/norms.hpp"
#include "adjoin/optim/optimise.hpp"
#include "optim/items.hpp"
#include "optim/products.hpp"

namespace adjoin {

/// What an iteration made of the last image.
struct Step {
  at::Tensor x;
  double objective = std::numeric_limits<double>::quiet_NaN();
  /// The image whose distance from the last one is the progress; undefined: x.
  at::Tensor candidate = {};
  /// What must vanish as well, measured against the image; may be undefined.
  at::Tensor disagreement = {};
  /// The measure of progress of all items, where it is none of these.
  std::optional<double> change = {};
  /// Steps of each item as parts of full ones: progress of short steps counts for as much more. Empty: full steps.
  Reals pace = {};
};

struct Loop {
  std::string_view title;
  std::int64_t items = 1;
  const OptimOptions& options;
  /// As in optimise().
  OnAllRanks on_all_ranks = {};
  /// What else to change where the images are not numbers any more, ", …".
  std::string advice = {};
  Products products = Products();
};

/// As optimise(). Each item stops by itself, and then stays as it is; a step keeps such items by Items::keep.
OptimResult iterate(const Loop& loop, const at::Tensor& x0,
                    const std::function<Step(const at::Tensor& x, int iteration, Items& items)>& step);

}  // namespace adjoin
