// SPDX-License-Identifier: BSD-3-Clause
// Levels of a transform laid out in one array, and the prox of its details.
#include "adjoin/optim/wavelet.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/norms.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "adjoin/solvers/lanczos.hpp"
#include "optim/elementwise.hpp"
#include "optim/wavelet_filters.hpp"
#include "optim/wavelet_kernels.hpp"

namespace adjoin {

namespace {

using Sizes = std::vector<std::int64_t>;

struct Family {
  std::string_view prefix;
  const double* filters;
  std::size_t first;
  std::size_t last;
  std::size_t taps;  // for each order
};

const std::array<Family, 3>& families() {
  static const std::array<Family, 3> all = {{{"db", wavelet_filters::daubechies, 1, 38, 2},
                                             {"sym", wavelet_filters::symlets, 2, 20, 2},
                                             {"coif", wavelet_filters::coiflets, 1, 17, 6}}};
  return all;
}

// The lengths of the approximations along the transformed dimensions: of the image, then of each level.
std::vector<Sizes> lengths_of(at::IntArrayRef image, std::int64_t levels) {
  std::vector<Sizes> lengths = {image.vec()};
  for (std::int64_t level = 0; level < levels; ++level) {
    Sizes next = lengths.back();
    std::ranges::transform(next, next.begin(), [](std::int64_t n) { return (n + 1) / 2; });
    lengths.push_back(std::move(next));
  }
  return lengths;
}

// Where the details of level `level` (from 1) begin along dimension d.
std::int64_t offset_of(const std::vector<Sizes>& lengths, std::size_t level, std::size_t d) {
  std::int64_t offset = lengths.back()[d];
  for (std::size_t l = level + 1; l < lengths.size(); ++l) {
    offset += lengths[l][d];
  }
  return offset;
}

void check_arguments(const at::Tensor& x, std::int64_t levels, std::int64_t dims) {
  check(x.defined() && (x.is_floating_point() || x.is_complex()),
        "wavelet transform: x must be a floating-point or complex tensor, got ",
        x.defined() ? c10::toString(x.scalar_type()) : "an undefined one");
  check(levels >= 1 && levels <= 62, "wavelet transform: levels must be from 1 to 62, got ", levels);
  check(dims >= 1 && dims <= x.dim(), "wavelet transform: dims must be from 1 to the ", x.dim(),
        " dimensions of x, got ", dims);
  check(x.numel() > 0, "wavelet transform: x must have elements, got ", x.sizes());
}

// The coefficients of one level that are details along the dimensions in `mask`, in a tensor of all.
at::Tensor band(const at::Tensor& all, const std::vector<Sizes>& lengths, std::size_t level, std::size_t mask) {
  at::Tensor part = all;
  const auto dims = static_cast<std::int64_t>(lengths[0].size());
  for (std::size_t d = 0; d < lengths[0].size(); ++d) {
    const bool detail = (mask >> d & 1U) != 0;
    part =
        part.narrow(static_cast<std::int64_t>(d) - dims, detail ? offset_of(lengths, level, d) : 0, lengths[level][d]);
  }
  return part;
}

// The same in the result of one level, whose halves are the approximation and the details.
at::Tensor quarter(const at::Tensor& transformed, const Sizes& lengths, std::size_t mask) {
  at::Tensor part = transformed;
  const auto dims = static_cast<std::int64_t>(lengths.size());
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    part = part.narrow(static_cast<std::int64_t>(d) - dims, (mask >> d & 1U) != 0 ? lengths[d] : 0, lengths[d]);
  }
  return part;
}

Sizes with_last(const at::Tensor& x, const Sizes& last) {
  Sizes sizes = x.sizes().vec();
  std::ranges::copy(last, sizes.end() - static_cast<std::ptrdiff_t>(last.size()));
  return sizes;
}

at::Tensor forward(const at::Tensor& x, const Wavelet& wavelet, const std::vector<Sizes>& lengths) {
  const auto dims = static_cast<std::int64_t>(lengths[0].size());
  Sizes total(lengths[0].size());
  for (std::size_t d = 0; d < total.size(); ++d) {
    total[d] = offset_of(lengths, 0, d);
  }
  at::Tensor result = at::zeros(with_last(x, total), x.options());
  at::Tensor coarse = x;
  for (std::size_t level = 1; level < lengths.size(); ++level) {
    for (std::int64_t dim = x.dim() - 1; dim >= x.dim() - dims; --dim) {
      coarse = wavelets::analyse(coarse, wavelet.taps(), dim);
    }
    for (std::size_t mask = 1; mask < (std::size_t{1} << static_cast<std::size_t>(dims)); ++mask) {
      band(result, lengths, level, mask).copy_(quarter(coarse, lengths[level], mask));
    }
    coarse = quarter(coarse, lengths[level], 0);
  }
  band(result, lengths, lengths.size() - 1, 0).copy_(coarse);
  return result;
}

at::Tensor backward(const at::Tensor& coefficients, const Wavelet& wavelet, const std::vector<Sizes>& lengths,
                    bool adjoint) {
  const auto dims = static_cast<std::int64_t>(lengths[0].size());
  at::Tensor coarse = band(coefficients, lengths, lengths.size() - 1, 0);
  for (std::size_t level = lengths.size() - 1; level > 0; --level) {
    Sizes doubled = lengths[level];
    std::ranges::transform(doubled, doubled.begin(), [](std::int64_t n) { return 2 * n; });
    at::Tensor transformed = at::empty(with_last(coefficients, doubled), coefficients.options());
    quarter(transformed, lengths[level], 0).copy_(coarse);
    for (std::size_t mask = 1; mask < (std::size_t{1} << static_cast<std::size_t>(dims)); ++mask) {
      quarter(transformed, lengths[level], mask).copy_(band(coefficients, lengths, level, mask));
    }
    coarse = transformed;
    for (std::int64_t d = 0; d < dims; ++d) {
      coarse = wavelets::synthesise(coarse, wavelet.taps(), coefficients.dim() - dims + d,
                                    lengths[level - 1][static_cast<std::size_t>(d)], adjoint);
    }
  }
  return coarse;
}

at::Tensor back_transform(const at::Tensor& coefficients, const Wavelet& wavelet, std::int64_t levels,
                          std::int64_t dims, at::OptionalIntArrayRef sizes, bool adjoint) {
  check_arguments(coefficients, levels, dims);
  check(!sizes || static_cast<std::int64_t>(sizes->size()) == dims, "wavelet transform: sizes must hold ", dims,
        " numbers, got ", sizes.value_or(at::IntArrayRef()));
  const at::IntArrayRef last = coefficients.sizes().slice(static_cast<std::size_t>(coefficients.dim() - dims));
  const std::vector<Sizes> lengths = lengths_of(sizes.value_or(last), levels);
  for (std::size_t d = 0; d < lengths[0].size(); ++d) {
    check(lengths[0][d] > 0 && offset_of(lengths, 0, d) == last[d],
          "wavelet transform: coefficients of images of these sizes along the last dimensions, ",
          at::IntArrayRef(lengths[0]), ", have ", offset_of(lengths, 0, d), " entries along one of them, got ", last,
          sizes ? "" : "; give the sizes of the image where they are not divisible by 2^levels");
  }
  if (!records_gradients(coefficients)) {
    return backward(coefficients, wavelet, lengths, adjoint);
  }
  check(adjoint || lengths[0] == last, "inverse wavelet transform: differentiates only where sizes are divisible by ",
        "2^levels, got ", at::IntArrayRef(lengths[0]));
  const auto run = [&] { return std::vector<at::Tensor>{backward(coefficients, wavelet, lengths, adjoint)}; };
  const auto gradient = [wavelet, levels, dims](const std::vector<at::Tensor>& gradients) {
    return std::vector<at::Tensor>{wavelet_transform(gradients[0], wavelet, levels, dims)};
  };
  return differentiable({coefficients}, run, gradient)[0];
}

}  // namespace

