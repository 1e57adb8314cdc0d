// SPDX-License-Identifier: BSD-3-Clause
// How inner products are summed: by loops where memory is contiguous, else by tensor operations that stay on their
// device until all are done.
#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "core/common_space.hpp"
#include "core/fused_dots.hpp"
#include "core/parallel_for.hpp"
#include "core/vector_kernels.hpp"

namespace adjoin {

namespace {

using Complex = c10::complex<double>;

template <class T>
Complex contiguous_dot(const at::Tensor& a, const at::Tensor& b, std::int64_t offset, std::int64_t n) {
  const std::int64_t width = a.is_complex() ? 2 : 1;
  const T* pa = data<T>(a) + width * offset;
  const T* pb = data<T>(b) + width * offset;
  if (pa == pb) {
    return {chunked_sum(width * n, [&](std::int64_t i, std::int64_t j) { return real_squares(pa + i, j - i); }), 0.0};
  }
  const double real =
      chunked_sum(width * n, [&](std::int64_t i, std::int64_t j) { return real_dot(pa + i, pb + i, j - i); });
  if (width == 1) {
    return {real, 0.0};
  }
  return {real,
          chunked_sum(n, [&](std::int64_t i, std::int64_t j) { return imaginary_dot(pa + 2 * i, pb + 2 * i, j - i); })};
}

/// Adds inner products of pairs of tensors to `result`. What the kernels above cannot do stays on its device until
/// finish().
class DotSum {
 public:
  explicit DotSum(Scalars& result) : result_(result) {}

  void add(const at::Tensor& a, const at::Tensor& b) {
    const auto items = static_cast<std::int64_t>(result_.size());
    check_items(a, items);
    check(a.sizes() == b.sizes(), "dot: shapes must agree, got ", a.sizes(), " and ", b.sizes());
    const std::int64_t n = a.numel() / items;
    if (n == 0) {
      return;
    }
    if (has_kernel(a) && has_kernel(b) && a.scalar_type() == b.scalar_type()) {
      with_real_type(a, [&](auto zero) {
        for (std::int64_t i = 0; i < items; ++i) {
          result_[static_cast<std::size_t>(i)] += contiguous_dot<decltype(zero)>(a, b, i * n, n);
        }
        return 0;
      });
      return;
    }
    const auto rows = [&](const at::Tensor& t) { return t.reshape({items, n}); };
    if (a.is_same(b) && (a.is_floating_point() || a.is_complex())) {
      const auto type = a.is_complex() ? at::kComplexDouble : at::kDouble;
      pending_.push_back(at::linalg_vector_norm(rows(a), 2, at::IntArrayRef(1), false, type).square());
    } else {
      const auto type = a.is_complex() || b.is_complex() ? at::kComplexDouble : at::kDouble;
      pending_.push_back((rows(a).conj().to(type) * rows(b)).sum(1));
    }
  }

  /// Completes the results, for which a device is waited for once.
  static void finish(std::span<DotSum> sums) {
    std::vector<at::Tensor> pending;
    for (const DotSum& sum : sums) {
      if (!sum.pending_.empty()) {
        pending.push_back(sum.pending());
      }
    }
    if (pending.empty()) [[likely]] {
      return;
    }
    const at::Tensor values = (pending.size() == 1 ? pending[0].unsqueeze(0) : at::stack(pending)).cpu();
    std::int64_t next = 0;
    for (DotSum& sum : sums) {
      if (!sum.pending_.empty()) {
        sum.add(values[next++].to(at::kComplexDouble));
      }
    }
  }

 private:
  at::Tensor pending() const { return pending_.size() == 1 ? pending_[0] : at::stack(pending_).sum(0); }
  void add(const at::Tensor& on_cpu) {
    const auto* values = static_cast<const Complex*>(on_cpu.const_data_ptr());
    for (std::size_t i = 0; i < result_.size(); ++i) {
      result_[i] += values[i];
    }
  }

