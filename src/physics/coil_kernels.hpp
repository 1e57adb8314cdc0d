// The elementwise passes of multi-coil MRI over one coil image on the CPU. A complex array is either split into two
// planes or interleaved; entry i of its parts is at re[step * i] and im[step * i], step 1 or 2.
#pragma once

#include <cstdint>

namespace adjoin::coil {

template <class T>
struct Complex {
  T* re;
  T* im;
  int step;
};

/// coil = x · map.
void weight_by_map(Complex<const float> x, const float* map, float* coil, std::int64_t n);
void weight_by_map(Complex<const double> x, const double* map, double* coil, std::int64_t n);
/// x += conj(map) · coil, or x = … when `assign`.
void add_conjugate_weighted(const float* map, const float* coil, Complex<float> x, bool assign, std::int64_t n);
void add_conjugate_weighted(const double* map, const double* coil, Complex<double> x, bool assign, std::int64_t n);
/// y = weights · coil. The weights are real, or interleaved complex when `complex_weights`.
void sample(const float* weights, bool complex_weights, const float* coil, Complex<float> y, std::int64_t n);
void sample(const double* weights, bool complex_weights, const double* coil, Complex<double> y, std::int64_t n);
/// coil = conj(weights) · y.
void unsample(const float* weights, bool complex_weights, Complex<const float> y, float* coil, std::int64_t n);
void unsample(const double* weights, bool complex_weights, Complex<const double> y, double* coil, std::int64_t n);
/// coil *= factors, real.
void scale(const float* factors, float* coil, std::int64_t n);
void scale(const double* factors, double* coil, std::int64_t n);

}  // namespace adjoin::coil
