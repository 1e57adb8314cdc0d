// SPDX-License-Identifier: BSD-3-Clause
// Rows shared among threads, or tensor operations where there are no kernels.
#include "optim/tv_kernels.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "core/parallel_for.hpp"
#include "optim/tv_rows.hpp"

namespace adjoin::tv {

namespace {

// ---- Images as rows ----------------------------------------------------------------------------------------------

// An image seen as rows: `stride[k]` rows lie between neighbours along spatial dimension k (all but the last), which
// is `extent[k]` long.
struct Grid {
  Grid(const at::Tensor& x, std::int64_t dimensions)
      : dims(static_cast<std::size_t>(dimensions)),
        parts(static_cast<std::size_t>(x.size(0))),
        width(x.size(-1)),
        rows(x.numel() / width),
        plane(x.numel()) {
    std::int64_t below = 1;
    for (std::size_t k = dims - 1; k-- > 0;) {
      stride[k] = below;
      extent[k] = x.size(static_cast<std::int64_t>(k) - dimensions);
      below *= extent[k];
    }
  }

  std::int64_t place(std::int64_t row, std::size_t k) const { return row / stride[k] % extent[k]; }
  std::int64_t rows_of_part() const { return rows / static_cast<std::int64_t>(parts); }

  // One row of each of the `dims` components of a dual variable.
  template <class T>
  std::array<T*, 3> components(T* p, std::int64_t row) const {
    std::array<T*, 3> result{};
    for (std::size_t k = 0; k < dims; ++k) {
      result[k] = p + static_cast<std::int64_t>(k) * plane + row * width;
    }
    return result;
  }

  // The rows after `row` of an image; beyond the border the row itself, so that differences vanish.
  template <class T>
  Rows<T> after(const T* x, std::int64_t row) const {
    Rows<T> result{};
    for (std::size_t k = 0; k + 1 < dims; ++k) {
      const bool inside = place(row, k) + 1 < extent[k];
      result[k] = x + (inside ? row + stride[k] : row) * width;
    }
    return result;
  }

  // The rows before those of `here`, component by component; zeros beyond the border.
  template <class T>
  Rows<T> before(const Rows<T>& here, std::int64_t row, const T* zeros) const {
    Rows<T> result{};
    for (std::size_t k = 0; k + 1 < dims; ++k) {
      result[k] = place(row, k) > 0 ? here[k] - stride[k] * width : zeros;
    }
    return result;
  }

  // The same of each part, for a row of the first one; of a missing second part those of the first.
  template <class F>
  auto of_parts(std::int64_t row, const F& f) const -> Parts<decltype(f(row))> {
    return {f(row), f(parts == 1 ? row : row + rows_of_part())};
  }

  template <class Body>
  void for_rows(std::int64_t count, Body body) const {
    constexpr std::int64_t elements = 1 << 15;  // for a thread at least
    parallel_for(0, count, std::max<std::int64_t>(1, elements / width), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        body(row);
      }
    });
  }

  std::size_t dims;
  std::size_t parts;
  std::int64_t width;
  std::int64_t rows;
  std::int64_t plane;
  std::array<std::int64_t, 2> stride{};
  std::array<std::int64_t, 2> extent{};
};

template <class T>
void primal_rows(const Grid& grid, T* x, const T* b, const T* p, double gamma, const Bounds& bounds) {
  const auto row_kernel = primal_row<T>(grid.dims);
  const std::vector<T> zeros(static_cast<std::size_t>(grid.width));
  grid.for_rows(grid.rows, [&](std::int64_t row) {
    const Rows<T> here = grid.components(p, row);
    row_kernel(x + row * grid.width, b + row * grid.width, here, grid.before(here, row, zeros.data()), grid.width,
               static_cast<T>(gamma), static_cast<T>(bounds.lower), static_cast<T>(bounds.upper));
  });
}

template <class T>
void dual_rows(const Grid& grid, const T* x, T* p, T* r, double step, double beta) {
  const auto row_kernel = dual_row<T>(grid.dims, grid.parts);
  grid.for_rows(grid.rows_of_part(), [&](std::int64_t row) {
    row_kernel(grid.of_parts(row, [&](std::int64_t at) { return x + at * grid.width; }),
               grid.of_parts(row, [&](std::int64_t at) { return grid.after(x, at); }),
               grid.of_parts(row, [&](std::int64_t at) { return grid.components(p, at); }),
               grid.of_parts(row, [&](std::int64_t at) { return grid.components(r, at); }), grid.width,
               static_cast<T>(step), static_cast<T>(beta));
  });
}

