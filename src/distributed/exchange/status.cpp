#include "distributed/exchange/status.hpp"

#include <ATen/ATen.h>

#include <cstring>

namespace adjoin {

namespace {

// Calls f with the C++ type of a CPU tensor of a common dtype and returns true; false for other dtypes and devices.
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

}  // namespace

void write_status(at::Tensor& flat, std::int64_t numel, bool confer) {
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    T* words = static_cast<T*>(flat.mutable_data_ptr()) + numel;
    words[0] = static_cast<T>(confer ? 1.0F : 0.0F);
    words[1] = zero;
    words[2] = zero;
  });
  if (!done) {
    flat.narrow(0, numel, status_elements).fill_(confer ? 1 : 0);
  }
}

bool read_status(const at::Tensor& flat, std::int64_t numel) {
  bool confer = false;
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    confer = static_cast<const T*>(flat.const_data_ptr())[numel] != zero;
  });
  return done ? confer : flat.narrow(0, numel, 1).ne(0).item<bool>();
}

void write_header(at::Tensor& bytes, std::int64_t offset, bool confer) {
  if (bytes.is_cpu()) {
    static_cast<std::uint8_t*>(bytes.mutable_data_ptr())[offset] = static_cast<std::uint8_t>(confer);
  } else {
    bytes.narrow(0, offset, 1).fill_(static_cast<std::uint8_t>(confer));
  }
}

bool read_headers(const at::Tensor& bytes, const std::vector<std::int64_t>& offsets) {
  bool confer = false;
  for (const std::int64_t offset : offsets) {
    confer = confer || (bytes.is_cpu() ? static_cast<const std::uint8_t*>(bytes.const_data_ptr())[offset] != 0
                                       : bytes.narrow(0, offset, 1).item<std::uint8_t>() != 0);
  }
  return confer;
}

}  // namespace adjoin
