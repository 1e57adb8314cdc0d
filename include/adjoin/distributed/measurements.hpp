// SPDX-License-Identifier: BSD-3-Clause
// Measurements as an argument: all of them, or this rank's own.
#pragma once

#include "adjoin/core/sharded_tensor_list.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// All measurements of a stack in a list, the same on every rank; or those that this rank owns, in a list or as a
/// sharded vector. Refers to the list, which must outlive it.
class Measurements {
 public:
  Measurements(const TensorList& list) : list_(&list) {}  // NOLINT(google-explicit-constructor)
  Measurements(const ShardedTensorList& vector)           // NOLINT(google-explicit-constructor)
      : list_(&vector.local), space_(vector.space.get()), is_vector_(true) {}

  const TensorList& list() const { return *list_; }
  /// Whether it came as a sharded vector, whose space is space(), or null where no stack has made it.
  bool is_vector() const { return is_vector_; }
  const MeasurementSpace* space() const { return space_; }

  /// Whether it holds all measurements of that space. A list that is both, as one rank owns everything, is whole.
  bool is_whole(const MeasurementSpace& of) const {
    return !is_vector_ && static_cast<std::int64_t>(list_->size()) == of.total;
  }
  /// This rank's measurements. Throws InvalidArgument, in which `argument` names this, unless it holds those of the
  /// space `of`, all or this rank's.
  TensorList owned(const char* argument, const MeasurementSpace& of) const;

 private:
  const TensorList* list_;
  const MeasurementSpace* space_ = nullptr;
  bool is_vector_ = false;
};

}  // namespace adjoin
