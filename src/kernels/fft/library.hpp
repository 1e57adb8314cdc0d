// SPDX-License-Identifier: BSD-3-Clause
// Which library computes the Fourier transforms between plain arrays on the CPU.
#pragma once

#include <cstdint>
#include <string_view>

namespace adjoin::fft {

enum class Library : std::uint8_t {
  mkl,   ///< oneMKL, which libtorch contains on x86
  fftw,  ///< FFTW 3, where the system has its libraries
  torch  ///< neither: ATen transforms whole images
};

/// The one in use: the first of these that is there and computes a few small transforms rightly, or the one that the
/// environment variable ADJOIN_FFT names ("mkl", "fftw", "torch"). Found at the first question. Throws Error when the
/// named one cannot be used.
Library library();
std::string_view to_string(Library library);

/// Whether adjoin's own passes (wide.hpp) do what they can, and the library the rest: on machines with AVX-512, unless
/// ADJOIN_FFT names a library.
bool uses_wide_transforms();

/// Whether it is there and computes a few small transforms rightly.
bool serves(Library library);

}  // namespace adjoin::fft
