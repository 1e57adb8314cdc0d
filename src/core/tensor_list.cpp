// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic of lists, tensor by tensor.
#include "adjoin/core/tensor_list.hpp"

#include <ATen/ATen.h>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

void check_same_count(const TensorList& a, const TensorList& b) {
  check(a.size() == b.size(), "TensorList: both operands must have equally many entries, got ", a.size(), " and ",
        b.size());
}

template <class F>
TensorList map(const TensorList& a, F f) {
  TensorList result;
  result.reserve(a.size());
  for (const at::Tensor& entry : a) {
    result.push_back(f(entry));
  }
  return result;
}

template <class F>
TensorList map(const TensorList& a, const TensorList& b, F f) {
  check_same_count(a, b);
  TensorList result;
  result.reserve(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    result.push_back(f(a[i], b[i]));
  }
  return result;
}

}  // namespace

std::int64_t TensorList::numel() const {
  std::int64_t total = 0;
  for (const at::Tensor& entry : tensors_) {
    total += entry.numel();
  }
  return total;
}

TensorList TensorList::to(at::Device device) const {
  return map(*this, [&](const at::Tensor& t) { return t.to(device); });
}

TensorList TensorList::to(at::ScalarType dtype) const {
  return map(*this, [&](const at::Tensor& t) { return t.to(dtype); });
}

TensorList& TensorList::operator+=(const TensorList& other) {
  check_same_count(*this, other);
  for (std::size_t i = 0; i < size(); ++i) {
    tensors_[i].add_(other[i]);
  }
  return *this;
}

TensorList& TensorList::operator-=(const TensorList& other) {
  check_same_count(*this, other);
  for (std::size_t i = 0; i < size(); ++i) {
    tensors_[i].sub_(other[i]);
  }
  return *this;
}

TensorList& TensorList::operator*=(const at::Scalar& factor) {
  for (at::Tensor& entry : tensors_) {
    entry.mul_(factor);
  }
  return *this;
}

TensorList operator+(const TensorList& a, const TensorList& b) {
  return map(a, b, [](const at::Tensor& s, const at::Tensor& t) { return s + t; });
}

TensorList operator-(const TensorList& a, const TensorList& b) {
  return map(a, b, [](const at::Tensor& s, const at::Tensor& t) { return s - t; });
}

TensorList operator*(const TensorList& a, const TensorList& b) {
  return map(a, b, [](const at::Tensor& s, const at::Tensor& t) { return s * t; });
}

TensorList operator/(const TensorList& a, const TensorList& b) {
  return map(a, b, [](const at::Tensor& s, const at::Tensor& t) { return s / t; });
}

TensorList operator*(const TensorList& a, const at::Scalar& factor) {
  return map(a, [&](const at::Tensor& t) { return t * factor; });
}

TensorList operator*(const at::Scalar& factor, const TensorList& a) { return a * factor; }

TensorList operator/(const TensorList& a, const at::Scalar& divisor) {
  return map(a, [&](const at::Tensor& t) { return t / divisor; });
}

TensorList operator-(const TensorList& a) {
  return map(a, [](const at::Tensor& t) { return -t; });
}

}  // namespace adjoin
