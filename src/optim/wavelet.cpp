#include "adjoin/optim/wavelet.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

namespace {

constexpr std::array<double, 2> haar_taps = {0.70710678118654752, 0.70710678118654752};
constexpr std::array<double, 4> db2_taps = {0.48296291314453416, 0.83651630373780794, 0.22414386804201339,
                                            -0.12940952255126037};
constexpr std::array<double, 8> db4_taps = {0.23037781330889651,   0.71484657055291564,  0.63088076792985890,
                                            -0.027983769416859854, -0.18703481171909309, 0.030841381835560764,
                                            0.032883011666885200,  -0.010597401785069032};

std::span<const double> taps_of(Wavelet wavelet) {
  switch (wavelet) {
    case Wavelet::haar:
      return haar_taps;
    case Wavelet::db2:
      return db2_taps;
    case Wavelet::db4:
      return db4_taps;
  }
  throw InvalidArgument("wavelet: unknown value");
}

// The tap t of the high-pass filter.
double detail_tap(std::span<const double> taps, std::size_t t) {
  return (t % 2 == 0 ? 1.0 : -1.0) * taps[taps.size() - 1 - t];
}

// [Σ_t h_t x(2k + t); Σ_t g_t x(2k + t)] along `dim`, indices modulo its length.
at::Tensor analyse(const at::Tensor& x, std::span<const double> taps, std::int64_t dim) {
  const std::int64_t n = x.size(dim);
  const auto length = static_cast<std::int64_t>(taps.size());
  std::vector<at::Tensor> periods = {x};
  for (std::int64_t missing = length - 2; missing > 0; missing -= n) {
    periods.push_back(x.narrow(dim, 0, std::min(missing, n)));
  }
  const at::Tensor padded = periods.size() == 1 ? x : at::cat(periods, dim);
  at::Tensor low;
  at::Tensor high;
  for (std::size_t t = 0; t < taps.size(); ++t) {
    const auto start = static_cast<std::int64_t>(t);
    const at::Tensor shifted = padded.slice(dim, start, start + n, 2);
    low = t == 0 ? shifted * taps[t] : low.add_(shifted, taps[t]);
    high = t == 0 ? shifted * detail_tap(taps, t) : high.add_(shifted, detail_tap(taps, t));
  }
  return at::cat({low, high}, dim);
}

at::Tensor synthesise(const at::Tensor& coefficients, std::span<const double> taps, std::int64_t dim) {
  const std::int64_t n = coefficients.size(dim);
  const auto length = static_cast<std::int64_t>(taps.size());
  const at::Tensor low = coefficients.narrow(dim, 0, n / 2);
  const at::Tensor high = coefficients.narrow(dim, n / 2, n / 2);
  std::vector<std::int64_t> padded_sizes = coefficients.sizes().vec();
  padded_sizes[static_cast<std::size_t>(dim < 0 ? dim + coefficients.dim() : dim)] = n + length - 2;
  const at::Tensor padded = at::zeros(padded_sizes, coefficients.options());
  for (std::size_t t = 0; t < taps.size(); ++t) {
    const auto start = static_cast<std::int64_t>(t);
    padded.slice(dim, start, start + n, 2).add_(low, taps[t]).add_(high, detail_tap(taps, t));
  }
  at::Tensor x = padded.narrow(dim, 0, n);
  for (std::int64_t start = n; start < n + length - 2; start += n) {
    const std::int64_t count = std::min(n, n + length - 2 - start);
    x.narrow(dim, 0, count).add_(padded.narrow(dim, start, count));
  }
  return x;
}

// The part of the coefficients that `level` transforms.
at::Tensor coarse(const at::Tensor& coefficients, std::int64_t level, std::int64_t dims) {
  at::Tensor part = coefficients;
  for (std::int64_t dim = -dims; dim < 0; ++dim) {
    part = part.narrow(dim, 0, coefficients.size(dim) >> level);
  }
  return part;
}

void check_sizes(const at::Tensor& x, std::int64_t levels, std::int64_t dims) {
  check(levels >= 1 && levels <= 62, "wavelet transform: levels must be at least 1, got ", levels);
  check(dims >= 1 && dims <= x.dim(), "wavelet transform: dims must be from 1 to the ", x.dim(),
        " dimensions of x, got ", dims);
  for (std::int64_t dim = -dims; dim < 0; ++dim) {
    check(x.size(dim) > 0 && x.size(dim) % (std::int64_t{1} << levels) == 0, "wavelet transform: the last ", dims,
          " sizes must be divisible by 2^", levels, ", got ", x.sizes());
  }
}

}  // namespace