std::span<const double> Wavelet::taps_of(std::string_view name) {
  if (name == "haar") {
    name = "db1";
  }
  for (const Family& family : families()) {
    if (!name.starts_with(family.prefix)) {
      continue;
    }
    const std::string_view number = name.substr(family.prefix.size());
    std::size_t order = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), order);
    if (error == std::errc() && end == number.data() + number.size() && number.front() != '0' &&
        order >= family.first && order <= family.last) {
      // The filters of the orders before have 1 + 2 + … times as many taps.
      const auto up_to = [](std::size_t k) { return k * (k - 1) / 2; };
      return {family.filters + family.taps * (up_to(order) - up_to(family.first)), family.taps * order};
    }
  }
  throw InvalidArgument(
      c10::str("wavelet: must be 'haar', 'db1' to 'db38', 'sym2' to 'sym20' or 'coif1' to 'coif17', got '", name, "'"));
}

at::Tensor wavelet_transform(const at::Tensor& x, const Wavelet& wavelet, std::int64_t levels, std::int64_t dims) {
  check_arguments(x, levels, dims);
  const Sizes image = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims)).vec();
  const std::vector<Sizes> lengths = lengths_of(image, levels);
  if (!records_gradients(x)) {
    return forward(x, wavelet, lengths);
  }
  const auto run = [&] { return std::vector<at::Tensor>{forward(x, wavelet, lengths)}; };
  const auto gradient = [wavelet, levels, dims, image](const std::vector<at::Tensor>& gradients) {
    return std::vector<at::Tensor>{adjoint_wavelet_transform(gradients[0], wavelet, levels, dims, image)};
  };
  return differentiable({x}, run, gradient)[0];
}

