#include "adjoin/operators/mri/multi_coil_mri.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused.hpp"
#include "kernels/complex_kernels.hpp"
#include "kernels/fft.hpp"
#include "kernels/image_transform.hpp"

namespace adjoin {
namespace {

/// How many plans an operator keeps: dtypes and devices that take turns.
constexpr std::size_t plans_kept = 4;

bool records_gradient(const at::Tensor& tensor) { return at::GradMode::is_enabled() && tensor.requires_grad(); }

std::int64_t axes_of(const MultiCoilMRIOptions& options) { return options.three_d ? 3 : 2; }
std::int64_t image_axes_of(const MultiCoilMRIOptions& options) { return axes_of(options) + (options.dynamic ? 1 : 0); }

at::Tensor with_leading_axes(at::Tensor tensor, std::int64_t axes) {
  while (tensor.dim() < axes) {
    tensor = tensor.unsqueeze(0);
  }
  return tensor;
}

/// The coil maps as (b, N, spatial).
at::Tensor checked_maps(const at::Tensor& maps, const MultiCoilMRIOptions& options) {
  check(maps.defined() && maps.is_complex(), "MultiCoilMRI: coil_maps must be a complex tensor, got ",
        maps.defined() ? c10::toString(maps.scalar_type()) : "an undefined one");
  const auto axes = axes_of(options);
  check(maps.dim() >= axes && maps.dim() <= axes + 2 && maps.numel() > 0, "MultiCoilMRI: coil_maps must be ",
        options.three_d ? "(b, N, D, H, W)" : "(b, N, H, W)", ", leading axes left out or not, got ", maps.sizes());
  return with_leading_axes(maps, axes + 2);
}

/// The mask as (b, 1, image), for maps as checked.
at::Tensor checked_mask(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options) {
  const auto image_axes = image_axes_of(options);
  if (!mask.defined()) {
    return with_leading_axes(at::ones({}, maps.options().dtype(at::toRealValueType(maps.scalar_type()))),
                             image_axes + 2);
  }
  check(!mask.is_complex(), "MultiCoilMRI: mask must be real, got ", mask.scalar_type());
  check(mask.dim() <= image_axes + 2 && mask.numel() > 0, "MultiCoilMRI: mask must have at most ", image_axes + 2,
        " dimensions, got ", mask.sizes());
  at::Tensor whole = with_leading_axes(mask, image_axes + 2);
  check(whole.size(1) == 1 || (whole.size(1) == 2 && at::equal(whole.select(1, 0), whole.select(1, 1))),
        "MultiCoilMRI: mask must have one channel or two equal ones, got ", mask.sizes());
  whole = whole.narrow(1, 0, 1);
  for (std::int64_t axis = 1; axis <= axes_of(options); ++axis) {
    check(whole.size(-axis) == 1 || whole.size(-axis) == maps.size(-axis),
          "MultiCoilMRI: mask must match the coil maps ", maps.sizes(), ", got ", mask.sizes());
  }
  check(whole.size(0) == 1 || maps.size(0) == 1 || whole.size(0) == maps.size(0),
        "MultiCoilMRI: mask and coil_maps must have equally many items, got ", mask.sizes(), " and ", maps.sizes());
  return whole;
}

/// Phase factors over the axes of `sizes`: e^{2πi sign Σ_a c_a (j_a − c_a · shift) / n_a}, c = n / 2; ±1 for even n.
at::Tensor phase(at::IntArrayRef sizes, std::int64_t shift, at::ScalarType dtype, at::Device device) {
  at::Tensor product = at::ones({}, at::kComplexDouble);
  for (const std::int64_t n : sizes) {
    const std::int64_t centre = n / 2;
    // Reduced modulo n while still integers: exact for any size.
    const at::Tensor turns = at::remainder(centre * (at::arange(n, at::kLong) - centre * shift), n).to(at::kDouble);
    const at::Tensor angles = turns * (2.0 * std::numbers::pi / static_cast<double>(n));
    at::Tensor factors = at::complex(angles.cos(), angles.sin());
    if (n % 2 == 0) {
      factors = at::complex(at::round(at::real(factors)), at::zeros_like(angles));
    }
    product = product.unsqueeze(-1) * factors;
  }
  return product.to(device, dtype);
}

/// Factors by which samples are multiplied.
class SampleFactors {
 public:
  SampleFactors() = default;
  /// `ordered`: the values in the order in which the CPU kernels read them, which get signs where the values are real
  /// and none but -u, 0 and u.
  SampleFactors(at::Tensor values, at::Tensor ordered) : values_(std::move(values)), ordered_(std::move(ordered)) {
    if (ordered_.is_complex() || !ordered_.is_cpu() || records_gradient(ordered_)) {
      return;
    }
    const at::Tensor unit = ordered_.abs().max();
    at::Tensor signs = ordered_.sign();
    if (at::equal(signs * unit, ordered_)) {
      ordered_ = signs.to(at::kChar);
      unit_ = unit.item<double>();
    }
  }
  const at::Tensor& values() const { return values_; }
  template <class T>
  kernels::Weights<T> weights() const {
    if (ordered_.scalar_type() == at::kChar) {
      return {nullptr, false, ordered_.const_data_ptr<std::int8_t>(), static_cast<T>(unit_)};
    }
    return {static_cast<const T*>(ordered_.const_data_ptr()), ordered_.is_complex()};
  }

