// SPDX-License-Identifier: BSD-3-Clause
// Status words written behind sums and before gathered parts, and the verdict that they give.
#include "distributed/exchange/status.hpp"

#include <ATen/ATen.h>
#include <c10/util/complex.h>

#include <cstring>

#include "adjoin/distributed/exchange/call_arguments.hpp"

namespace adjoin {

namespace {

// Calls f with the C++ type of a CPU tensor of a common dtype and returns true; false for other dtypes and devices,
// where no samples travel: few digits would not do, and a device would be waited for.
template <class F>
bool with_cpu_type(const at::Tensor& t, F f) {
  if (!t.is_cpu()) {
    return false;
  }
  switch (t.scalar_type()) {
    case at::kFloat:
      f(float{});
      return true;
    case at::kDouble:
      f(double{});
      return true;
    case at::kComplexFloat:
      f(c10::complex<float>{});
      return true;
    case at::kComplexDouble:
      f(c10::complex<double>{});
      return true;
    default:
      return false;
  }
}

double real_part(double value) { return value; }
double real_part(c10::complex<double> value) { return value.real(); }

// What a sample, or a sum of samples, of two ranks that are just within the tolerance can come to.
constexpr double suspicion = 0.1 * sample_tolerance * sample_tolerance;

// Where the confer flag and the sample are in a header.
constexpr std::int64_t sample_byte = 8;

}  // namespace

// The flag, the sample and its square: equal samples are those whose squares have the square of the mean as their mean.
void write_status(at::Tensor& flat, std::int64_t numel, const Status& status) {
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    T* words = static_cast<T*>(flat.mutable_data_ptr()) + numel;
    words[0] = static_cast<T>(status.confer ? 1.0F : 0.0F);
    words[1] = static_cast<T>(static_cast<typename c10::scalar_value_type<T>::type>(status.sample));
    words[2] = words[1] * words[1];
  });
  if (!done) {
    flat.narrow(0, numel, status_elements).fill_(status.confer ? 1 : 0);
  }
}

Verdict read_status(const at::Tensor& flat, std::int64_t numel, int ranks) {
  Verdict verdict;
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    const T* words = static_cast<const T*>(flat.const_data_ptr()) + numel;
    verdict.confer = words[0] != zero;
    const double sum = real_part(words[1]);
    const double squares = real_part(words[2]);
    verdict.unlike = ranks * squares - sum * sum > suspicion * sum * sum;
  });
  if (!done) {
    verdict.confer = flat.narrow(0, numel, 1).ne(0).item<bool>();
  }
  return verdict;
}

void write_header(at::Tensor& bytes, std::int64_t offset, const Status& status) {
  if (bytes.is_cpu()) {
    auto* const header = static_cast<std::uint8_t*>(bytes.mutable_data_ptr()) + offset;
    header[0] = static_cast<std::uint8_t>(status.confer);
    std::memcpy(header + sample_byte, &status.sample, sizeof(double));
  } else {
    bytes.narrow(0, offset, 1).fill_(static_cast<std::uint8_t>(status.confer));
  }
}

Verdict read_headers(const at::Tensor& bytes, const std::vector<std::int64_t>& offsets) {
  Verdict verdict;
  if (!bytes.is_cpu()) {
    const at::Tensor flags = bytes.index_select(0, at::tensor(offsets, at::kLong).to(bytes.device()));
    verdict.confer = flags.ne(0).any().item<bool>();
    return verdict;
  }
  double first = 0.0;
  for (const std::int64_t offset : offsets) {
    const auto* const header = static_cast<const std::uint8_t*>(bytes.const_data_ptr()) + offset;
    verdict.confer = verdict.confer || header[0] != 0;
    double sample = 0.0;
    std::memcpy(&sample, header + sample_byte, sizeof(double));
    first = offset == offsets.front() ? sample : first;
    verdict.unlike = verdict.unlike || unlike_samples(sample, first);
  }
  return verdict;
}

}  // namespace adjoin
