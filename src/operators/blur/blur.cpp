// SPDX-License-Identifier: BSD-3-Clause
// The public operator: checks, names of options, and plans kept for each layout of images.
#include "adjoin/operators/blur/blur.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "kernels/fft/sizes.hpp"
#include "operators/blur/plan.hpp"
#include "operators/slices.hpp"

namespace adjoin {
namespace {

constexpr std::array padding_names = {std::pair{Padding::Valid, "valid"}, std::pair{Padding::Circular, "circular"},
                                      std::pair{Padding::Replicate, "replicate"},
                                      std::pair{Padding::Reflect, "reflect"}, std::pair{Padding::Constant, "constant"}};

constexpr std::array method_names = {std::pair{ConvolutionMethod::Automatic, "auto"},
                                     std::pair{ConvolutionMethod::Fft, "fft"},
                                     std::pair{ConvolutionMethod::Direct, "direct"}};

}  // namespace

Padding padding_from_string(std::string_view name) {
  if (name == "zeros") {
    return Padding::Constant;
  }
  for (const auto& [padding, known] : padding_names) {
    if (name == known) {
      return padding;
    }
  }
  check(false, "padding must be valid, circular, replicate, reflect, constant or zeros, got ", name);
  return {};
}

ConvolutionMethod convolution_method_from_string(std::string_view name) {
  for (const auto& [method, known] : method_names) {
    if (name == known) {
      return method;
    }
  }
  throw InvalidArgument(c10::str("method: must be 'auto', 'fft' or 'direct', got '", name, "'"));
}

std::string_view to_string(ConvolutionMethod method) {
  return std::ranges::find(method_names, method, &std::pair<ConvolutionMethod, const char*>::first)->second;
}

std::string_view to_string(Padding padding) {
  return std::ranges::find(padding_names, padding, &std::pair<Padding, const char*>::first)->second;
}

namespace {

void check_filter(const at::Tensor& filter) {
  check(filter.defined() && (filter.dim() == 4 || filter.dim() == 5) && filter.numel() > 0,
        "Blur: filter must be a tensor (b, c, h, w) or (b, c, d, h, w), got ",
        filter.defined() ? c10::str(filter.sizes()) : "an undefined tensor");
  check(filter.is_floating_point() || filter.is_complex(), "Blur: filter must be real or complex floating point, got ",
        filter.scalar_type());
}

/// Spatial size of the image that `tensor` is, or that belongs to it when it is a measurement.
blur::Sizes image_sizes(const at::Tensor& filter, Padding padding, const at::Tensor& tensor, bool is_measurement) {
  const char* argument = is_measurement ? "Blur: y" : "Blur: x";
  check(tensor.dim() == filter.dim(), argument, " must have ", filter.dim(), " dimensions as the filter has, got ",
        tensor.sizes());
  const auto precision = at::toRealValueType(tensor.scalar_type());
  check(precision == at::kFloat || precision == at::kDouble, argument, " must be of single or double precision, got ",
        tensor.scalar_type());
  check(tensor.is_complex() || !filter.is_complex(), argument, " must be complex as the filter is, got ",
        tensor.scalar_type());
  check(filter.size(0) == 1 || filter.size(0) == tensor.size(0), argument, " must have ", filter.size(0),
        " items as the filter has, got ", tensor.sizes());
  check(filter.size(1) == 1 || filter.size(1) == tensor.size(1), argument, " must have ", filter.size(1),
        " channels as the filter has, got ", tensor.sizes());
  check(tensor.size(1) > 0, argument, " must have a channel, got ", tensor.sizes());
  blur::Sizes sizes;
  for (std::int64_t axis = 2; axis < tensor.dim(); ++axis) {
    const bool grows = is_measurement && padding == Padding::Valid;
    sizes.push_back(tensor.size(axis) + (grows ? filter.size(axis) - 1 : 0));
    const bool any_size = padding == Padding::Replicate || padding == Padding::Constant;
    check(sizes.back() > 0 && (any_size || sizes.back() >= filter.size(axis)), argument,
          " must be at least as large as the kernel with padding ", to_string(padding), ", got an image of ",
          tensor.sizes(), " and a filter of ", filter.sizes());
  }
  return sizes;
}

/// x as the filter takes it: a complex one makes real images complex.
at::Tensor promoted(const at::Tensor& x, const at::Tensor& filter) {
  return filter.is_complex() && !x.is_complex() ? x.to(at::toComplexType(x.scalar_type())) : x;
}

}  // namespace

/// What a plan serves: images of one layout, periodically or not.
struct Blur::PlanKey {
  struct Probe {
    const blur::Sizes& sizes;
    const at::Tensor& like;
    bool periodic;
  };
  explicit PlanKey(const Probe& probe)
      : sizes(probe.sizes),
        dtype(probe.like.scalar_type()),
        device(probe.like.device()),
        periodic(probe.periodic || std::ranges::all_of(sizes, fft::is_good_size)) {}
  bool operator==(const PlanKey&) const = default;
  bool operator==(const Probe& probe) const {
    return probe.like.scalar_type() == dtype && sizes == probe.sizes && probe.like.device() == device &&
           (periodic || !probe.periodic);
  }