 private:
  at::Tensor values_;
  at::Tensor ordered_;
  double unit_ = 0.0;
};

}  // namespace

/// Mask and coil maps with the centring of the transform folded in, for one dtype and device. With c = n / 2, the
/// centred transform is Σ_j x_j e^{−2πi (j − c)(k − c) / n} = e^{2πi c (k − c) / n} Σ_j (x_j e^{2πi c j / n}) e^{−2πi
/// jk / n}: a plain transform between two phase factors. One goes into the maps, the other and the scale into the mask.
class MultiCoilMRI::Plan {
 public:
  Plan(const at::Tensor& mask, const at::Tensor& maps, const MultiCoilMRIOptions& options, const at::Tensor& like)
      : options_(options),
        real_(at::toRealValueType(like.scalar_type())),
        device_(like.device()),
        spatial_(maps.sizes().begin() + 2, maps.sizes().end()),
        pixels_(c10::multiply_integers(spatial_)) {
    const auto complex = at::toComplexType(real_);
    maps_ = (maps.to(device_, complex) * phase(spatial_, 0, complex, device_)).contiguous();
    std::vector<std::int64_t> mask_sizes = mask.sizes().vec();
    std::ranges::copy(spatial_, mask_sizes.end() - axes_of(options));
    mask_ = mask.to(device_, real_).expand(mask_sizes).contiguous();
    if (device_.is_cpu()) {
      transform_ = fft::ImageTransform::make(spatial_, complex);
    }
    const bool even = std::ranges::all_of(spatial_, [](std::int64_t n) { return n % 2 == 0; });
    const at::Tensor factors = phase(spatial_, 1, complex, device_) / std::sqrt(static_cast<double>(pixels_));
    const at::Tensor weights = (mask_ * (even ? at::real(factors) : factors)).contiguous();
    weights_ = SampleFactors(weights, weights);
    normal_axes_ = axes_to_transform(mask);
    const at::Tensor power = mask_.square() / static_cast<double>(normal_pixels());
    power_ = SampleFactors(power, transform_ && normal_along_columns() ? transform_->in_blocks(power) : power);
    if (options.dynamic) {
      maps_ = maps_.unsqueeze(2);
    }
  }

  bool serves(const at::Tensor& tensor) const {
    return at::toRealValueType(tensor.scalar_type()) == real_ && tensor.device() == device_;
  }
  const at::Tensor& mask() const { return mask_; }
  std::int64_t coils() const { return maps_.size(1); }
  std::int64_t axes() const { return axes_of(options_); }
  at::IntArrayRef spatial() const { return spatial_; }
  const fft::ImageTransform& transform() const { return *transform_; }
  const std::vector<std::int64_t>& normal_axes() const { return normal_axes_; }
  bool normal_along_rows() const { return !normal_axes_.empty() && normal_axes_.back() == axes() - 1; }
  bool normal_along_columns() const { return !normal_axes_.empty() && normal_axes_.front() == 0; }

