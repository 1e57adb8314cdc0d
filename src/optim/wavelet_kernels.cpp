// SPDX-License-Identifier: BSD-3-Clause
// One level with periodic borders, by kernels on the CPU and by indices elsewhere.
#include "optim/wavelet_kernels.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/parallel_for.hpp"
#include "optim/wavelet_rows.hpp"

namespace adjoin::wavelets {

namespace {

double low_tap(std::span<const double> taps, std::int64_t t) { return taps[static_cast<std::size_t>(t)]; }
double high_tap(std::span<const double> taps, std::int64_t t) {
  return (t % 2 == 0 ? 1.0 : -1.0) * taps[taps.size() - 1 - static_cast<std::size_t>(t)];
}

std::int64_t modulo(std::int64_t i, std::int64_t n) { return (i % n + n) % n; }

// A contiguous tensor seen along one dimension: `outer` blocks of n runs of `inner` real numbers.
struct Layout {
  Layout(const at::Tensor& x, std::int64_t dim) : n(x.size(dim)) {
    for (std::int64_t d = 0; d < x.dim(); ++d) {
      (d < dim ? outer : inner) *= d == dim ? 1 : x.size(d);
    }
    inner *= x.is_complex() ? 2 : 1;
  }

  // Calls body(block, first, count) for runs of at most some numbers, which stay in cache with what is made of them.
  template <class Body>
  void for_runs(Body body) const {
    constexpr std::int64_t longest = 64;
    const std::int64_t pieces = (inner + longest - 1) / longest;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 15) / std::max<std::int64_t>(1, n * inner / pieces));
    parallel_for(0, outer * pieces, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t first = i % pieces * longest;
        body(i / pieces, first, std::min(longest, inner - first));
      }
    });
  }

  std::int64_t outer = 1;
  std::int64_t n;
  std::int64_t inner = 1;
};

template <class T>
void analyse_runs(const Layout& layout, const T* x, std::span<const double> taps, T* out) {
  const std::int64_t pairs = (layout.n + 1) / 2;
  const auto half = static_cast<std::int64_t>(taps.size()) / 2;
  std::vector<T> mixing;
  for (const auto& tap : {low_tap, high_tap}) {
    for (const std::int64_t parity : {0, 1}) {
      for (std::int64_t t = 0; t < half; ++t) {
        mixing.push_back(static_cast<T>(tap(taps, 2 * t + parity)));
      }
    }
  }
  layout.for_runs([&](std::int64_t block, std::int64_t first, std::int64_t count) {
    std::array<std::vector<T>, 2> in;    // even and odd entries of the extended signal
    std::array<std::vector<T>, 2> made;  // low and high
    const T* from = x + block * layout.n * layout.inner + first;
    for (const std::int64_t parity : {0, 1}) {
      std::vector<T>& own = in[static_cast<std::size_t>(parity)];
      own.resize(static_cast<std::size_t>((pairs + half - 1) * count));
      for (std::int64_t m = 0; m < pairs + half - 1; ++m) {
        const std::int64_t i = std::min(modulo(2 * m + parity - (half - 1), 2 * pairs), layout.n - 1);
        std::copy_n(from + i * layout.inner, count, own.data() + m * count);
      }
      made[static_cast<std::size_t>(parity)].resize(static_cast<std::size_t>(pairs * count));
    }
    mix(in[0].data(), in[1].data(), mixing.data(), half, count, made[0].data(), made[1].data(), pairs * count);
    T* to = out + block * 2 * pairs * layout.inner + first;
    for (const std::int64_t part : {0, 1}) {
      for (std::int64_t k = 0; k < pairs; ++k) {
        std::copy_n(made[static_cast<std::size_t>(part)].data() + k * count, count,
                    to + (part * pairs + k) * layout.inner);
      }
    }
  });
}

// `layout` is that of the coefficients.
template <class T>
void synthesise_runs(const Layout& layout, const T* coefficients, std::span<const double> taps, std::int64_t n,
                     bool adjoint, T* out) {
  const std::int64_t pairs = layout.n / 2;
  const auto half = static_cast<std::int64_t>(taps.size()) / 2;
  std::vector<T> mixing;
  for (const std::int64_t parity : {0, 1}) {
    for (const auto& tap : {low_tap, high_tap}) {
      for (std::int64_t t = 0; t < half; ++t) {
        mixing.push_back(static_cast<T>(tap(taps, 2 * (half - 1 - t) + parity)));
      }
    }
  }
  layout.for_runs([&](std::int64_t block, std::int64_t first, std::int64_t count) {
    std::array<std::vector<T>, 2> in;    // low and high, extended in front
    std::array<std::vector<T>, 2> made;  // even and odd entries
    const T* from = coefficients + block * layout.n * layout.inner + first;
    for (const std::int64_t part : {0, 1}) {
      std::vector<T>& own = in[static_cast<std::size_t>(part)];
      own.resize(static_cast<std::size_t>((pairs + half - 1) * count));
      for (std::int64_t m = 0; m < pairs + half - 1; ++m) {
        const std::int64_t k = modulo(m - (half - 1), pairs);
        std::copy_n(from + (part * pairs + k) * layout.inner, count, own.data() + m * count);
      }
      made[static_cast<std::size_t>(part)].resize(static_cast<std::size_t>(pairs * count));
    }
    mix(in[0].data(), in[1].data(), mixing.data(), half, count, made[0].data(), made[1].data(), pairs * count);
    T* to = out + block * n * layout.inner + first;
    const T* repeated = nullptr;
    for (const std::int64_t parity : {0, 1}) {
      for (std::int64_t m = 0; m < pairs; ++m) {
        const T* own = made[static_cast<std::size_t>(parity)].data() + m * count;
        const std::int64_t i = modulo(2 * m + parity - (half - 1), 2 * pairs);
        if (i < n) {
          std::copy_n(own, count, to + i * layout.inner);
        } else {
          repeated = own;
        }
      }
    }
    for (std::int64_t j = 0; adjoint && repeated != nullptr && j < count; ++j) {
      to[(n - 1) * layout.inner + j] += repeated[j];
    }
  });
}

