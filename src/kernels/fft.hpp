// The discrete Fourier transforms of the imaging operators, unnormalised, over the trailing axes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <array>
#include <cstdint>
#include <memory>

namespace adjoin::fft {

// Differentiable, on any device.

/// Σ x e^{−2πi jk/n} over the last `rank` axes of complex x.
at::Tensor forward(const at::Tensor& x, std::int64_t rank);
/// Σ x e^{+2πi jk/n} over the last `rank` axes of complex x.
at::Tensor backward(const at::Tensor& x, std::int64_t rank);
/// Both over the given axes, counted from 0; none leave x as it is.
at::Tensor forward_along(const at::Tensor& x, at::IntArrayRef axes);
at::Tensor backward_along(const at::Tensor& x, at::IntArrayRef axes);
/// `forward` of real x; the last axis keeps its n / 2 + 1 non-negative frequencies.
at::Tensor forward_real(const at::Tensor& x, std::int64_t rank);
/// `backward` of a spectrum laid out as forward_real's, for a last axis of `last_size` real values.
at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size);

/// A transform between plain arrays on the CPU, planned once. ATen plans every call and copies its operands to other
/// layouts; this calls the MKL that libtorch carries directly, which takes half the time.
class Transform {
 public:
  /// Of arrays of `sizes` (one to three axes), rows one behind the other, and a dtype float or double (half spectra as
  /// forward_real's) or a complex one. Null where libtorch carries no MKL.
  static std::shared_ptr<const Transform> make(at::IntArrayRef sizes, at::ScalarType dtype);
  /// Of a block of neighbouring columns of a complex array of `sizes` (two or three axes) in padded rows, over all axes
  /// but the last. Null as above.
  static std::shared_ptr<const Transform> make_columns(at::IntArrayRef sizes, at::ScalarType dtype);
  Transform(const Transform&) = delete;
  Transform& operator=(const Transform&) = delete;
  ~Transform();

  // The arrays are of this transform's dtype. A real transform goes from one array to another and leaves its source
  // alone; a complex one works in place, both being the same array.
  void forward(const void* source, void* spectrum) const;
  void backward(const void* spectrum, void* target) const;

 private:
  Transform() = default;
  /// `count` complex transforms in place that begin one number apart. The strides follow the offset 0.
  static std::shared_ptr<const Transform> make_in_place(at::IntArrayRef sizes, at::ScalarType dtype,
                                                        const std::array<long, 4>& strides, std::int64_t count);
  void* forward_plan_ = nullptr;
  void* backward_plan_ = nullptr;
  bool in_place_ = false;
};

/// Complex numbers from the start of a row of `numel` to that of the next: an odd number of cache lines, since the
/// columns of an array whose rows are a power of two apart share few sets of the caches.
std::int64_t padded_row(std::int64_t numel, at::ScalarType dtype);
/// kernels::columns_in_block. Padded rows are a multiple of it.
std::int64_t columns_in_block(at::ScalarType dtype);

/// Whether transforms of n points are quick: no prime factor above 7, but for one 11 or 13.
bool is_good_size(std::int64_t n);
/// The smallest such size ≥ n among the multiples of 2, or of 4 from 64 on.
std::int64_t good_size(std::int64_t n);

}  // namespace adjoin::fft
