// The arithmetic of total variation on rows of pixels: runs along the last dimension of an image.
//
// Free of torch, since this file is compiled without errno for square roots, which a precompiled header does not allow.
#pragma once

#include <array>
#include <cstdint>

namespace adjoin::tv {

/// One row for each spatial dimension: of the components of a dual variable, or of the neighbours before and after a
/// row of an image along all dimensions but the last. With two dimensions the third is not used.
template <class T>
using Rows = std::array<const T*, 3>;
template <class T>
using MutableRows = std::array<T*, 3>;

/// The functions `primal`, `dual_step` and `gap` of tv_kernels.hpp on one row of n pixels. The gap without its product
/// where the rows of p are null.
template <class T>
using PrimalRow = void (*)(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma, T lower,
                           T upper);
template <class T>
using DualRow = void (*)(const T* x, const Rows<T>& after, const MutableRows<T>& p, const MutableRows<T>& r,
                         std::int64_t n, T step, T beta);
template <class T>
using GapRow = double (*)(const T* x, const Rows<T>& after, const Rows<T>& p, std::int64_t n);

// In 2 and 3 dimensions.
void primal_row_2(float*, const float*, const Rows<float>&, const Rows<float>&, std::int64_t, float, float, float);
void primal_row_3(float*, const float*, const Rows<float>&, const Rows<float>&, std::int64_t, float, float, float);
void primal_row_2(double*, const double*, const Rows<double>&, const Rows<double>&, std::int64_t, double, double,
                  double);
void primal_row_3(double*, const double*, const Rows<double>&, const Rows<double>&, std::int64_t, double, double,
                  double);
void dual_row_2(const float*, const Rows<float>&, const MutableRows<float>&, const MutableRows<float>&, std::int64_t,
                float, float);
void dual_row_3(const float*, const Rows<float>&, const MutableRows<float>&, const MutableRows<float>&, std::int64_t,
                float, float);
void dual_row_2(const double*, const Rows<double>&, const MutableRows<double>&, const MutableRows<double>&,
                std::int64_t, double, double);
void dual_row_3(const double*, const Rows<double>&, const MutableRows<double>&, const MutableRows<double>&,
                std::int64_t, double, double);
double gap_row_2(const float*, const Rows<float>&, const Rows<float>&, std::int64_t);
double gap_row_3(const float*, const Rows<float>&, const Rows<float>&, std::int64_t);
double gap_row_2(const double*, const Rows<double>&, const Rows<double>&, std::int64_t);
double gap_row_3(const double*, const Rows<double>&, const Rows<double>&, std::int64_t);

}  // namespace adjoin::tv