bool has_kernels(const at::Tensor& x) {
  const at::ScalarType real = c10::toRealValueType(x.scalar_type());
  return x.is_cpu() && (real == at::kFloat || real == at::kDouble);
}

std::vector<std::int64_t> with_size(const at::Tensor& x, std::int64_t dim, std::int64_t size) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[static_cast<std::size_t>(dim)] = size;
  return sizes;
}

at::Tensor index_of(const std::vector<std::int64_t>& indices, const at::Tensor& x) {
  return at::tensor(indices, at::kLong).to(x.device());
}

// ---- Any tensor --------------------------------------------------------------------------------------------------

at::Tensor analyse_anywhere(const at::Tensor& x, std::span<const double> taps, std::int64_t dim) {
  const std::int64_t pairs = (x.size(dim) + 1) / 2;
  const auto length = static_cast<std::int64_t>(taps.size());
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < 2 * pairs + length - 2; ++i) {
    indices.push_back(std::min(modulo(i - (length / 2 - 1), 2 * pairs), x.size(dim) - 1));
  }
  const at::Tensor extended = x.index_select(dim, index_of(indices, x));
  at::Tensor low = at::zeros(with_size(x, dim, pairs), x.options());
  at::Tensor high = at::zeros_like(low);
  for (std::int64_t t = 0; t < length; ++t) {
    const at::Tensor shifted = extended.slice(dim, t, t + 2 * pairs - 1, 2);
    low.add_(shifted, low_tap(taps, t));
    high.add_(shifted, high_tap(taps, t));
  }
  return at::cat({low, high}, dim);
}

at::Tensor synthesise_anywhere(const at::Tensor& coefficients, std::span<const double> taps, std::int64_t dim,
                               std::int64_t n, bool adjoint) {
  const std::int64_t pairs = coefficients.size(dim) / 2;
  const auto length = static_cast<std::int64_t>(taps.size());
  const at::Tensor low = coefficients.narrow(dim, 0, pairs);
  const at::Tensor high = coefficients.narrow(dim, pairs, pairs);
  at::Tensor extended = at::zeros(with_size(coefficients, dim, 2 * pairs + length - 2), coefficients.options());
  for (std::int64_t t = 0; t < length; ++t) {
    extended.slice(dim, t, t + 2 * pairs - 1, 2).add_(low, low_tap(taps, t)).add_(high, high_tap(taps, t));
  }
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < extended.size(dim); ++i) {
    indices.push_back(modulo(i - (length / 2 - 1), 2 * pairs));
  }
  const at::Tensor folded = at::zeros(with_size(coefficients, dim, 2 * pairs), coefficients.options())
                                .index_add_(dim, index_of(indices, coefficients), extended);
  at::Tensor x = folded.narrow(dim, 0, n).contiguous();
  if (adjoint && n < 2 * pairs) {
    x.narrow(dim, n - 1, 1).add_(folded.narrow(dim, n, 1));
  }
  return x;
}

template <class F>
void with_real_pointers(const at::Tensor& from, at::Tensor& to, const F& f) {
  if (c10::toRealValueType(from.scalar_type()) == at::kFloat) {
    f(static_cast<const float*>(from.const_data_ptr()), static_cast<float*>(to.mutable_data_ptr()));
  } else {
    f(static_cast<const double*>(from.const_data_ptr()), static_cast<double*>(to.mutable_data_ptr()));
  }
}

}  // namespace

at::Tensor analyse(const at::Tensor& x, std::span<const double> taps, std::int64_t dim) {
  if (!has_kernels(x)) {
    return analyse_anywhere(x, taps, dim);
  }
  const at::Tensor own = x.contiguous().resolve_conj();
  at::Tensor result = at::empty(with_size(x, dim, (x.size(dim) + 1) / 2 * 2), x.options());
  with_real_pointers(own, result, [&](const auto* from, auto* to) { analyse_runs(Layout(own, dim), from, taps, to); });
  return result;
}

at::Tensor synthesise(const at::Tensor& coefficients, std::span<const double> taps, std::int64_t dim, std::int64_t n,
                      bool adjoint) {
  if (!has_kernels(coefficients)) {
    return synthesise_anywhere(coefficients, taps, dim, n, adjoint);
  }
  const at::Tensor own = coefficients.contiguous().resolve_conj();
  at::Tensor result = at::empty(with_size(coefficients, dim, n), coefficients.options());
  with_real_pointers(
      own, result, [&](const auto* from, auto* to) { synthesise_runs(Layout(own, dim), from, taps, n, adjoint, to); });
  return result;
}

}  // namespace adjoin::wavelets
