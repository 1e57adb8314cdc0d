#include "adjoin/core/vector_space.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/simd.hpp"
#include "core/fused_dots.hpp"

namespace adjoin {

namespace {

using Complex = c10::complex<double>;

// ---- Kernels on contiguous memory -------------------------------------------------------------------------------
// Sums are kept in `lanes` independent double accumulators, which the compiler maps to vector registers.

constexpr std::int64_t lanes = 16;

#define ADJOIN_DEFINE_KERNELS(T)                                                             \
  ADJOIN_SIMD double real_dot(const T* a, const T* b, std::int64_t n) {                      \
    double sums[lanes] = {};                                                                 \
    std::int64_t i = 0;                                                                      \
    for (; i + lanes <= n; i += lanes) {                                                     \
      for (std::int64_t l = 0; l < lanes; ++l) {                                             \
        sums[l] += static_cast<double>(a[i + l]) * static_cast<double>(b[i + l]);            \
      }                                                                                      \
    }                                                                                        \
    double total = 0.0;                                                                      \
    for (; i < n; ++i) {                                                                     \
      total += static_cast<double>(a[i]) * static_cast<double>(b[i]);                        \
    }                                                                                        \
    for (double s : sums) {                                                                  \
      total += s;                                                                            \
    }                                                                                        \
    return total;                                                                            \
  }                                                                                          \
  ADJOIN_SIMD double real_squares(const T* a, std::int64_t n) {                              \
    double sums[lanes] = {};                                                                 \
    std::int64_t i = 0;                                                                      \
    for (; i + lanes <= n; i += lanes) {                                                     \
      for (std::int64_t l = 0; l < lanes; ++l) {                                             \
        const double value = static_cast<double>(a[i + l]);                                  \
        sums[l] += value * value;                                                            \
      }                                                                                      \
    }                                                                                        \
    double total = 0.0;                                                                      \
    for (; i < n; ++i) {                                                                     \
      total += static_cast<double>(a[i]) * static_cast<double>(a[i]);                        \
    }                                                                                        \
    for (double s : sums) {                                                                  \
      total += s;                                                                            \
    }                                                                                        \
    return total;                                                                            \
  }                                                                                          \
  /* Imaginary part of Σ conj(a) b for n complex numbers stored as pairs. */                 \
  ADJOIN_SIMD double imaginary_dot(const T* a, const T* b, std::int64_t n) {                 \
    double sums[lanes] = {};                                                                 \
    std::int64_t i = 0;                                                                      \
    for (; i + lanes <= n; i += lanes) {                                                     \
      for (std::int64_t l = 0; l < lanes; ++l) {                                             \
        const std::int64_t k = 2 * (i + l);                                                  \
        sums[l] += static_cast<double>(a[k]) * static_cast<double>(b[k + 1]) -               \
                   static_cast<double>(a[k + 1]) * static_cast<double>(b[k]);                \
      }                                                                                      \
    }                                                                                        \
    double total = 0.0;                                                                      \
    for (; i < n; ++i) {                                                                     \
      total += static_cast<double>(a[2 * i]) * static_cast<double>(b[2 * i + 1]) -           \
               static_cast<double>(a[2 * i + 1]) * static_cast<double>(b[2 * i]);            \
    }                                                                                        \
    for (double s : sums) {                                                                  \
      total += s;                                                                            \
    }                                                                                        \
    return total;                                                                            \
  }                                                                                          \
  ADJOIN_SIMD void real_axpby(T alpha, const T* x, T beta, T* y, std::int64_t n) {           \
    for (std::int64_t i = 0; i < n; ++i) {                                                   \
      y[i] = alpha * x[i] + beta * y[i];                                                     \
    }                                                                                        \
  }                                                                                          \
  ADJOIN_SIMD void complex_axpby(T ar, T ai, const T* x, T br, T bi, T* y, std::int64_t n) { \
    for (std::int64_t i = 0; i < n; ++i) {                                                   \
      const T xr = x[2 * i];                                                                 \
      const T xi = x[2 * i + 1];                                                             \
      const T yr = y[2 * i];                                                                 \
      const T yi = y[2 * i + 1];                                                             \
      y[2 * i] = (ar * xr - ai * xi) + (br * yr - bi * yi);                                  \
      y[2 * i + 1] = (ar * xi + ai * xr) + (br * yi + bi * yr);                              \
    }                                                                                        \
  }

ADJOIN_DEFINE_KERNELS(float)
ADJOIN_DEFINE_KERNELS(double)

// ---- Tensors ----------------------------------------------------------------------------------------------------

// Fixed chunks, so that a sum does not depend on the number of threads.
constexpr std::int64_t chunk = 1 << 16;

template <class F>
double chunked_sum(std::int64_t n, F part) {
  if (n <= chunk) {
    return part(std::int64_t{0}, n);
  }
  const std::int64_t count = (n + chunk - 1) / chunk;
  std::vector<double> parts(static_cast<std::size_t>(count));
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      parts[static_cast<std::size_t>(c)] = part(c * chunk, std::min(n, (c + 1) * chunk));
    }
  });
  double total = 0.0;
  for (double p : parts) {
    total += p;
  }
  return total;
}

