// SPDX-License-Identifier: BSD-3-Clause
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
/// Rows of the parts of which an image is made: one, or the real and the imaginary part.
template <class T>
using Parts = std::array<T, 2>;

/// The function `primal` of tv_kernels.hpp on one row of n pixels.
template <class T>
using PrimalRow = void (*)(T* x, const T* b, const Rows<T>& p, const Rows<T>& before, std::int64_t n, T gamma, T lower,
                           T upper);
/// `dual_step` on one row of all parts.
template <class T>
using DualRow = void (*)(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<MutableRows<T>>& p,
                         const Parts<MutableRows<T>>& r, std::int64_t n, T step, T beta);
/// `gap` on one row of all parts, without its product where the rows of p are null.
template <class T>
using GapRow = double (*)(const Parts<const T*>& x, const Parts<Rows<T>>& after, const Parts<Rows<T>>& p,
                          std::int64_t n);

/// The functions for `dims` spatial dimensions, 2 or 3, and `parts`, 1 or 2.
template <class T>
PrimalRow<T> primal_row(std::size_t dims);
template <class T>
DualRow<T> dual_row(std::size_t dims, std::size_t parts);
template <class T>
GapRow<T> gap_row(std::size_t dims, std::size_t parts);

}  // namespace adjoin::tv
