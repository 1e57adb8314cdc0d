// SPDX-License-Identifier: BSD-3-Clause
// This rank's own measurements out of all of them, or as they are.
#include "adjoin/distributed/measurements.hpp"

#include "adjoin/core/errors.hpp"

namespace adjoin {

TensorList Measurements::owned(const char* argument, const MeasurementSpace& of) const {
  if (is_vector_) {
    check(space_ != nullptr && space_->total == of.total && space_->indices == of.indices, argument,
          ": must be sharded as this stack, over ", of.total, " operators, got a list of ",
          space_ == nullptr ? 0 : space_->total);
  }
  const bool whole = is_whole(of);
  check(whole || list_->size() == of.indices.size(), argument, ": must hold ", of.total,
        " tensors, one for each operator, or ", of.indices.size(), ", one for each operator of this rank, got ",
        list_->size());
  TensorList part;
  part.reserve(of.indices.size());
  for (std::size_t k = 0; k < of.indices.size(); ++k) {
    part.push_back((*list_)[whole ? static_cast<std::size_t>(of.indices[k]) : k]);
  }
  return part;
}

}  // namespace adjoin
