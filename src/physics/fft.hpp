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

/// Transforms of one image after another between plain arrays on the CPU, planned once. ATen plans every call and
/// copies its operands to other layouts; this calls the MKL that libtorch carries directly, which takes half the time.
class ImageTransform {
 public:
  /// For images of `sizes` (two or three axes) and dtype float, double (half spectra as forward_real's) or a complex
  /// one. `padded`: with rows of the spectrum as row_length() says; otherwise one behind the other. Null where libtorch
  /// carries no MKL, as all of these.
  static std::shared_ptr<const ImageTransform> make(at::IntArrayRef sizes, at::ScalarType dtype, bool padded = true);
  /// The same over all axes but the last, of a complex dtype.
  static std::shared_ptr<const ImageTransform> make_leading(at::IntArrayRef sizes, at::ScalarType dtype);
  /// For `count` lines of `length` numbers of a complex dtype, one behind the other.
  static std::shared_ptr<const ImageTransform> make_lines(std::int64_t count, std::int64_t length,
                                                          at::ScalarType dtype);
  ImageTransform(const ImageTransform&) = delete;
  ImageTransform& operator=(const ImageTransform&) = delete;
  ~ImageTransform();

  /// From the start of a row of the spectrum to that of the next, in complex numbers: it is longer than the row, by
  /// numbers that are neither read nor written, since columns are quicker where rows take an odd number of cache lines.
  std::int64_t row_length() const { return row_length_; }

  // The arrays are of this transform's dtype; images of real numbers are contiguous. A real transform goes from one
  // array to another and leaves its source alone; a complex one works in place, image and spectrum being the same
  // array.
  void forward(const void* image, void* spectrum) const;
  void backward(const void* spectrum, void* image) const;

 private:
  ImageTransform() = default;
  /// `count` complex transforms in place, `distance` numbers apart. The strides follow the offset 0.
  static std::shared_ptr<const ImageTransform> make_in_place(at::IntArrayRef sizes, at::ScalarType dtype,
                                                             std::int64_t row_length,
                                                             const std::array<long, 4>& strides, std::int64_t count,
                                                             std::int64_t distance);
  void* forward_plan_ = nullptr;
  void* backward_plan_ = nullptr;
  bool in_place_ = false;
  std::int64_t row_length_ = 0;
};

/// Whether transforms of n points are quick: no prime factor above 7, but for one 11 or 13.
bool is_good_size(std::int64_t n);
/// The smallest such size ≥ n among the multiples of 2, or of 4 from 64 on.
std::int64_t good_size(std::int64_t n);

}  // namespace adjoin::fft
