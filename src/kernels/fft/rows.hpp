// SPDX-License-Identifier: BSD-3-Clause
// Transforms of the rows of images, as many at once as is quickest.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>

#include "kernels/fft/transform.hpp"
#include "kernels/fft/wide_rows.hpp"

namespace adjoin::fft {

/// Of rows of one length, unnormalised: real ones from one array to another, of half spectra, complex ones in place, as
/// Transform. Several threads may use one at once.
class RowTransform {
 public:
  /// The most rows of a call.
  static constexpr int most = WideRows::most;

  /// Of n numbers of a dtype. Null where no library serves.
  static std::shared_ptr<const RowTransform> make(std::int64_t n, c10::ScalarType dtype);

  int at_once() const { return wide_ != nullptr ? wide_->at_once() : 1; }
  /// Of the first `count` rows, at most at_once(). Sources stay as they are, unless they are the spectra.
  void forward(const void* const* sources, void* const* spectra, int count) const;
  /// Spectra of real rows may be overwritten.
  void backward(void* const* spectra, void* const* targets, int count) const;

 private:
  RowTransform() = default;
  std::shared_ptr<const Transform> one_;
  std::shared_ptr<const WideRows> wide_;  // or null
};

}  // namespace adjoin::fft