// Row by row in order, so that the sum does not depend on the number of threads.
template <class T>
double gap_rows(const Grid& grid, const T* x, const T* p, const Planes& planes) {
  const auto row_kernel = gap_row<T>(grid.dims, grid.parts);
  std::vector<double> sums(static_cast<std::size_t>(grid.rows_of_part()));
  grid.for_rows(grid.rows_of_part(), [&](std::int64_t row) {
    if (const std::int64_t plane = grid.place(row, 0); plane < planes.begin || plane >= planes.end) {
      return;
    }
    const auto dual =
        grid.of_parts(row, [&](std::int64_t at) { return p == nullptr ? Rows<T>{} : Rows<T>(grid.components(p, at)); });
    sums[static_cast<std::size_t>(row)] =
        row_kernel(grid.of_parts(row, [&](std::int64_t at) { return x + at * grid.width; }),
                   grid.of_parts(row, [&](std::int64_t at) { return grid.after(x, at); }), dual, grid.width);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

bool has_rows(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
}

// ---- Any tensor --------------------------------------------------------------------------------------------------

at::Tensor difference(const at::Tensor& x, std::int64_t dim) {
  const std::int64_t n = x.size(dim);
  at::Tensor d = at::zeros_like(x);
  d.narrow(dim, 0, n - 1).copy_(x.narrow(dim, 1, n - 1)).sub_(x.narrow(dim, 0, n - 1));
  return d;
}

at::Tensor differences(const at::Tensor& x, std::int64_t dims) {
  std::vector<at::Tensor> components;
  components.reserve(static_cast<std::size_t>(dims));
  for (std::int64_t k = 0; k < dims; ++k) {
    components.push_back(difference(x, k - dims));
  }
  return at::stack(components);
}

// Over dimensions and parts.
at::Tensor modulus(const at::Tensor& d) { return at::linalg_vector_norm(d, 2, at::IntArrayRef{0, 1}); }

}  // namespace

void primal(at::Tensor& x, const at::Tensor& b, const at::Tensor& p, double gamma, const Bounds& bounds) {
  const std::int64_t dims = p.size(0);
  if (x.scalar_type() == at::kFloat && has_rows(x)) {
    primal_rows(Grid(x, dims), x.mutable_data_ptr<float>(), b.const_data_ptr<float>(), p.const_data_ptr<float>(), gamma,
                bounds);
    return;
  }
  if (has_rows(x)) {
    primal_rows(Grid(x, dims), x.mutable_data_ptr<double>(), b.const_data_ptr<double>(), p.const_data_ptr<double>(),
                gamma, bounds);
    return;
  }
  x.copy_(b);
  for (std::int64_t k = 0; k < dims; ++k) {
    const std::int64_t dim = k - dims;
    const std::int64_t n = x.size(dim);
    x.add_(p[k], gamma);
    x.narrow(dim, 1, n - 1).sub_(p[k].narrow(dim, 0, n - 1), gamma);
  }
  x.clamp_(bounds.lower, bounds.upper);
}

void dual_step(const at::Tensor& x, at::Tensor& p, at::Tensor& r, double step, double beta) {
  const std::int64_t dims = p.size(0);
  if (x.scalar_type() == at::kFloat && has_rows(x)) {
    dual_rows(Grid(x, dims), x.const_data_ptr<float>(), p.mutable_data_ptr<float>(), r.mutable_data_ptr<float>(), step,
              beta);
    return;
  }
  if (has_rows(x)) {
    dual_rows(Grid(x, dims), x.const_data_ptr<double>(), p.mutable_data_ptr<double>(), r.mutable_data_ptr<double>(),
              step, beta);
    return;
  }
  const at::Tensor q = r.add_(differences(x, dims), step);
  q.div_(modulus(q).clamp_min(1.0));
  const at::Tensor next = q.clone();
  r.add_(at::sub(next, p), beta);
  p.copy_(next);
}

Reals gap(const at::Tensor& x, const at::Tensor& p, std::int64_t dims, std::int64_t items, const Planes& planes) {
  if (x.scalar_type() == at::kFloat && has_rows(x)) {
    return {
        gap_rows(Grid(x, dims), x.const_data_ptr<float>(), p.defined() ? p.const_data_ptr<float>() : nullptr, planes)};
  }
  if (has_rows(x)) {
    return {gap_rows(Grid(x, dims), x.const_data_ptr<double>(), p.defined() ? p.const_data_ptr<double>() : nullptr,
                     planes)};
  }
  const at::Tensor d = differences(x, dims);
  at::Tensor values = modulus(d);
  if (p.defined()) {
    values = values - (p * d).sum(at::IntArrayRef{0, 1});
  }
  values = values.slice(-dims, planes.begin, planes.end);
  const at::Tensor sums = values.reshape({items, -1}).sum(1, false, at::kDouble).cpu();
  return {sums.const_data_ptr<double>(), sums.const_data_ptr<double>() + items};
}

bool batched_gaps(const at::Tensor& x) { return !has_rows(x); }

}  // namespace adjoin::tv