template <class F>
void chunked_for(std::int64_t n, F body) {
  if (n <= chunk) {
    body(std::int64_t{0}, n);
  } else {
    at::parallel_for(0, n, chunk, body);
  }
}

bool has_kernel(const at::Tensor& t) {
  const auto type = t.scalar_type();
  return t.is_cpu() && t.is_contiguous() && !t.is_conj() && !t.is_neg() &&
         (type == at::kFloat || type == at::kDouble || type == at::kComplexFloat || type == at::kComplexDouble);
}

// Calls f with the tensor's real type; complex numbers are pairs of it.
template <class F>
auto with_real_type(const at::Tensor& t, F f) {
  return t.scalar_type() == at::kFloat || t.scalar_type() == at::kComplexFloat ? f(float{}) : f(double{});
}

template <class T>
const T* data(const at::Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <class T>
T* mutable_data(at::Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

void check_items(const at::Tensor& a, std::int64_t items) {
  check(items >= 1, "items: must be at least 1, got ", items);
  check(items == 1 || (a.dim() > 0 && a.size(0) == items), "vector: dimension 0 must have one entry for each of ",
        items, " items, got shape ", a.sizes());
}

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

Scalars ones(std::size_t items) {
  Scalars result(items, 0.0);
  std::ranges::fill(result, Complex(1.0));
  return result;
}

template <class T>
void contiguous_axpby(Complex alpha, const at::Tensor& x, Complex beta, at::Tensor& y, std::int64_t offset,
                      std::int64_t n) {
  const bool pairs = y.is_complex();
  const bool real_factors = alpha.imag() == 0.0 && beta.imag() == 0.0;
  const std::int64_t width = pairs ? 2 : 1;
  const T* px = data<T>(x) + width * offset;
  T* py = mutable_data<T>(y) + width * offset;
  const T ar = static_cast<T>(alpha.real());
  const T br = static_cast<T>(beta.real());
  if (!pairs || real_factors) {
    chunked_for(width * n, [&](std::int64_t i, std::int64_t j) { real_axpby(ar, px + i, br, py + i, j - i); });
  } else {
    const T ai = static_cast<T>(alpha.imag());
    const T bi = static_cast<T>(beta.imag());
    chunked_for(n,
                [&](std::int64_t i, std::int64_t j) { complex_axpby(ar, ai, px + 2 * i, br, bi, py + 2 * i, j - i); });
  }
}

/// A factor as tensor operations take it, which sends nothing to the device.
at::Scalar scalar_for(const at::Tensor& y, Complex factor) {
  return y.is_complex() && factor.imag() != 0.0 ? at::Scalar(factor) : at::Scalar(factor.real());
}

/// The factors as a tensor that broadcasts over dimension 0 of y.
at::Tensor broadcast_factors(const Scalars& factors, const at::Tensor& y) {
  at::Tensor values = at::empty({static_cast<std::int64_t>(factors.size())}, at::kComplexDouble);
  std::ranges::copy(factors, static_cast<Complex*>(values.mutable_data_ptr()));
  std::vector<std::int64_t> shape(static_cast<std::size_t>(std::max<std::int64_t>(y.dim(), 1)), 1);
  shape[0] = static_cast<std::int64_t>(factors.size());
  values = (y.is_complex() ? values : at::real(values)).to(y.scalar_type());
  // What is not pinned is copied aside before the call returns, so that nothing need be waited for.
  return values.to(y.device(), /*non_blocking=*/true).view(shape);
}

bool all_are(const Scalars& factors, double value) {
  return std::ranges::all_of(factors, [&](const Complex& f) { return f.real() == value && f.imag() == 0.0; });
}

/// y ← alpha y by tensor operations.
void scale_anywhere(const Scalars& alpha, at::Tensor& y) {
  if (!all_are(alpha, 1.0)) {
    alpha.size() == 1 ? y.mul_(scalar_for(y, alpha[0])) : y.mul_(broadcast_factors(alpha, y));
  }
}

/// y ← alpha x + beta y by tensor operations.
void axpby_anywhere(const Scalars& alpha, const at::Tensor& x, const Scalars& beta, at::Tensor& y) {
  const at::Tensor own = x.to(y.scalar_type());
  if (all_are(alpha, 1.0) && beta.size() == 1) {
    at::add_out(y, own, y, scalar_for(y, beta[0]));
    return;
  }
  scale_anywhere(beta, y);
  alpha.size() == 1 ? y.add_(own, scalar_for(y, alpha[0])) : y.addcmul_(own, broadcast_factors(alpha, y));
}

/// Whether tensors of one problem are many on a device, where an operation on all of them at once pays.
bool at_once(const Scalars& factors, const TensorList& y) {
  return factors.size() == 1 && y.size() > 1 && std::ranges::none_of(y, [&](const at::Tensor& t) {
           return t.is_cpu() || t.scalar_type() != y[0].scalar_type() || t.device() != y[0].device();
         });
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
    at::parallel_for(0, chunks, 1, [&](std::int64_t from, std::int64_t to) {
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

bool same_space(const MeasurementSpace& a, const MeasurementSpace& b) {
  return &a == &b || (a.weight == b.weight && a.total == b.total && a.indices == b.indices &&
                      (a.reducer == nullptr) == (b.reducer == nullptr));
}

namespace {

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

}  // namespace

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
  for (const Scalars& local : dots_of(locals, items)) {
    message.append(local.begin(), local.end());
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

void axpby(const Scalars& alpha, const at::Tensor& x, const Scalars& beta, at::Tensor& y) {
  const auto items = static_cast<std::int64_t>(alpha.size());
  check_items(y, items);
  check(alpha.size() == beta.size(), "axpby: alpha and beta must have equally many items, got ", alpha.size(), " and ",
        beta.size());
  check(x.sizes() == y.sizes(), "axpby: shapes must agree, got ", x.sizes(), " and ", y.sizes());
  if (has_kernel(x) && has_kernel(y) && x.scalar_type() == y.scalar_type()) {
    const std::int64_t n = y.numel() / items;
    with_real_type(y, [&](auto zero) {
      for (std::int64_t i = 0; i < items; ++i) {
        const auto k = static_cast<std::size_t>(i);
        contiguous_axpby<decltype(zero)>(alpha[k], x, beta[k], y, i * n, n);
      }
      return 0;
    });
    return;
  }
  check(y.is_complex() || !x.is_complex(), "axpby: a complex x cannot be added to a real y");
  axpby_anywhere(alpha, x, beta, y);
}

void axpby(const Scalars& alpha, const TensorList& x, const Scalars& beta, TensorList& y) {
  check(x.size() == y.size(), "axpby: lists must have equally many entries, got ", x.size(), " and ", y.size());
  const auto alike = [](const at::Tensor& a, const at::Tensor& b) {
    return a.sizes() == b.sizes() && a.options().type_equal(b.options());
  };
  if (beta.size() == 1 && at_once(alpha, y) && std::ranges::equal(x, y, alike)) {
    scale(beta, y);
    at::_foreach_add_(y.tensors(), x.tensors(), scalar_for(y[0], alpha[0]));
    return;
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    axpby(alpha, x[i], beta, y[i]);
  }
}

void axpby(const Scalars& alpha, const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y) {
  common_space("axpby", x, y);
  axpby(alpha, x.local, beta, y.local);
}

void axpy(const Scalars& alpha, const at::Tensor& x, at::Tensor& y) { adjoin::axpby(alpha, x, ones(alpha.size()), y); }
void axpy(const Scalars& alpha, const TensorList& x, TensorList& y) { adjoin::axpby(alpha, x, ones(alpha.size()), y); }
void axpy(const Scalars& alpha, const ShardedTensorList& x, ShardedTensorList& y) {
  common_space("axpy", x, y);
  adjoin::axpy(alpha, x.local, y.local);
}

void xpby(const at::Tensor& x, const Scalars& beta, at::Tensor& y) { adjoin::axpby(ones(beta.size()), x, beta, y); }
void xpby(const TensorList& x, const Scalars& beta, TensorList& y) { adjoin::axpby(ones(beta.size()), x, beta, y); }
void xpby(const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y) {
  common_space("xpby", x, y);
  adjoin::xpby(x.local, beta, y.local);
}

void scale(const Scalars& alpha, at::Tensor& y) {
  if (has_kernel(y)) {
    adjoin::axpby(alpha, y, Scalars(alpha.size(), 0.0), y);
  } else {
    scale_anywhere(alpha, y);
  }
}

void scale(const Scalars& alpha, TensorList& y) {
  if (at_once(alpha, y)) {
    if (!all_are(alpha, 1.0)) {
      at::_foreach_mul_(y.tensors(), scalar_for(y[0], alpha[0]));
    }
    return;
  }
  for (at::Tensor& entry : y) {
    scale(alpha, entry);
  }
}

void scale(const Scalars& alpha, ShardedTensorList& y) { scale(alpha, y.local); }

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