at::Tensor inverse_wavelet_transform(const at::Tensor& coefficients, const Wavelet& wavelet, std::int64_t levels,
                                     std::int64_t dims, at::OptionalIntArrayRef sizes) {
  return back_transform(coefficients, wavelet, levels, dims, sizes, false);
}

at::Tensor adjoint_wavelet_transform(const at::Tensor& coefficients, const Wavelet& wavelet, std::int64_t levels,
                                     std::int64_t dims, at::OptionalIntArrayRef sizes) {
  return back_transform(coefficients, wavelet, levels, dims, sizes, true);
}

// ---- Prior -------------------------------------------------------------------------------------------------------

WaveletPrior::WaveletPrior(const WaveletPriorOptions& options) : options_(options) {
  check(options.levels >= 1 && options.levels <= 62, "WaveletPrior: levels must be from 1 to 62, got ", options.levels);
  check(!options.dims || (*options.dims >= 1 && *options.dims <= 3), "WaveletPrior: dims must be 1, 2 or 3, got ",
        options.dims.value_or(0));
  check(options.max_iter >= 1, "WaveletPrior: max_iter must be at least 1, got ", options.max_iter);
  check(options.tol >= 0.0 && std::isfinite(options.tol), "WaveletPrior: tol must be finite and at least 0, got ",
        options.tol);
}

Recipe WaveletPrior::recipe() const {
  Params arguments = {{"wavelet", options_.wavelet.name()},
                      {"levels", options_.levels},
                      {"random_shift", options_.random_shift},
                      {"max_iter", std::int64_t{options_.max_iter}},
                      {"tol", options_.tol}};
  if (options_.dims) {
    arguments.set("dims", *options_.dims);
  }
  return {.maker = name(), .arguments = std::move(arguments)};
}

std::int64_t WaveletPrior::dims_of(const at::Tensor& x) const { return options_.dims.value_or(x.dim() == 5 ? 3 : 2); }

// The coefficients, with zeros for those of the approximation.
at::Tensor WaveletPrior::details(const at::Tensor& x) const {
  const std::int64_t dims = dims_of(x);
  at::Tensor coefficients = wavelet_transform(x, options_.wavelet, options_.levels, dims);
  const Sizes image = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims)).vec();
  const std::vector<Sizes> lengths = lengths_of(image, options_.levels);
  band(coefficients, lengths, lengths.size() - 1, 0).zero_();
  return coefficients;
}

at::Tensor WaveletPrior::fn_impl(const at::Tensor& x) const { return at::abs(details(x)).sum(at::kDouble); }

