// SPDX-License-Identifier: BSD-3-Clause
// What computes the arithmetic of the operators on the CPU of this machine, for reports.
#pragma once

#include <string>

namespace adjoin {

/// What computes Fourier transforms: "oneMKL of libtorch", "FFTW", or "ATen" where neither is there; "adjoin and" one
/// of the first two on machines with AVX-512, where adjoin's own passes do all sizes without prime factors above 13,
/// and the library the rest. The environment variable ADJOIN_FFT ("mkl", "fftw", "torch") asks for a library alone;
/// throws Error when that cannot be used.
std::string transform_library();

/// The widest vectors that loops use: "plain", "avx2" or "avx512". The environment variable ADJOIN_SIMD, one of these,
/// asks for fewer; throws Error when the machine has not what it asks for.
std::string vector_instructions();

}  // namespace adjoin