  /// Throw unless the tensor is an image or a measurement of this operator.
  void check_image(const at::Tensor& x) const { check_tensor("x", x, x.is_complex() ? 1 : 2, {}); }
  void check_measurement(const at::Tensor& y) const {
    const std::int64_t coil_count = coils();
    y.is_complex() ? check_tensor("y", y, coil_count, {}) : check_tensor("y", y, 2, coil_count);
  }

  /// Shape of the image that belongs to measurements y.
  std::vector<std::int64_t> image_sizes(const at::Tensor& y) const;
  at::Tensor empty_image(const at::Tensor& y) const { return at::empty(image_sizes(y), y.options()); }
  std::vector<std::int64_t> measurement_sizes(const at::Tensor& x) const;

  // Differentiable, on any device.
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor adjoint(const at::Tensor& y) const;
  at::Tensor normal(const at::Tensor& x) const;

  /// The work on one coil, item and frame, as the CPU kernels see it.
  template <class T>
  struct Unit {
    const T* map;
    kernels::Weights<T> weights;
    kernels::Weights<T> power;
    kernels::Complex<const T> source;
    kernels::Complex<T> target;
    bool first;  // of the coils that are added up in the target
  };
  enum class Space : std::uint8_t { Image, Measurement };
  /// Appends the units that lead from the contiguous `source` to `target`. `first`: whether the target is yet unset.
  template <class T>
  void append_units(const at::Tensor& source, Space source_space, const at::Tensor& target, Space target_space,
                    bool first, std::vector<Unit<T>>& units) const;
  /// Whether the CPU kernels serve: nothing is differentiated.
  bool has_kernels_for(const at::Tensor& tensor) const {
    return transform_ != nullptr && !records_gradient(tensor) && !records_gradient(maps_) &&
           !records_gradient(weights_.values());
  }

 private:
  void check_tensor(const char* argument, const at::Tensor& tensor, std::int64_t channels,
                    std::optional<std::int64_t> coil_count) const;
  /// The spatial axes that the normal operator transforms. Along one where the mask is the same everywhere, the readout
  /// of Cartesian MRI, a transform and its inverse cancel: told apart are the last axis and the others together.
  std::vector<std::int64_t> axes_to_transform(const at::Tensor& mask) const;
  std::int64_t normal_pixels() const;