Wavelet wavelet_from_string(std::string_view name) {
  for (const Wavelet wavelet : {Wavelet::haar, Wavelet::db2, Wavelet::db4}) {
    if (name == to_string(wavelet)) {
      return wavelet;
    }
  }
  throw InvalidArgument(c10::str("wavelet: must be 'haar', 'db2' or 'db4', got '", std::string(name), "'"));
}

std::string_view to_string(Wavelet wavelet) {
  switch (wavelet) {
    case Wavelet::haar:
      return "haar";
    case Wavelet::db2:
      return "db2";
    case Wavelet::db4:
      return "db4";
  }
  return "unknown";
}

at::Tensor wavelet_transform(const at::Tensor& x, Wavelet wavelet, std::int64_t levels, std::int64_t dims) {
  check_sizes(x, levels, dims);
  at::Tensor result = x.clone(at::MemoryFormat::Contiguous);
  for (std::int64_t level = 0; level < levels; ++level) {
    at::Tensor part = coarse(result, level, dims);
    at::Tensor transformed = part;
    for (std::int64_t dim = -1; dim >= -dims; --dim) {
      transformed = analyse(transformed, taps_of(wavelet), dim);
    }
    part.copy_(transformed);
  }
  return result;
}

at::Tensor inverse_wavelet_transform(const at::Tensor& coefficients, Wavelet wavelet, std::int64_t levels,
                                     std::int64_t dims) {
  check_sizes(coefficients, levels, dims);
  at::Tensor result = coefficients.clone(at::MemoryFormat::Contiguous);
  for (std::int64_t level = levels; level-- > 0;) {
    at::Tensor part = coarse(result, level, dims);
    at::Tensor transformed = part;
    for (std::int64_t dim = -dims; dim < 0; ++dim) {
      transformed = synthesise(transformed, taps_of(wavelet), dim);
    }
    part.copy_(transformed);
  }
  return result;
}

WaveletPrior::WaveletPrior(const WaveletPriorOptions& options) : options_(options) {
  check(options.levels >= 1, "WaveletPrior: levels must be at least 1, got ", options.levels);
  check(!options.dims || (*options.dims >= 1 && *options.dims <= 3), "WaveletPrior: dims must be 1, 2 or 3, got ",
        options.dims.value_or(0));
}

Recipe WaveletPrior::recipe() const {
  Params arguments = {{"wavelet", std::string(to_string(options_.wavelet))}, {"levels", options_.levels}};
  if (options_.dims) {
    arguments.set("dims", *options_.dims);
  }
  return {.maker = name(), .arguments = std::move(arguments)};
}

std::int64_t WaveletPrior::dims_of(const at::Tensor& x) const { return options_.dims.value_or(x.dim() == 5 ? 3 : 2); }

at::Tensor WaveletPrior::approximation(const at::Tensor& coefficients) const {
  return coarse(coefficients, options_.levels, dims_of(coefficients));
}

at::Tensor WaveletPrior::fn_impl(const at::Tensor& x) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor coefficients = wavelet_transform(x, options_.wavelet, options_.levels, dims_of(x));
  approximation(coefficients).zero_();
  return at::abs(coefficients).sum(at::kDouble);
}

at::Tensor WaveletPrior::prox_impl(const at::Tensor& x, double gamma) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor coefficients = wavelet_transform(x, options_.wavelet, options_.levels, dims_of(x));
  const at::Tensor thresholded = soft_threshold(coefficients, gamma);
  approximation(thresholded).copy_(approximation(coefficients));
  return inverse_wavelet_transform(thresholded, options_.wavelet, options_.levels, dims_of(x));
}

}  // namespace adjoin
