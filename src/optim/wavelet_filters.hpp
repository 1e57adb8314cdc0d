// SPDX-License-Identifier: BSD-3-Clause
// Tables of orthonormal wavelets. Each holds the reconstruction low-pass filters of a family, order after order;
// filters grow by a fixed number of taps with each order.
#pragma once

namespace adjoin::wavelet_filters {

extern const double daubechies[];  // db1 … db38: 2 taps an order
extern const double symlets[];     // sym2 … sym20: 2 taps an order
extern const double coiflets[];    // coif1 … coif17: 6 taps an order

}  // namespace adjoin::wavelet_filters
