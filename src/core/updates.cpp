// SPDX-License-Identifier: BSD-3-Clause
// How vectors are updated in place, y ← alpha x + beta y: by loops where memory is contiguous, else by tensor
// operations.
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "core/common_space.hpp"
#include "core/vector_kernels.hpp"

namespace adjoin {

namespace {

using Complex = c10::complex<double>;

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

namespace {

// Calls f with the factors of the items that a rank holds, unless it holds none.
template <class F, class... Factors>
void with_own_items(const MeasurementSpace& space, const F& f, const Factors&... factors) {
  if (!space.share) {
    f(factors...);
    return;
  }
  const auto own = [&](const Scalars& all) {
    const ItemShare share = own_items(space, static_cast<std::int64_t>(all.size()));
    return Scalars(all.begin() + share.begin, all.begin() + share.end);
  };
  const auto unless_empty = [&](const auto&... mine) {
    if ((!mine.empty() && ...)) {
      f(mine...);
    }
  };
  unless_empty(own(factors)...);
}

}  // namespace

void axpby(const Scalars& alpha, const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y) {
  with_own_items(
      common_space("axpby", x, y), [&](const Scalars& a, const Scalars& b) { axpby(a, x.local, b, y.local); }, alpha,
      beta);
}

void axpy(const Scalars& alpha, const at::Tensor& x, at::Tensor& y) { adjoin::axpby(alpha, x, ones(alpha.size()), y); }
void axpy(const Scalars& alpha, const TensorList& x, TensorList& y) { adjoin::axpby(alpha, x, ones(alpha.size()), y); }
void axpy(const Scalars& alpha, const ShardedTensorList& x, ShardedTensorList& y) {
  with_own_items(common_space("axpy", x, y), [&](const Scalars& a) { adjoin::axpy(a, x.local, y.local); }, alpha);
}

void xpby(const at::Tensor& x, const Scalars& beta, at::Tensor& y) { adjoin::axpby(ones(beta.size()), x, beta, y); }
void xpby(const TensorList& x, const Scalars& beta, TensorList& y) { adjoin::axpby(ones(beta.size()), x, beta, y); }
void xpby(const ShardedTensorList& x, const Scalars& beta, ShardedTensorList& y) {
  with_own_items(common_space("xpby", x, y), [&](const Scalars& b) { adjoin::xpby(x.local, b, y.local); }, beta);
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

void scale(const Scalars& alpha, ShardedTensorList& y) {
  with_own_items(*y.space, [&](const Scalars& a) { scale(a, y.local); }, alpha);
}

}  // namespace adjoin