  MultiCoilMRIOptions options_;
  at::ScalarType real_;
  at::Device device_;
  std::vector<std::int64_t> spatial_;
  std::int64_t pixels_;
  at::Tensor maps_;                                       // (b, N, [1,] spatial)
  at::Tensor mask_;                                       // (b, 1, [T or 1,] spatial)
  SampleFactors weights_;                                 // mask, phase and scale; real when all sizes are even
  std::vector<std::int64_t> normal_axes_;                 // all, none, the last, or all but the last
  SampleFactors power_;                                   // mask² and the scale of their transform there and back
  std::shared_ptr<const fft::ImageTransform> transform_;  // null where there is none
};

std::vector<std::int64_t> MultiCoilMRI::Plan::axes_to_transform(const at::Tensor& mask) const {
  const auto varies_along = [&](std::int64_t axis) {
    const at::Tensor first = mask.narrow(mask.dim() - axes() + axis, 0, 1);
    // Equal values of a mask that is differentiated have derivatives of their own.
    return records_gradient(mask) || !at::equal(mask, first.expand_as(mask));
  };
  std::vector<std::int64_t> leading(static_cast<std::size_t>(axes() - 1));
  std::iota(leading.begin(), leading.end(), 0);
  const bool any_leading = std::ranges::any_of(leading, varies_along);
  std::vector<std::int64_t> result = any_leading ? leading : std::vector<std::int64_t>();
  if (varies_along(axes() - 1)) {
    result.push_back(axes() - 1);
  }
  return result;
}

std::int64_t MultiCoilMRI::Plan::normal_pixels() const {
  std::int64_t product = 1;
  for (const std::int64_t axis : normal_axes_) {
    product *= spatial_[static_cast<std::size_t>(axis)];
  }
  return product;
}

void MultiCoilMRI::Plan::check_tensor(const char* argument, const at::Tensor& tensor, std::int64_t channels,
                                      std::optional<std::int64_t> coil_count) const {
  const auto image_axes = image_axes_of(options_);
  bool fits = tensor.dim() == image_axes + (coil_count ? 3 : 2) && tensor.size(1) == channels &&
              (!coil_count || tensor.size(2) == *coil_count) &&
              tensor.sizes().slice(static_cast<std::size_t>(tensor.dim() - axes())) == at::IntArrayRef(spatial_);
  if (fits) {
    for (const at::Tensor* own : {&maps_, &mask_}) {
      fits = fits && (own->size(0) == 1 || own->size(0) == tensor.size(0));
    }
    fits = fits && (!options_.dynamic || mask_.size(2) == 1 || mask_.size(2) == tensor.size(-axes() - 1));
  }
  check(fits, "MultiCoilMRI: ", argument, " must be (B, ", channels, coil_count ? c10::str(", ", *coil_count) : "",
        ", image) with coil maps ", maps_.sizes(), " and mask ", mask_.sizes(), ", got ", tensor.sizes());
}

std::vector<std::int64_t> MultiCoilMRI::Plan::image_sizes(const at::Tensor& y) const {
  std::vector<std::int64_t> sizes = {y.size(0), y.is_complex() ? 1 : 2};
  sizes.insert(sizes.end(), y.sizes().end() - image_axes_of(options_), y.sizes().end());
  return sizes;
}

std::vector<std::int64_t> MultiCoilMRI::Plan::measurement_sizes(const at::Tensor& x) const {
  std::vector<std::int64_t> sizes = {x.size(0)};
  if (!x.is_complex()) {
    sizes.push_back(2);
  }
  sizes.push_back(coils());
  sizes.insert(sizes.end(), x.sizes().begin() + 2, x.sizes().end());
  return sizes;
}

namespace {

/// (B, 2, …) real to (B, 1, …) complex, or (B, 2, N, …) to (B, N, …) when `keep_axis` is false; complex as it is.
at::Tensor joined(const at::Tensor& t, bool keep_axis) {
  if (t.is_complex()) {
    return t;
  }
  const at::Tensor z = at::complex(t.select(1, 0).contiguous(), t.select(1, 1).contiguous());
  return keep_axis ? z.unsqueeze(1) : z;
}

at::Tensor split(const at::Tensor& z) { return at::stack({at::real(z), at::imag(z)}, 1); }

}  // namespace

at::Tensor MultiCoilMRI::Plan::forward(const at::Tensor& x) const {
  const at::Tensor y = fft::forward(joined(x, true) * maps_, axes()) * weights_.values();
  return x.is_complex() ? y : split(y);
}

at::Tensor MultiCoilMRI::Plan::adjoint(const at::Tensor& y) const {
  const at::Tensor coil_images = fft::backward(joined(y, false) * weights_.values().conj(), axes());
  const at::Tensor x = (maps_.conj() * coil_images).sum(1, true);
  return y.is_complex() ? x : split(x.squeeze(1));
}

at::Tensor MultiCoilMRI::Plan::normal(const at::Tensor& x) const {
  const at::Tensor weighted = joined(x, true) * maps_;
  std::vector<std::int64_t> along = normal_axes_;
  for (std::int64_t& axis : along) {
    axis += weighted.dim() - axes();
  }
  const at::Tensor coil_images = fft::backward_along(fft::forward_along(weighted, along) * power_.values(), along);
  const at::Tensor z = (maps_.conj() * coil_images).sum(1, true);
  return x.is_complex() ? z : split(z.squeeze(1));
}

template <class T>
void MultiCoilMRI::Plan::append_units(const at::Tensor& source, Space source_space, const at::Tensor& target,
                                      Space target_space, bool first, std::vector<Unit<T>>& units) const {
  const bool complex = source.is_complex();
  const int step = complex ? 2 : 1;
  const std::int64_t items = source.size(0);
  const std::int64_t frames = options_.dynamic ? source.size(-axes() - 1) : 1;
  const std::int64_t coil_count = coils();
  const std::int64_t mask_frames = options_.dynamic ? mask_.size(2) : 1;
  const std::int64_t powers = normal_along_columns() ? transform_->numel_in_blocks() : pixels_;
  const auto* maps = static_cast<const T*>(maps_.const_data_ptr());
  const auto weights = weights_.weights<T>();
  const auto power = power_.weights<T>();
  // The part of a tensor that belongs to one item, coil and frame.
  const auto part = [&]<class U>(U* base, Space space, std::int64_t item, std::int64_t n, std::int64_t frame) {
    const std::int64_t count = space == Space::Image ? frames : coil_count * frames;
    const std::int64_t index = space == Space::Image ? frame : n * frames + frame;
    U* re = base + (item * count * 2 + index * step) * pixels_;
    return kernels::Complex<U>{re, complex ? re + 1 : re + count * pixels_, step};
  };
  const auto* from = static_cast<const T*>(source.const_data_ptr());
  auto* to = static_cast<T*>(target.data_ptr());
  for (std::int64_t b = 0; b < items; ++b) {
    for (std::int64_t n = 0; n < coil_count; ++n) {
      for (std::int64_t t = 0; t < frames; ++t) {
        const std::int64_t map_index = (maps_.size(0) == 1 ? 0 : b) * coil_count + n;
        const std::int64_t mask_index = (mask_.size(0) == 1 ? 0 : b) * mask_frames + (mask_frames == 1 ? 0 : t);
        units.push_back({maps + 2 * map_index * pixels_, kernels::from(weights, mask_index * pixels_),
                         kernels::from(power, mask_index * powers), part(from, source_space, b, n, t),
                         part(to, target_space, b, n, t), first && n == 0});
      }
    }
  }
}

namespace {

template <class T, class Plan, class Unit>
void run_forward(const Plan& plan, const std::vector<Unit>& units) {
  const fft::ImageTransform& transform = plan.transform();
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  for (const Unit& unit : units) {
    coil.for_each_row([&](std::int64_t r, T* row) {
      kernels::multiply(kernels::from(unit.source, r * width), unit.map + 2 * r * width, row, width);
      transform.along_row().forward(row, row);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().forward(block, block); });
    coil.for_each_row([&](std::int64_t r, const T* row) {
      kernels::sample(kernels::from(unit.weights, r * width), row, kernels::from(unit.target, r * width), width);
    });
  }
}

template <class T, class Plan, class Unit>
void run_adjoint(const Plan& plan, const std::vector<Unit>& units) {
  const fft::ImageTransform& transform = plan.transform();
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  for (const Unit& unit : units) {
    coil.for_each_row([&](std::int64_t r, T* row) {
      kernels::unsample(kernels::from(unit.weights, r * width), kernels::from(unit.source, r * width), row, width);
    });
    coil.for_each_block([&](std::int64_t /*offset*/, T* block) { transform.along_columns().backward(block, block); });
    coil.for_each_row([&](std::int64_t r, T* row) {
      transform.along_row().backward(row, row);
      kernels::multiply_conjugate(unit.map + 2 * r * width, row, kernels::from(unit.target, r * width), unit.first,
                                  width);
    });
  }
}

template <class T, class Plan, class Unit>
void run_normal(const Plan& plan, const std::vector<Unit>& units) {
  const fft::ImageTransform& transform = plan.transform();
  const std::int64_t width = transform.bins();
  const fft::Spectrum<T> coil(transform);
  const auto enter = [&](const Unit& unit, std::int64_t r, T* row) {
    kernels::multiply(kernels::from(unit.source, r * width), unit.map + 2 * r * width, row, width);
    if (plan.normal_along_rows()) {
      transform.along_row().forward(row, row);
    }
  };
  const auto leave = [&](const Unit& unit, std::int64_t r, T* row) {
    if (plan.normal_along_rows()) {
      transform.along_row().backward(row, row);
    }
    kernels::multiply_conjugate(unit.map + 2 * r * width, row, kernels::from(unit.target, r * width), unit.first,
                                width);
  };
  if (!plan.normal_along_columns()) {
    // Rows stay apart: each is done with all coils while it is in cache.
    coil.for_each_row([&](std::int64_t r, T* row) {
      for (const Unit& unit : units) {
        enter(unit, r, row);
        kernels::scale(row, kernels::from(unit.power, r * width), width);
        leave(unit, r, row);
      }
    });
    return;
  }
  for (const Unit& unit : units) {
    coil.for_each_row([&](std::int64_t r, T* row) { enter(unit, r, row); });
    coil.for_each_block([&](std::int64_t offset, T* block) {
      transform.along_columns().forward(block, block);
      kernels::scale(block, kernels::from(unit.power, offset * transform.rows()), coil.columns());
      transform.along_columns().backward(block, block);
    });
    coil.for_each_row([&](std::int64_t r, T* row) { leave(unit, r, row); });
  }
}

/// Calls run(T{}) with T the precision of `like`.
template <class Run>
void with_precision_of(const at::Tensor& like, const Run& run) {
  if (at::toRealValueType(like.scalar_type()) == at::kFloat) {
    run(float{});
  } else {
    run(double{});
  }
}

at::Tensor plain(const at::Tensor& t) { return t.resolve_conj().resolve_neg().contiguous(); }

}  // namespace

MultiCoilMRI::MultiCoilMRI(const at::Tensor& mask, const at::Tensor& coil_maps, MultiCoilMRIOptions options)
    : options_(options) {
  check(!options.three_d || !options.dynamic, "MultiCoilMRI: images cannot be both three_d and dynamic");
  coil_maps_ = checked_maps(coil_maps, options).detach();
  mask_ = checked_mask(mask, coil_maps_, options).detach();
}

MultiCoilMRI::~MultiCoilMRI() = default;

void MultiCoilMRI::update_impl(const Params& params) {
  if (!params.contains("mask") && !params.contains("coil_maps")) {
    return;
  }
  const at::Tensor maps = checked_maps(params.get_or("coil_maps", coil_maps_), options_).detach();
  mask_ = checked_mask(params.get_or("mask", mask_), maps, options_).detach();
  coil_maps_ = maps;
  plans_.clear();
}

std::shared_ptr<const MultiCoilMRI::Plan> MultiCoilMRI::plan(const at::Tensor& tensor, const Params& params) const {
  const auto real = at::toRealValueType(tensor.scalar_type());
  check(real == at::kFloat || real == at::kDouble, "MultiCoilMRI: tensors must be of single or double precision, got ",
        tensor.scalar_type());
  if (!params.empty() && (params.contains("mask") || params.contains("coil_maps"))) {
    const at::Tensor maps = checked_maps(params.get_or("coil_maps", coil_maps_), options_);
    return std::make_shared<const Plan>(checked_mask(params.get_or("mask", mask_), maps, options_), maps, options_,
                                        tensor);
  }
  for (const auto& known : plans_) {
    if (known->serves(tensor)) {
      return known;
    }
  }
  if (plans_.size() == plans_kept) {
    plans_.erase(plans_.begin());
  }
  plans_.push_back(std::make_shared<const Plan>(mask_, coil_maps_, options_, tensor));
  return plans_.back();
}

at::Tensor MultiCoilMRI::A_impl(const at::Tensor& x, const Params& params) const {
  const auto plan = this->plan(x, params);
  plan->check_image(x);
  if (!plan->has_kernels_for(x)) {
    return plan->forward(x);
  }
  const at::Tensor source = plain(x);
  const at::Tensor y = at::empty(plan->measurement_sizes(x), x.options());
  with_precision_of(x, [&]<class T>(T) {
    std::vector<Plan::Unit<T>> units;
    plan->append_units(source, Plan::Space::Image, y, Plan::Space::Measurement, true, units);
    run_forward<T>(*plan, units);
  });
  return y;
}

at::Tensor MultiCoilMRI::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const auto plan = this->plan(y, params);
  plan->check_measurement(y);
  if (!plan->has_kernels_for(y)) {
    return plan->adjoint(y);
  }
  const at::Tensor source = plain(y);
  const at::Tensor x = plan->empty_image(y);
  with_precision_of(y, [&]<class T>(T) {
    std::vector<Plan::Unit<T>> units;
    plan->append_units(source, Plan::Space::Measurement, x, Plan::Space::Image, true, units);
    run_adjoint<T>(*plan, units);
  });
  return x;
}

