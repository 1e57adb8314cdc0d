// SPDX-License-Identifier: BSD-3-Clause
// A list of tensors that behaves as one vector: the measurements of a stack of operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace adjoin {

/// A list of tensors, of any shapes and dtypes, with entrywise arithmetic. Copies share the tensors, as copies of
/// at::Tensor do.
class TensorList {
 public:
  TensorList() = default;
  TensorList(std::initializer_list<at::Tensor> tensors) : tensors_(tensors) {}
  explicit TensorList(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {}
  /// `count` undefined tensors, to be assigned.
  explicit TensorList(std::size_t count) : tensors_(count) {}

  std::size_t size() const { return tensors_.size(); }
  bool empty() const { return tensors_.empty(); }
  at::Tensor& operator[](std::size_t i) { return tensors_[i]; }
  const at::Tensor& operator[](std::size_t i) const { return tensors_[i]; }
  auto begin() { return tensors_.begin(); }
  auto end() { return tensors_.end(); }
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }
  void push_back(at::Tensor tensor) { tensors_.push_back(std::move(tensor)); }
  void reserve(std::size_t count) { tensors_.reserve(count); }
  const std::vector<at::Tensor>& tensors() const { return tensors_; }

  /// Number of elements of all entries together.
  std::int64_t numel() const;
  /// Entrywise copies on another device or with another dtype.
  TensorList to(at::Device device) const;
  TensorList to(at::ScalarType dtype) const;

  /// In-place arithmetic. Lists must have equally many entries; throws InvalidArgument otherwise.
  TensorList& operator+=(const TensorList& other);
  TensorList& operator-=(const TensorList& other);
  TensorList& operator*=(const at::Scalar& factor);

 private:
  std::vector<at::Tensor> tensors_;
};

/// Entrywise arithmetic into new tensors. Lists must have equally many entries; throws InvalidArgument otherwise.
TensorList operator+(const TensorList& a, const TensorList& b);
TensorList operator-(const TensorList& a, const TensorList& b);
TensorList operator*(const TensorList& a, const TensorList& b);
TensorList operator/(const TensorList& a, const TensorList& b);
TensorList operator*(const TensorList& a, const at::Scalar& factor);
TensorList operator*(const at::Scalar& factor, const TensorList& a);
TensorList operator/(const TensorList& a, const at::Scalar& divisor);
TensorList operator-(const TensorList& a);

}  // namespace adjoin