at::Tensor WaveletPrior::prox_impl(const at::Tensor& x, double gamma) const {
  refuse_gradients("WaveletPrior::prox", x);
  const c10::NoGradGuard no_grad;
  const std::int64_t dims = dims_of(x);
  check(dims <= x.dim(), "WaveletPrior: x must have at least ", dims, " dimensions, got ", x.sizes());
  if (!options_.random_shift) {
    return dual_prox(x, gamma);
  }
  std::mt19937_64 random(shifts_++);
  Sizes shifts;
  Sizes axes;
  for (std::int64_t d = -dims; d < 0; ++d) {
    shifts.push_back(
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(std::max<std::int64_t>(1, x.size(d)))));
    axes.push_back(d);
  }
  const at::Tensor result = dual_prox(at::roll(x, shifts, axes), gamma);
  std::ranges::transform(shifts, shifts.begin(), [](std::int64_t s) { return -s; });
  return at::roll(result, shifts, axes);
}

// The details p of modulus at most γ whose adjoint Wᵀp is nearest to x give the prox, x − Wᵀp. Where W is orthonormal
// these are those of x, clipped: soft thresholding. Else W̃ = W / √‖W‖² takes its place in an accelerated projected
// gradient iteration from there; γ ‖W v‖₁ − ⟨p, W v⟩ bounds half the squared distance of v = x − Wᵀp to the prox.
at::Tensor WaveletPrior::dual_prox(const at::Tensor& x, double gamma) const {
  const std::int64_t dims = dims_of(x);
  const auto adjoint = [&,
                        image = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims)).vec()](const at::Tensor& p) {
    return adjoint_wavelet_transform(p, options_.wavelet, options_.levels, dims, image);
  };
  const double step = 1.0 / sqnorm(x);
  if (step != 1.0 && x.dim() > dims && x.size(0) > 1) {
    std::vector<at::Tensor> items;
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      items.push_back(dual_prox(x.narrow(0, i, 1), gamma));
    }
    return at::cat(items);
  }
  at::Tensor p = shrink_to_ball(details(x) * step, gamma);
  at::Tensor v = x - adjoint(p);
  if (step == 1.0) {
    return v;
  }
  at::Tensor q = p;
  const double wanted = options_.tol * adjoin::norm(x);
  double t = 1.0;
  for (int k = 1; k < options_.max_iter; ++k) {
    const at::Tensor own = details(v);
    const double gap = gamma * at::abs(own).sum(at::kDouble).item<double>() - adjoin::dot(p, own)[0].real();
    if (std::sqrt(2.0 * std::max(gap, 0.0)) <= wanted) {
      break;
    }
    const at::Tensor ascent = k == 1 ? own : details(x - adjoint(q));
    const at::Tensor next = shrink_to_ball(at::add(q, ascent, step), gamma);
    const double next_t = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t));
    q = at::lerp(p, next, 1.0 + (t - 1.0) / next_t);
    t = next_t;
    p = next;
    v = x - adjoint(p);
  }
  return v;
}

// ‖W‖², 1 where W is orthonormal, kept for one size.
double WaveletPrior::sqnorm(const at::Tensor& x) const {
  const std::int64_t dims = dims_of(x);
  const Sizes image = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims)).vec();
  const bool orthonormal =
      std::ranges::all_of(image, [&](std::int64_t n) { return n % (std::int64_t{1} << options_.levels) == 0; });
  if (orthonormal) {
    return 1.0;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (sqnorm_sizes_ == image) {
      return sqnorm_;
    }
  }
  const auto normal = [&](const at::Tensor& v) {
    return adjoint_wavelet_transform(wavelet_transform(v, options_.wavelet, options_.levels, dims), options_.wavelet,
                                     options_.levels, dims, image);
  };
  const double bound = largest_eigenvalue(normal, at::zeros(image, at::kDouble), {.max_iter = 30, .tol = 1e-2}).upper;
  const std::scoped_lock lock(mutex_);
  sqnorm_sizes_ = image;
  sqnorm_ = bound;
  return bound;
}

}  // namespace adjoin