at::Tensor MultiCoilMRI::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  const auto plan = this->plan(x, params);
  plan->check_image(x);
  if (!plan->has_kernels_for(x)) {
    return plan->normal(x);
  }
  const at::Tensor source = plain(x);
  const at::Tensor z = at::empty(x.sizes(), x.options());
  with_precision_of(x, [&]<class T>(T) {
    std::vector<Plan::Unit<T>> units;
    plan->append_units(source, Plan::Space::Image, z, Plan::Space::Image, true, units);
    run_normal<T>(*plan, units);
  });
  return z;
}

at::Tensor MultiCoilMRI::noise_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor sampled = plan(y, params)->mask() != 0;
  return Physics::noise_impl(y, params) * (y.is_complex() ? sampled : sampled.unsqueeze(2));
}

at::Tensor MultiCoilMRI::image_like(const at::Tensor& y) const {
  const auto plan = this->plan(y, {});
  plan->check_measurement(y);
  return plan->empty_image(y).zero_();
}

/// Coils of several operators on images of one layout.
class FusedCoils final : public FusedStack {
 public:
  explicit FusedCoils(std::vector<std::shared_ptr<const MultiCoilMRI>> operators)
      : operators_(std::move(operators)), plans_(operators_.size()) {}

  TensorList A(const at::Tensor& x, const TensorList& out) override {
    if (joins(x)) {
      at::Tensor all;
      return fits([&] { all = joint_->A(x); }) ? parted(all) : TensorList();
    }
    if (!prepare(x) || !fits([&] { check_images(x); })) {
      return {};
    }
    TensorList y;
    y.reserve(plans_.size());
    const at::Tensor source = plain(x);
    with_precision_of(x, [&]<class T>(T) {
      std::vector<Plan::Unit<T>> units;
      for (const auto& plan : plans_) {
        y.push_back(fit_or_empty(out, y.size(), plan->measurement_sizes(x), x.options()));
        plan->append_units(source, Plan::Space::Image, y[y.size() - 1], Plan::Space::Measurement, true, units);
      }
      run_forward<T>(*plans_[0], units);
    });
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) override {
    if (y.size() == plans_.size() && joins(y[0])) {
      at::Tensor x;
      return fits([&] { x = joint_->A_adjoint(united(y)); }) ? x : at::Tensor();
    }
    if (y.size() != plans_.size() || !prepare(y[0]) || !fits([&] { check_measurements(y); })) {
      return {};
    }
    const at::Tensor x = fit_or_empty(out, plans_[0]->image_sizes(y[0]), y[0].options());
    std::vector<at::Tensor> sources;
    with_precision_of(x, [&]<class T>(T) {
      std::vector<Plan::Unit<T>> units;
      for (std::size_t i = 0; i < plans_.size(); ++i) {
        sources.push_back(plain(y[i]));
        plans_[i]->append_units(sources[i], Plan::Space::Measurement, x, Plan::Space::Image, i == 0, units);
      }
      run_adjoint<T>(*plans_[0], units);
    });
    return x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) override {
    if (joins(x)) {
      at::Tensor z;
      return fits([&] { z = joint_->A_adjoint_A(x); }) ? z : at::Tensor();
    }
    if (!prepare(x) || !fits([&] { check_images(x); })) {
      return {};
    }
    const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
    const at::Tensor source = plain(x);
    with_precision_of(x, [&]<class T>(T) {
      std::vector<Plan::Unit<T>> units;
      for (std::size_t i = 0; i < plans_.size(); ++i) {
        plans_[i]->append_units(source, Plan::Space::Image, z, Plan::Space::Image, i == 0, units);
        // Together, as far as they transform the same axes.
        if (i + 1 == plans_.size() || plans_[i + 1]->normal_axes() != plans_[i]->normal_axes()) {
          run_normal<T>(*plans_[i], units);
          units.clear();
        }
      }
    });
    return z;
  }

