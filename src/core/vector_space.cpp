// SPDX-License-Identifier: BSD-3-Clause
// How vectors are made and compared: zeros, copies, random ones, the space and the items that two have in common.
#include "adjoin/core/vector_space.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "adjoin/core/errors.hpp"
#include "core/common_space.hpp"

namespace adjoin {

bool same_space(const MeasurementSpace& a, const MeasurementSpace& b) {
  return &a == &b || (a.weight == b.weight && a.total == b.total && a.indices == b.indices && a.share == b.share &&
                      (a.reducer == nullptr) == (b.reducer == nullptr));
}

const MeasurementSpace& common_space(const char* operation, const ShardedTensorList& a, const ShardedTensorList& b) {
  check(a.space != nullptr && b.space != nullptr, operation, ": sharded lists must be those that a stack has made");
  const auto described = [](const MeasurementSpace& space) {
    return c10::str(space.indices.size(), " of ", space.total, " tensors here, weight ", space.weight);
  };
  if (!same_space(*a.space, *b.space)) [[unlikely]] {
    check(false, operation, ": vectors must be of one space of measurements, got ", described(*a.space), " and ",
          described(*b.space));
  }
  return *a.space;
}

ItemShare own_items(const MeasurementSpace& space, std::int64_t items) {
  if (items == 1 || !space.share) {
    return {0, items, items};
  }
  check(space.share->total == items, "vector: must have ", space.share->total, " items, got ", items);
  return *space.share;
}

at::Tensor zeros_like(const at::Tensor& a) { return at::zeros(a.sizes(), a.options()); }

TensorList zeros_like(const TensorList& a) {
  TensorList result;
  result.reserve(a.size());
  for (const at::Tensor& entry : a) {
    result.push_back(adjoin::zeros_like(entry));
  }
  return result;
}

ShardedTensorList zeros_like(const ShardedTensorList& a) {
  ShardedTensorList result = a;
  result.local = adjoin::zeros_like(a.local);
  return result;
}

at::Tensor clone(const at::Tensor& a) { return a.clone(at::MemoryFormat::Contiguous); }

TensorList clone(const TensorList& a) {
  TensorList result;
  result.reserve(a.size());
  for (const at::Tensor& entry : a) {
    result.push_back(adjoin::clone(entry));
  }
  return result;
}

ShardedTensorList clone(const ShardedTensorList& a) {
  ShardedTensorList result = a;
  result.local = adjoin::clone(a.local);
  return result;
}

at::Tensor randn_like(const at::Tensor& a, std::uint64_t seed) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(a.sizes(), generator, a.options().device(at::kCPU).requires_grad(false)).to(a.device());
}

std::int64_t common_items(const at::Tensor& x, const at::Tensor& y) {
  return x.dim() > 1 && y.dim() > 1 && x.size(0) == y.size(0) ? x.size(0) : 1;
}

std::int64_t common_items(const at::Tensor& x, const TensorList& y) {
  for (const at::Tensor& entry : y) {
    if (common_items(x, entry) != x.size(0)) {
      return 1;
    }
  }
  return x.dim() > 1 ? x.size(0) : 1;
}

}  // namespace adjoin
