// SPDX-License-Identifier: BSD-3-Clause
// The choice of a library: one that is found, that computes two small transforms right, and that the environment
// allows.
#include "kernels/fft/library.hpp"

#include <c10/util/StringUtil.h>
#include <c10/util/complex.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/simd.hpp"
#include "kernels/fft/fftw.hpp"
#include "kernels/fft/mkl.hpp"

namespace adjoin::fft {
namespace {

constexpr std::array<std::string_view, 3> names = {"mkl", "fftw", "torch"};

/// Σ_j x_j e^{−2πi jk/n}, by its definition.
c10::complex<double> coefficient(const std::vector<double>& x, std::size_t k) {
  c10::complex<double> sum = 0.0;
  const auto n = static_cast<double>(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double angle = -2.0 * std::numbers::pi * static_cast<double>(j * k % x.size()) / n;
    sum += x[j] * c10::complex<double>(std::cos(angle), std::sin(angle));
  }
  return sum;
}

/// Whether a real transform of 12 points and a complex one of 10 give what the definition says, there and back.
template <class T>
bool computes(std::shared_ptr<const Transform> (*make)(const Plan&)) {
  constexpr auto real = c10::CppTypeToScalarType<T>::value;
  const double tolerance = real == c10::kFloat ? 1e-4 : 1e-12;
  for (const bool complex : {false, true}) {
    const std::int64_t n = complex ? 10 : 12;
    const auto transform = make({.axes = {{n, 1, 1}}, .dtype = complex ? c10::toComplexType(real) : real, .count = 1});
    if (transform == nullptr) {
      return false;
    }
    std::vector<double> x;
    x.reserve(static_cast<std::size_t>(n));
    for (std::int64_t j = 0; j < n; ++j) {
      x.push_back(std::sin(0.7 * static_cast<double>(j * j) + 1.0));
    }
    std::vector<T> image(static_cast<std::size_t>(complex ? 2 * n : n), T(0));
    for (std::size_t j = 0; j < x.size(); ++j) {
      image[complex ? 2 * j : j] = static_cast<T>(x[j]);
    }
    std::vector<T> apart(static_cast<std::size_t>(n + 2));
    std::vector<T>& spectrum = complex ? image : apart;
    transform->forward(image.data(), spectrum.data());
    for (std::size_t k = 0; 2 * k + 1 < spectrum.size() && k < x.size(); ++k) {
      const c10::complex<double> got(spectrum[2 * k], spectrum[2 * k + 1]);
      if (!(std::abs(got - coefficient(x, k)) < tolerance)) {
        return false;
      }
    }
    transform->backward(spectrum.data(), image.data());
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (!(std::abs(image[complex ? 2 * j : j] / static_cast<double>(n) - x[j]) < tolerance)) {
        return false;
      }
    }
  }
  return true;
}

/// The name that the environment asks for, or none.
std::string_view asked_for() {
  const char* name = std::getenv("ADJOIN_FFT");
  return name == nullptr ? "" : name;
}

Library chosen() {
  if (const std::string_view name = asked_for(); !name.empty()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) {
        const auto wanted = static_cast<Library>(i);
        if (!serves(wanted)) {
          throw Error(c10::str("ADJOIN_FFT asks for ", to_string(wanted), ", which is not there"));
        }
        return wanted;
      }
    }
    throw InvalidArgument(c10::str("ADJOIN_FFT must be mkl, fftw or torch, got '", name, "'"));
  }
  return serves(Library::mkl) ? Library::mkl : serves(Library::fftw) ? Library::fftw : Library::torch;
}

}  // namespace

Library library() {
  static const Library library = chosen();
  return library;
}

bool uses_wide_transforms() {
  static const bool wide =
      library() != Library::torch && instruction_set() == InstructionSet::avx512 && asked_for().empty();
  return wide;
}

std::string_view to_string(Library library) {
  switch (library) {
    case Library::mkl:
      return "oneMKL of libtorch";
    case Library::fftw:
      return "FFTW";
    case Library::torch:
      break;
  }
  return "ATen";
}

bool serves(Library library) {
  switch (library) {
    case Library::mkl:
      return computes<float>(make_with_mkl) && computes<double>(make_with_mkl);
    case Library::fftw:
      return computes<float>(make_with_fftw) && computes<double>(make_with_fftw);
    case Library::torch:
      break;
  }
  return true;
}

}  // namespace adjoin::fft
