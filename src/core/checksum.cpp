// SPDX-License-Identifier: BSD-3-Clause
// A hash of all bytes of a tensor, and the sum of a few of its elements.
#include "adjoin/core/checksum.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

namespace adjoin {

namespace {

constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;

std::uint64_t mixed(std::uint64_t state, std::uint64_t word) {
  const std::uint64_t product = (state ^ word) * odd;
  return product ^ (product >> 29U);
}

// Lanes that do not wait for each other keep up with the memory. A changed word changes its lane, since multiplication
// by an odd number loses nothing.
std::uint64_t hash_of(const unsigned char* data, std::size_t bytes) {
  constexpr std::size_t lanes = 8;
  constexpr std::size_t step = lanes * sizeof(std::uint64_t);
  std::array<std::uint64_t, lanes> state{};
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    state[lane] = odd * (lane + 1);
  }
  std::array<std::uint64_t, lanes> words{};
  const auto absorb = [&] {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const std::uint64_t product = (state[lane] ^ words[lane]) * odd;
      state[lane] = product ^ (product >> 32U);
    }
  };
  std::size_t begin = 0;
  for (; begin + step <= bytes; begin += step) {
    std::memcpy(words.data(), data + begin, step);
    absorb();
  }
  if (begin < bytes) {
    words = {};
    std::memcpy(words.data(), data + begin, bytes - begin);
    absorb();
  }
  std::uint64_t result = bytes;
  for (const std::uint64_t lane : state) {
    result = mixed(result, lane);
  }
  return result;
}

// Where the elements of a sample lie, as fractions of the tensor: multiples of the golden ratio, far from each other
// and from the rows of any image.
constexpr std::array<double, 8> places = {0.6180339887, 0.2360679775, 0.8541019662, 0.4721359550,
                                          0.0901699437, 0.7082039325, 0.3262379212, 0.9442719100};
constexpr std::array<double, 8> lane_weights = {1.0, 0.87, 0.76, 0.66, 0.57, 0.5, 0.435, 0.38};

// Elements from the start of the storage of the element that is `index`th in order.
std::int64_t offset_of(const at::Tensor& tensor, std::int64_t index) {
  if (tensor.is_contiguous()) {
    return index;
  }
  std::int64_t offset = 0;
  for (std::int64_t d = tensor.dim() - 1; d >= 0; --d) {
    offset += index % tensor.size(d) * tensor.stride(d);
    index /= tensor.size(d);
  }
  return offset;
}

double size_of(double value) { return std::abs(value) + 0.25 * value; }
double size_of(c10::complex<double> value) { return size_of(value.real()) + size_of(value.imag()); }

template <class T, class Wide>
double sample_sum_as(const at::Tensor& tensor) {
  const auto* const data = static_cast<const T*>(tensor.const_data_ptr());
  const auto numel = static_cast<double>(tensor.numel());
  double sum = 0.0;
  for (std::size_t k = 0; k < places.size(); ++k) {
    const auto index = static_cast<std::int64_t>(places[k] * numel);
    sum += lane_weights[k] * size_of(static_cast<Wide>(data[offset_of(tensor, index)]));
  }
  return sum;
}

}  // namespace

std::uint64_t checksum(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return 0;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
  std::uint64_t result = static_cast<std::uint64_t>(dense.scalar_type()) + 1;
  for (const std::int64_t size : dense.sizes()) {
    result = mixed(result, static_cast<std::uint64_t>(size));
  }
  return mixed(result, hash_of(static_cast<const unsigned char*>(dense.const_data_ptr()),
                               static_cast<std::size_t>(dense.nbytes())));
}

double sample_sum(const at::Tensor& tensor) {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  if (!tensor.defined() || !tensor.is_cpu() || tensor.layout() != at::kStrided) {
    return unknown;
  }
  if (tensor.numel() == 0) {
    return 0.0;
  }
  if (tensor.is_conj() || tensor.is_neg()) {
    return sample_sum(tensor.resolve_conj().resolve_neg());
  }
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return sample_sum_as<float, double>(tensor);
    case at::kDouble:
      return sample_sum_as<double, double>(tensor);
    case at::kComplexFloat:
      return sample_sum_as<c10::complex<float>, c10::complex<double>>(tensor);
    case at::kComplexDouble:
      return sample_sum_as<c10::complex<double>, c10::complex<double>>(tensor);
    default:
      return unknown;
  }
}

}  // namespace adjoin