  Scalars& result_;
  // Still on their device: tensors of an entry an item, in double precision.
  std::vector<at::Tensor> pending_;
};

void add(const at::Tensor& a, const at::Tensor& b, DotSum& sum) { sum.add(a, b); }

void add(const TensorList& a, const TensorList& b, DotSum& sum) {
  check(a.size() == b.size(), "dot: lists must have equally many entries, got ", a.size(), " and ", b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum.add(a[i], b[i]);
  }
}

template <class V>
Scalars dot_of(const V& a, const V& b, std::int64_t items) {
  Scalars result(static_cast<std::size_t>(items), 0.0);
  DotSum sum(result);
  add(a, b, sum);
  DotSum::finish({&sum, 1});
  return result;
}

template <class Pairs>
std::vector<Scalars> dots_of(const Pairs& pairs, std::int64_t items) {
  std::vector<Scalars> results(pairs.size());
  std::vector<DotSum> sums;
  sums.reserve(pairs.size());
  for (const auto& [a, b] : pairs) {
    Scalars& result = results[sums.size()];
    result.assign(static_cast<std::size_t>(items), 0.0);
    add(*a, *b, sums.emplace_back(result));
  }
  DotSum::finish(sums);
  return results;
}

}  // namespace

void add_fused_dots(std::span<const VectorPair<at::Tensor>> pairs, std::span<Complex> sums) {
  // So long that several vectors stay in the first caches.
  constexpr std::int64_t piece = 4096;
  const at::Tensor& first = *pairs[0].first;
  const auto fits = [&](const at::Tensor& t) {
    return has_kernel(t) && t.scalar_type() == first.scalar_type() && t.sizes() == first.sizes();
  };
  if (!std::ranges::all_of(pairs, [&](const auto& pair) { return fits(*pair.first) && fits(*pair.second); })) {
    const std::vector<Scalars> products = dots_of(pairs, 1);
    for (std::size_t k = 0; k < pairs.size(); ++k) {
      sums[k] += products[k][0];
    }
    return;
  }
  const std::int64_t n = first.numel();
  const std::int64_t chunks = (n + chunk - 1) / chunk;
  std::vector<Complex> parts(static_cast<std::size_t>(chunks) * pairs.size());
  with_real_type(first, [&](auto zero) {
    parallel_for(0, chunks, 1, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t c = from; c < to; ++c) {
        Complex* const own = parts.data() + static_cast<std::size_t>(c) * pairs.size();
        const std::int64_t end = std::min(n, (c + 1) * chunk);
        for (std::int64_t i = c * chunk; i < end; i += piece) {
          for (std::size_t k = 0; k < pairs.size(); ++k) {
            own[k] += contiguous_dot<decltype(zero)>(*pairs[k].first, *pairs[k].second, i, std::min(piece, end - i));
          }
        }
      }
    });
    return 0;
  });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    sums[i % pairs.size()] += parts[i];
  }
}

Scalars dot(const at::Tensor& a, const at::Tensor& b, std::int64_t items) { return dot_of(a, b, items); }

Scalars dot(const TensorList& a, const TensorList& b, std::int64_t items) { return dot_of(a, b, items); }

Scalars dot(const ShardedTensorList& a, const ShardedTensorList& b, std::int64_t items) {
  return dots({{&a, &b}}, items).front();
}

Scalars squared_norm(const at::Tensor& a, std::int64_t items) { return adjoin::dot(a, a, items); }
Scalars squared_norm(const TensorList& a, std::int64_t items) { return adjoin::dot(a, a, items); }
Scalars squared_norm(const ShardedTensorList& a, std::int64_t items) { return adjoin::dot(a, a, items); }

std::vector<Scalars> dots(std::initializer_list<VectorPair<at::Tensor>> pairs, std::int64_t items) {
  return dots_of(pairs, items);
}

std::vector<Scalars> dots(std::initializer_list<VectorPair<TensorList>> pairs, std::int64_t items) {
  return dots_of(pairs, items);
}

std::vector<Scalars> dots(std::initializer_list<VectorPair<ShardedTensorList>> pairs, std::int64_t items) {
  std::vector<Scalars> results;
  Scalars message;
  const ShardedTensorList& first = *pairs.begin()->first;
  c10::SmallVector<VectorPair<TensorList>, 4> locals;
  for (const auto& [a, b] : pairs) {
    common_space("dot", first, *a);
    common_space("dot", first, *b);
    locals.push_back({&a->local, &b->local});
  }
  const ItemShare own = own_items(*first.space, items);
  message.resize(pairs.size() * static_cast<std::size_t>(items), 0.0);
  if (own.end > own.begin) {
    auto place = message.begin() + own.begin;
    for (const Scalars& local : dots_of(locals, own.end - own.begin)) {
      std::ranges::copy(local, place);
      place += items;
    }
  }
  if (first.space->reducer) {
    first.space->reducer->sum({message.data(), message.size()});
  }
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    Scalars result;
    for (std::size_t i = 0; i < static_cast<std::size_t>(items); ++i) {
      result.push_back(first.space->weight * message[k * static_cast<std::size_t>(items) + i]);
    }
    results.push_back(std::move(result));
  }
  return results;
}

void ScalarSum::sum_real(std::span<double> values) {
  std::vector<Complex> all(values.begin(), values.end());
  sum(all);
  std::ranges::transform(all, values.begin(), [](const Complex& value) { return value.real(); });
}

}  // namespace adjoin
