// What computes the arithmetic of the operators on the CPU of this machine, for reports.
#pragma once

#include <string>

namespace adjoin {

/// The library of Fourier transforms: "oneMKL of libtorch", "FFTW", or "ATen" where neither is there. The environment
/// variable ADJOIN_FFT ("mkl", "fftw", "torch") asks for one; throws Error when that cannot be used.
std::string transform_library();

/// The widest vectors that loops use: "plain", "avx2" or "avx512". The environment variable ADJOIN_SIMD, one of these,
/// asks for fewer; throws Error when the machine has not what it asks for.
std::string vector_instructions();

}  // namespace adjoin