  blur::Sizes sizes;
  at::ScalarType dtype;
  at::Device device;
  bool periodic;
};

Blur::Blur(const at::Tensor& filter, BlurOptions options) : options_(options) {
  check_filter(filter);
  filter_ = watched(filter);
  made_of({filter_});
}

Blur::~Blur() = default;

Recipe Blur::recipe() const {
  return {.maker = "Blur",
          .arguments = {{"filter", filter_},
                        {"padding", std::string(to_string(options_.padding))},
                        {"method", std::string(to_string(options_.method))}}};
}

void Blur::update_impl(const Params& params) {
  if (params.contains("filter")) {
    filter_ = watched(current_filter(params));
    made_of({filter_});
  }
}

at::Tensor Blur::current_filter(const Params& params) const {
  if (params.empty() || !params.contains("filter")) {
    return filter_;
  }
  at::Tensor filter = params.get<at::Tensor>("filter");
  check_filter(filter);
  return filter;
}

std::shared_ptr<const Blur::Plan> Blur::plan(const at::Tensor& tensor, const Params& params, bool is_measurement,
                                             bool periodic) const {
  const at::Tensor filter = current_filter(params);
  const blur::Sizes sizes = image_sizes(filter, options_.padding, tensor, is_measurement);
  const auto make = [&] { return std::make_shared<const Plan>(filter, options_, tensor, sizes, periodic); };
  const bool kept = filter.is_same(filter_) && !records_gradients(filter_);
  return kept ? plans_.get(version(), PlanKey::Probe{sizes, tensor, periodic}, make) : make();
}

at::Tensor Blur::A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor image = promoted(x, current_filter(params));
  return plan(image, params, false)->forward(image);
}

at::Tensor Blur::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor measurement = promoted(y, current_filter(params));
  return plan(measurement, params, true)->adjoint(measurement);
}

at::Tensor Blur::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor image = promoted(x, current_filter(params));
  return plan(image, params, false)->normal(image);
}

std::optional<double> Blur::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  // Of real images, a complex filter's norm is not the largest value of its spectrum.
  if (options_.padding != Padding::Circular || (current_filter(params).is_complex() && !x0.is_complex())) {
    return std::nullopt;
  }
  return plan(x0, params, false, true)->squared_norm();
}

std::optional<SliceWise> Blur::on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t begin,
                                         std::int64_t end) const {
  if (axis >= 2 || static_cast<std::int64_t>(image.size()) != filter_.dim()) {
    return std::nullopt;
  }
  if (filter_.size(axis) == 1) {
    return SliceWise{axis};
  }
  const std::int64_t slices = image[static_cast<std::size_t>(axis)];
  if (filter_.size(axis) != slices) {
    return std::nullopt;
  }
  return SliceWise{axis, std::make_shared<Blur>(some_slices(filter_, axis, begin, end), options_)};
}

at::Tensor Blur::image_like(const at::Tensor& y) const {
  std::vector<std::int64_t> sizes = y.sizes().vec();
  const blur::Sizes spatial = image_sizes(filter_, options_.padding, promoted(y, filter_), true);
  std::ranges::copy(spatial, sizes.begin() + 2);
  return at::zeros(sizes, y.options());
}

}  // namespace adjoin