 private:
  using Plan = MultiCoilMRI::Plan;

  /// Numbers of all coil images up to which a GPU is quicker with all of them at once; more fill it one by one.
  static constexpr std::int64_t joint_numel = std::int64_t{1} << 24;

  /// Whether the coils are best taken as those of one operator, which is then joint_: where there are no kernels for
  /// single coils.
  bool joins(const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.is_cpu() || tensor.dim() == 0 || records_gradient(tensor)) {
      return false;
    }
    const auto current = [](const std::shared_ptr<const MultiCoilMRI>& one, std::int64_t version) {
      return one->version() == version;
    };
    if (!std::ranges::equal(operators_, versions_, current)) {
      joint_ = unite();
    }
    if (joint_ == nullptr) {
      return false;
    }
    const at::Tensor& maps = joint_->coil_maps_;
    return tensor.size(0) * maps.numel() / maps.size(0) <= joint_numel;
  }
  /// One operator with all coils, or null where masks or the maps' layouts differ.
  std::shared_ptr<const MultiCoilMRI> unite() {
    const MultiCoilMRI& first = *operators_[0];
    std::vector<at::Tensor> maps;
    bool alike = true;
    versions_.clear();
    for (const auto& one : operators_) {
      versions_.push_back(one->version());
      maps.push_back(one->coil_maps_);
      alike = alike && one->coil_maps_.size(0) == first.coil_maps_.size(0) &&
              one->coil_maps_.sizes().slice(2) == first.coil_maps_.sizes().slice(2) &&
              one->coil_maps_.options().type_equal(first.coil_maps_.options()) &&
              one->mask_.options().type_equal(first.mask_.options()) && at::equal(one->mask_, first.mask_);
    }
    return alike ? std::make_shared<const MultiCoilMRI>(first.mask_, at::cat(maps, 1), first.options_) : nullptr;
  }
  static std::int64_t coil_axis(const at::Tensor& y) { return y.is_complex() ? 1 : 2; }
  TensorList parted(const at::Tensor& y) const {
    TensorList parts;
    std::int64_t first = 0;
    for (const auto& one : operators_) {
      const std::int64_t coils = one->coil_maps_.size(1);
      parts.push_back(y.narrow(coil_axis(y), first, coils).contiguous());
      first += coils;
    }
    return parts;
  }
  /// The reverse. Throws unless y have the shapes that parted() makes.
  at::Tensor united(const TensorList& y) const {
    const std::int64_t axis = coil_axis(y[0]);
    check(y[0].dim() > axis, "MultiCoilMRI: y must have coils, got ", y[0].sizes());
    std::vector<std::int64_t> sizes = y[0].sizes().vec();
    for (std::size_t i = 0; i < y.size(); ++i) {
      sizes[static_cast<std::size_t>(axis)] = operators_[i]->coil_maps_.size(1);
      check(y[i].defined() && y[i].options().type_equal(y[0].options()) && !records_gradient(y[i]) &&
                y[i].sizes() == sizes,
            "MultiCoilMRI: y must be measurements of one image");
    }
    return at::cat(y.tensors(), axis);
  }

  /// Finds the plans for tensors like this one. False when there is no gain or the images' sizes differ.
  bool prepare(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return false;
    }
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      plans_[i] = operators_[i]->plan(tensor, {});
    }
    return std::ranges::all_of(plans_, [&](const auto& plan) {
      return plan->has_kernels_for(tensor) && plan->spatial() == plans_[0]->spatial();
    });
  }
  void check_images(const at::Tensor& x) const {
    for (const auto& plan : plans_) {
      plan->check_image(x);
    }
  }
  void check_measurements(const TensorList& y) const {
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      check(y[i].defined() && y[i].scalar_type() == y[0].scalar_type() && plans_[i]->has_kernels_for(y[i]),
            "MultiCoilMRI: y must be measurements of one dtype on the CPU");
      plans_[i]->check_measurement(y[i]);
      check(plans_[i]->image_sizes(y[i]) == plans_[0]->image_sizes(y[0]), "MultiCoilMRI: y must be of one image");
    }
  }
  /// Whether a check passes. What does not fit is the plain stack's to report.
  template <class Check>
  static bool fits(const Check& check_all) {
    try {
      check_all();
      return true;
    } catch (const InvalidArgument&) {
      return false;
    }
  }

  std::vector<std::shared_ptr<const MultiCoilMRI>> operators_;
  std::vector<std::shared_ptr<const Plan>> plans_;
  std::shared_ptr<const MultiCoilMRI> joint_;
  std::vector<std::int64_t> versions_;  // of the operators when joint_ was made
};

std::unique_ptr<FusedStack> MultiCoilMRI::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  std::vector<std::shared_ptr<const MultiCoilMRI>> coils;
  for (const auto& one : operators) {
    auto mri = std::dynamic_pointer_cast<const MultiCoilMRI>(one);
    if (!mri || mri->options_.three_d != options_.three_d || mri->options_.dynamic != options_.dynamic) {
      return nullptr;
    }
    coils.push_back(std::move(mri));
  }
  return coils.empty() ? nullptr : std::make_unique<FusedCoils>(std::move(coils));
}

}  // namespace adjoin
