// SPDX-License-Identifier: BSD-3-Clause
// Norms whose squares a double cannot hold.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "adjoin/core/norms.hpp"
#include "adjoin/core/sharded_image.hpp"
#include "adjoin/core/vector_space.hpp"
#include "core/common_space.hpp"

namespace adjoin {

namespace {

using Complex = c10::complex<double>;

// Squares are summed in three groups, each in units in which they neither overflow nor underflow (Blue, ACM TOMS 4,
// 1978): numbers below 2^-500, from there to 2^500, and above.
struct Group {
  double from;
  double to;
  double unit;
};
constexpr double low = 0x1p-500;
constexpr double high = 0x1p500;
constexpr std::array<Group, 3> groups = {
    {{.from = 0.0, .to = low, .unit = 0x1p-600},
     {.from = low, .to = high, .unit = 1.0},
     {.from = high, .to = std::numeric_limits<double>::infinity(), .unit = 0x1p600}}};

// Adds Σ (|a| / unit)² of each group and item to `sums`, group by group.
void add_groups(const at::Tensor& a, std::int64_t items, Scalars& sums) {
  if (a.numel() == 0) {
    return;
  }
  const at::Tensor modulus = at::abs(a).to(at::kDouble).reshape({items, -1});
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const bool last = g + 1 == groups.size();
    const at::Tensor outside =
        (modulus < groups[g].from).logical_or(last ? at::zeros_like(modulus, at::kBool) : modulus >= groups[g].to);
    const at::Tensor part = modulus.masked_fill(outside, 0.0).div_(groups[g].unit).square_().sum(1).cpu();
    for (std::int64_t i = 0; i < items; ++i) {
      sums[g * static_cast<std::size_t>(items) + static_cast<std::size_t>(i)] += part.const_data_ptr<double>()[i];
    }
  }
}

void add_groups(const TensorList& a, std::int64_t items, Scalars& sums) {
  for (const at::Tensor& entry : a) {
    add_groups(entry, items, sums);
  }
}

void add_groups(const ShardedTensorList& a, std::int64_t items, Scalars& sums) {
  if (!a.space->share) {
    add_groups(a.local, items, sums);
    return;
  }
  const ItemShare share = own_items(*a.space, items);
  const std::int64_t count = share.end - share.begin;
  Scalars own(groups.size() * static_cast<std::size_t>(count), 0.0);
  add_groups(a.local, count, own);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::int64_t i = 0; i < count; ++i) {
      sums[g * static_cast<std::size_t>(items) + static_cast<std::size_t>(share.begin + i)] +=
          own[g * static_cast<std::size_t>(count) + static_cast<std::size_t>(i)];
    }
  }
}

void add_groups(const ShardedImage& a, std::int64_t items, Scalars& sums) {
  const at::Tensor flat = a.local.reshape({-1});
  for (std::int64_t i = 0; i < items; ++i) {
    const ImageSpace::Range range = a.space->item(i, items);
    Scalars own(groups.size(), 0.0);
    add_groups(flat.slice(0, range.begin, range.end), 1, own);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      sums[g * static_cast<std::size_t>(items) + static_cast<std::size_t>(i)] += own[g];
    }
  }
}

double root(const std::array<double, 3>& sums) {
  double norm = 0.0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    norm = std::hypot(norm, std::sqrt(sums[g]) * groups[g].unit);
  }
  return norm;
}

ScalarSum* reducer(const ShardedTensorList& a) { return a.space->reducer.get(); }
ScalarSum* reducer(const ShardedImage& a) { return a.space->reducer.get(); }
template <class V>
ScalarSum* reducer(const V& /*a*/) {
  return nullptr;
}
double weight(const ShardedTensorList& a) { return a.space->weight; }
template <class V>
double weight(const V& /*a*/) {
  return 1.0;
}

// Squares of numbers in single precision, and their sums, are numbers in double precision.
bool has_doubles(const at::Tensor& a) { return c10::toRealValueType(a.scalar_type()) == at::kDouble; }
bool has_doubles(const TensorList& a) {
  return std::ranges::any_of(a, [](const at::Tensor& entry) { return has_doubles(entry); });
}
bool has_doubles(const ShardedImage& a) { return has_doubles(a.local); }
// Ranks may hold numbers of unlike precision, but must all do one thing.
bool has_doubles(const ShardedTensorList& /*a*/) { return true; }

bool trustworthy(double squared) {
  constexpr double least = 0x1p-900;
  constexpr double largest = 0x1p1000;
  return (squared >= least && squared <= largest) || std::isnan(squared);
}

template <class V>
Reals norms_of(const V& a, std::int64_t items) {
  const Scalars squared = adjoin::squared_norm(a, items);
  const auto count = static_cast<std::size_t>(items);
  Reals result(count, 0.0);
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) {
    result[i] = std::sqrt(squared[i].real());
    all = all && trustworthy(squared[i].real());
  }
  if (all || !has_doubles(a)) [[likely]] {
    return result;
  }
  Scalars sums(groups.size() * count, 0.0);
  add_groups(a, items, sums);
  if (reducer(a) != nullptr) {
    reducer(a)->sum({sums.data(), sums.size()});
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!trustworthy(squared[i].real())) {
      result[i] = std::sqrt(weight(a)) * root({sums[i].real(), sums[count + i].real(), sums[2 * count + i].real()});
    }
  }
  return result;
}

}  // namespace

Reals norms(const at::Tensor& a, std::int64_t items) { return norms_of(a, items); }
Reals norms(const TensorList& a, std::int64_t items) { return norms_of(a, items); }
Reals norms(const ShardedTensorList& a, std::int64_t items) { return norms_of(a, items); }
Reals norms(const ShardedImage& a, std::int64_t items) { return norms_of(a, items); }

double norm(const at::Tensor& a) { return norms_of(a, 1)[0]; }
double norm(const TensorList& a) { return norms_of(a, 1)[0]; }
double norm(const ShardedTensorList& a) { return norms_of(a, 1)[0]; }
double norm(const ShardedImage& a) { return norms_of(a, 1)[0]; }

}  // namespace adjoin
