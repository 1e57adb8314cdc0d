// SPDX-License-Identifier: BSD-3-Clause
// Fourier transforms between plain arrays on the CPU, planned once: by the library that is in use.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <memory>

namespace adjoin::fft {

/// Unnormalised: forward Σ x e^{−2πi jk/n}, backward Σ x e^{+2πi jk/n}. The arrays are of the dtype that the transform
/// was made for. A real transform goes from one array to another; a complex one works in place, both being the same
/// array. Several threads may use one at once; each transform runs on one thread.
class Transform {
 public:
  /// Of arrays of `sizes` (one to three axes), rows one behind the other, and a dtype float or double (half spectra, of
  /// n / 2 + 1 frequencies along the last axis) or a complex one. Null where no library serves (Library::torch).
  static std::shared_ptr<const Transform> make(at::IntArrayRef sizes, at::ScalarType dtype);
  /// Of a block of neighbouring columns (columns_in_block) of a complex array of `sizes` (two or three axes) in padded
  /// rows, over all axes but the last. Null as above.
  static std::shared_ptr<const Transform> make_columns(at::IntArrayRef sizes, at::ScalarType dtype);

  virtual ~Transform() = default;
  /// `source` stays as it is, unless it is `spectrum`.
  virtual void forward(const void* source, void* spectrum) const = 0;
  /// Over several axes, the spectrum is overwritten.
  virtual void backward(void* spectrum, void* target) const = 0;
};

/// What a library is to plan: transforms along `axes`, as many as `count`, which begin one number apart.
struct Plan {
  struct Axis {
    std::int64_t size;
    std::int64_t source_stride;  // numbers of the source from one point to the next, and of the spectrum
    std::int64_t spectrum_stride;
  };
  c10::SmallVector<Axis, 3> axes;
  c10::ScalarType dtype;
  std::int64_t count = 1;

  bool is_complex() const { return c10::isComplexType(dtype); }
  bool is_double() const { return c10::toRealValueType(dtype) == c10::ScalarType::Double; }
};

}  // namespace adjoin::fft
