#include "adjoin/operators/blur/blur.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused.hpp"
#include "kernels/complex_kernels.hpp"
#include "kernels/correlation.hpp"
#include "kernels/fft.hpp"
#include "kernels/image_transform.hpp"

namespace adjoin {
namespace {

using Sizes = c10::SmallVector<std::int64_t, 3>;

constexpr std::array padding_names = {std::pair{Padding::Valid, "valid"}, std::pair{Padding::Circular, "circular"},
                                      std::pair{Padding::Replicate, "replicate"},
                                      std::pair{Padding::Reflect, "reflect"}, std::pair{Padding::Constant, "constant"}};

/// How many plans an operator keeps: shapes and dtypes that take turns.
constexpr std::size_t plans_kept = 4;

bool records_gradient(const at::Tensor& a, const at::Tensor& b) {
  return at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad());
}

/// x with zeros around its trailing axes, or with what `mode` puts there.
at::Tensor pad(const at::Tensor& x, at::IntArrayRef before, at::IntArrayRef after, const char* mode = "constant") {
  c10::SmallVector<std::int64_t, 6> widths;
  bool any = false;
  for (std::size_t i = before.size(); i-- > 0;) {
    widths.push_back(before[i]);
    widths.push_back(after[i]);
    any = any || before[i] != 0 || after[i] != 0;
  }
  return any ? at::pad(x, widths, mode) : x;
}

/// The adjoint of padding one axis: what lies in the border is added to where it was taken from. Overwrites z.
at::Tensor fold(const at::Tensor& z, std::int64_t axis, std::int64_t before, std::int64_t after, Padding padding) {
  const std::int64_t size = z.size(axis) - before - after;
  at::Tensor image = z.narrow(axis, before, size);
  const at::Tensor left = z.narrow(axis, 0, before);
  const at::Tensor right = z.narrow(axis, before + size, after);
  switch (padding) {
    case Padding::Circular:
      image.narrow(axis, size - before, before).add_(left);
      image.narrow(axis, 0, after).add_(right);
      break;
    case Padding::Replicate:
      image.narrow(axis, 0, 1).add_(left.sum(axis, true));
      image.narrow(axis, size - 1, 1).add_(right.sum(axis, true));
      break;
    case Padding::Reflect:
      image.narrow(axis, 1, before).add_(left.flip(axis));
      image.narrow(axis, size - 1 - after, after).add_(right.flip(axis));
      break;
    case Padding::Valid:
    case Padding::Constant:
      break;
  }
  return image;
}

/// x as the CPU kernels read it.
at::Tensor plain(const at::Tensor& x) { return x.resolve_conj().resolve_neg().contiguous(); }

/// Calls run(T{}) with T the precision of `dtype`.
template <class Run>
void with_precision_of(at::ScalarType dtype, const Run& run) {
  if (at::toRealValueType(dtype) == at::kFloat) {
    run(float{});
  } else {
    run(double{});
  }
}

/// The last three sizes of an image or kernel, two-dimensional ones having one plane.
std::array<std::int64_t, 3> planes(at::IntArrayRef sizes) {
  return {sizes.size() == 3 ? sizes[0] : 1, sizes[sizes.size() - 2], sizes.back()};
}

/// Runs body(begin, end) on ranges of the `count` images of a batch: on as many threads as there are images for, else
/// on this one, and the others share its rows and columns.
template <class Body>
void for_image_ranges(std::int64_t count, const Body& body) {
  const std::int64_t grain = count >= at::get_num_threads() ? 1 : count;
  at::parallel_for(0, count, grain, body);
}

/// Place of the filter that serves image k of C channels, in a filter of b items and c channels, each 1 or as many.
std::int64_t filter_index(const at::Tensor& filter, std::int64_t k, std::int64_t channels) {
  return (filter.size(0) == 1 ? 0 : k / channels) * filter.size(1) + (filter.size(1) == 1 ? 0 : k % channels);
}

/// correlate() below on the CPU, for real weights.
at::Tensor correlate_directly(const at::Tensor& x, const at::Tensor& weights) {
  const at::Tensor source = plain(x);
  const at::Tensor filters = weights.contiguous();
  std::vector<std::int64_t> sizes = x.sizes().vec();
  for (std::size_t axis = 2; axis < sizes.size(); ++axis) {
    sizes[axis] -= weights.size(static_cast<std::int64_t>(axis)) - 1;
  }
  at::Tensor y = at::empty(sizes, x.options());
  const int step = x.is_complex() ? 2 : 1;
  const auto size = planes(x.sizes().slice(2));
  const auto kernel = planes(weights.sizes().slice(2));
  const std::int64_t images = x.size(0) * x.size(1);
  with_precision_of(x.scalar_type(), [&]<class T>(T) {
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    const auto* taps = static_cast<const T*>(filters.const_data_ptr());
    auto* to = static_cast<T*>(y.data_ptr());
    for_image_ranges(images, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const std::int64_t filter = filter_index(weights, k, x.size(1));
        kernels::correlate(from + k * step * (source.numel() / images), size,
                           taps + filter * (kernel[0] * kernel[1] * kernel[2]), kernel, step,
                           to + k * step * (y.numel() / images));
      }
    });
  });
  return y;
}

/// y_i = Σ_m x_{i+m} w_m for every channel of every item.
at::Tensor correlate(const at::Tensor& x, const at::Tensor& weights) {
  if (weights.is_complex()) {
    return correlate(x, at::real(weights)) + c10::complex<double>(0.0, 1.0) * correlate(x, at::imag(weights));
  }
  if (x.device().is_cpu() && !records_gradient(x, weights)) {
    return correlate_directly(x, weights);
  }
  if (x.is_complex()) {
    const at::Tensor parts = at::cat({at::real(x), at::imag(x)}, 1);
    const at::Tensor doubled = weights.size(1) == 1 ? weights : at::cat({weights, weights}, 1);
    const auto halves = correlate(parts, doubled).chunk(2, 1);
    return at::complex(halves[0], halves[1]);
  }
  const auto images = x.size(0) * x.size(1);
  std::vector<std::int64_t> weight_sizes = weights.sizes().vec();
  weight_sizes[0] = x.size(0);
  weight_sizes[1] = x.size(1);
  const at::Tensor kernels = weights.expand(weight_sizes).flatten(0, 1).unsqueeze(1);
  const at::Tensor y =
      at::convolution(x.flatten(0, 1).unsqueeze(0), kernels, {}, Sizes(x.dim() - 2, 1), Sizes(x.dim() - 2, 0),
                      Sizes(x.dim() - 2, 1), false, Sizes(x.dim() - 2, 0), images);
  return y.squeeze(0).unflatten(0, {x.size(0), x.size(1)});
}

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

std::string_view to_string(Padding padding) {
  return std::ranges::find(padding_names, padding, &std::pair<Padding, const char*>::first)->second;
}

namespace {

/// Where an array lies in the grid of the transforms, along each axis.
struct Window {
  Sizes size;
  Sizes offset;
};

}  // namespace

/// A filter made ready for images of one shape, dtype and device.
class Blur::Plan {
 public:
  /// With `periodic`, circular blurs transform the image itself, whatever its size; else a larger one of a quicker size
  /// where the image's is slow.
  Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes,
       bool periodic);

  bool serves(const at::Tensor& like, at::IntArrayRef sizes, bool periodic) const {
    return like.scalar_type() == dtype_ && like.device() == device_ && at::IntArrayRef(image_) == sizes &&
           (periodic_ || !periodic);
  }
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor adjoint(const at::Tensor& y) const;
  at::Tensor normal(const at::Tensor& x) const;
  /// max |H|², the squared norm of a circular blur.
  double squared_norm() const { return power().max().item<double>() * grid_points_; }

  // The filter's transform H / N and |H|² / N, N the number of grid points: the scale of the inverse transform is
  // folded in. Kept, but for compute_power(): a sum over many blurs needs none of its terms again.
  /// Its rows are those of the CPU's spectra, with zeros behind the bins.
  const at::Tensor& response() const;
  const at::Tensor& power() const;
  at::Tensor compute_power() const {
    return (response_.defined() ? bins(response_) : compute_response()).abs().square_().mul_(grid_points_);
  }
  /// In the order in which the CPU's transforms take it.
  at::Tensor in_blocks(const at::Tensor& power) const { return transform_->in_blocks(power); }
  std::int64_t numel_in_blocks() const { return transform_->numel_in_blocks(); }
  /// Without the zeros behind the rows, as spectrum() is.
  at::Tensor bins(const at::Tensor& factors) const { return factors.narrow(-1, 0, bins()); }
  /// The reverse.
  at::Tensor padded_rows(const at::Tensor& factors) const {
    return at::constant_pad_nd(factors, {0, transform_ ? transform_->row_length() - bins() : 0}).contiguous();
  }
  enum class Factor : std::uint8_t { Response, Conjugate, Power };

  // The transforms through ATen: differentiable, on any device.
  at::Tensor spectrum(const at::Tensor& x) const {
    return complex_ ? fft::forward(x, rank_) : fft::forward_real(x, rank_);
  }
  at::Tensor image(const at::Tensor& spectrum) const {
    return complex_ ? fft::backward(spectrum, rank_) : fft::backward_real(spectrum, rank_, grid_.back());
  }

  // The transforms on the CPU, image by image.
  bool has_kernels_for(const at::Tensor& x) const { return transform_ != nullptr && !records_gradient(x, filter_); }
  /// Complex numbers of a spectrum as the transforms make it, with what is behind its rows; and real ones of the array
  /// that holds the window.
  std::int64_t spectrum_size() const { return transform_->rows() * transform_->row_length(); }
  std::int64_t array_size(const Window& window) const { return c10::multiply_integers(window.size) * step(); }
  const Window& source() const { return source_; }
  template <class T>
  class Workspace;

  // Nanoseconds an image takes, as measured on one core of an AMD EPYC 9004 in single precision: the sum, 0.034 a tap
  // and pixel; a transform of N points and its inverse, 0.2 log2 N a point, ten times that for sizes with large prime
  // factors, and 0.8 for moving an image that does not fill the grid. Other machines scale all alike.
  double direct_time() const;
  double transform_time() const { return (slow_ ? 10.0 : 1.0) * quick_transform_time(); }
  /// Of A or its adjoint, and of the two in turn, by a plan of its own that avoids slow sizes.
  double time() const { return fft_ ? quick_transform_time() : direct_time(); }
  double normal_time() const { return (fft_ && !slow_ ? 1.0 : 2.0) * time(); }

 private:
  at::Tensor compute_response() const;
  std::int64_t step() const { return complex_ ? 2 : 1; }
  std::int64_t bins() const { return complex_ ? grid_.back() : grid_.back() / 2 + 1; }
  /// Whether the border that surrounds the image in the grid is not of zeros.
  bool extends_by_values() const {
    return padding_ == Padding::Replicate || padding_ == Padding::Reflect ||
           (padding_ == Padding::Circular && !periodic_);
  }
  double quick_transform_time() const;
  /// Derivatives are recorded through transforms, which are quicker there than ATen's convolutions.
  bool uses_fft(const at::Tensor& x) const { return fft_ || (automatic_ && records_gradient(x, filter_)); }
  at::Tensor padded(const at::Tensor& x) const;
  at::Tensor folded(at::Tensor z) const;
  at::Tensor convolve(const at::Tensor& x, const Window& from, Factor factor, const Window& to) const;
  at::Tensor convolve_with_kernels(const at::Tensor& x, const Window& from, Factor factor, const Window& to) const;

  Padding padding_;
  bool automatic_;
  bool periodic_;  // the grid is the image, and circular
  bool slow_;      // though its size has large prime factors
  at::ScalarType dtype_;
  at::Device device_;
  bool complex_;
  std::int64_t rank_;
  Sizes axes_;    // the spatial axes
  Sizes image_;   // spatial size of x
  Sizes kernel_;  // of the filter
  Sizes before_;  // border that the padding adds before and after the image
  Sizes after_;
  Sizes reach_;    // kernel size less one
  Sizes grid_;     // size of the transforms
  Window source_;  // the image in the grid, with its border where that is not of zeros
  Window target_;  // the measurement in the grid
  double grid_points_ = 1.0;
  bool fft_;
  at::Tensor filter_;  // in the dtype of x, real when the filter is
  at::Tensor flipped_;
  at::Tensor conjugate_;
  std::shared_ptr<const fft::ImageTransform> transform_;
  mutable at::Tensor response_;
  mutable at::Tensor power_;
  mutable at::Tensor power_in_blocks_;
};

Blur::Plan::Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes,
                 bool periodic)
    : padding_(options.padding),
      automatic_(options.method == ConvolutionMethod::Automatic),
      periodic_(padding_ == Padding::Circular && (periodic || std::ranges::all_of(sizes, fft::is_good_size))),
      slow_(periodic_ && !std::ranges::all_of(sizes, fft::is_good_size)),
      dtype_(like.scalar_type()),
      device_(like.device()),
      complex_(like.is_complex()),
      rank_(filter.dim() - 2),
      image_(sizes.begin(), sizes.end()),
      kernel_(filter.sizes().begin() + 2, filter.sizes().end()),
      filter_(filter.to(device_, filter.is_complex() ? dtype_ : at::toRealValueType(dtype_))) {
  const bool bordered = padding_ != Padding::Valid;
  for (std::size_t i = 0; i < image_.size(); ++i) {
    const std::int64_t centre = kernel_[i] / 2;
    axes_.push_back(static_cast<std::int64_t>(i) + 2);
    before_.push_back(bordered ? kernel_[i] - 1 - centre : 0);
    after_.push_back(bordered ? centre : 0);
    reach_.push_back(kernel_[i] - 1);
    const std::int64_t padded = image_[i] + before_[i] + after_[i];
    grid_.push_back(periodic_ ? image_[i] : fft::good_size(padded));
    grid_points_ *= static_cast<double>(grid_[i]);
    source_.size.push_back(extends_by_values() ? padded : image_[i]);
    source_.offset.push_back(padding_ == Padding::Constant ? before_[i] : 0);
    target_.size.push_back(padded - kernel_[i] + 1);
    target_.offset.push_back(0);
  }
  fft_ = options.method == ConvolutionMethod::Fft ||
         (automatic_ && (!device_.is_cpu() || quick_transform_time() < direct_time()));
  if (!fft_) {
    flipped_ = filter_.flip(axes_).contiguous();
    conjugate_ = filter_.conj().resolve_conj().contiguous();
  }
  if (device_.is_cpu()) {
    transform_ = fft::ImageTransform::make(grid_, dtype_);
  }
}

double Blur::Plan::direct_time() const {
  return 0.034 * static_cast<double>(c10::multiply_integers(kernel_)) *
         static_cast<double>(c10::multiply_integers(target_.size));
}

double Blur::Plan::quick_transform_time() const {
  return (0.2 * std::log2(grid_points_) + (periodic_ && !slow_ ? 0.0 : 0.8)) * grid_points_;
}

at::Tensor Blur::Plan::compute_response() const {
  std::vector<std::int64_t> sizes = filter_.sizes().slice(0, 2).vec();
  sizes.insert(sizes.end(), grid_.begin(), grid_.end());
  c10::List<std::optional<at::Tensor>> places({std::nullopt, std::nullopt});
  for (std::size_t i = 0; i < grid_.size(); ++i) {
    // A periodic grid: the centre goes to the origin. Otherwise the first entry of y comes out at the origin.
    const std::int64_t shift = periodic_ ? -(kernel_[i] / 2) : -reach_[i];
    std::vector<std::int64_t> axis(grid_.size(), 1);
    axis[i] = kernel_[i];
    places.push_back(at::arange(shift, shift + kernel_[i], at::TensorOptions(at::kLong).device(device_))
                         .remainder(grid_[i])
                         .view(axis));
  }
  const at::Tensor scaled = (filter_ / grid_points_).to(dtype_);
  return spectrum(at::zeros(sizes, scaled.options()).index_put_(places, scaled));
}

const at::Tensor& Blur::Plan::response() const {
  if (!response_.defined()) {
    response_ = padded_rows(compute_response());
  }
  return response_;
}

const at::Tensor& Blur::Plan::power() const {
  if (!power_.defined()) {
    power_ = compute_power();
  }
  return power_;
}

at::Tensor Blur::Plan::padded(const at::Tensor& x) const {
  switch (padding_) {
    case Padding::Circular:
      return pad(x, before_, after_, "circular");
    case Padding::Replicate:
      return pad(x, before_, after_, "replicate");
    case Padding::Reflect:
      return pad(x, before_, after_, "reflect");
    case Padding::Valid:
    case Padding::Constant:
      break;
  }
  return pad(x, before_, after_);
}

at::Tensor Blur::Plan::folded(at::Tensor z) const {
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    z = fold(z, axes_[i], before_[i], after_[i], padding_);
  }
  return z.contiguous();
}

at::Tensor Blur::Plan::forward(const at::Tensor& x) const {
  if (!uses_fft(x)) {
    return correlate(padded(x), flipped_);
  }
  return convolve(extends_by_values() ? padded(x) : x, source_, Factor::Response, target_);
}

at::Tensor Blur::Plan::adjoint(const at::Tensor& y) const {
  if (!uses_fft(y)) {
    return folded(correlate(pad(y, reach_, reach_), conjugate_));
  }
  const at::Tensor z = convolve(y, target_, Factor::Conjugate, source_);
  return extends_by_values() ? folded(z) : z;
}

at::Tensor Blur::Plan::normal(const at::Tensor& x) const {
  return periodic_ && uses_fft(x) ? convolve(x, source_, Factor::Power, source_) : adjoint(forward(x));
}

at::Tensor Blur::Plan::convolve(const at::Tensor& x, const Window& from, Factor factor, const Window& to) const {
  if (has_kernels_for(x)) {
    return convolve_with_kernels(x, from, factor, to);
  }
  Sizes room;
  for (std::size_t i = 0; i < grid_.size(); ++i) {
    room.push_back(grid_[i] - from.offset[i] - from.size[i]);
  }
  const at::Tensor transformed = spectrum(pad(x, from.offset, room));
  const at::Tensor product = factor == Factor::Response    ? transformed * bins(response())
                             : factor == Factor::Conjugate ? transformed * bins(response()).conj()
                                                           : transformed * power();
  at::Tensor y = image(product);
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    y = y.narrow(axes_[i], to.offset[i], to.size[i]);
  }
  return y.contiguous();
}

/// Leads one image after another through the transforms: by load() and forward() to its spectrum, by backward() and
/// store() back.
template <class T>
class Blur::Plan::Workspace {
 public:
  using Spectrum = fft::Spectrum<T>;

  explicit Workspace(const Plan& plan)
      : plan_(plan),
        row_(at::empty({at::get_num_threads() * plan.grid_.back()},
                       at::TensorOptions(c10::CppTypeToScalarType<T>::value))) {}

  Spectrum spectrum() const { return Spectrum(*plan_.transform_); }

  /// The transforms along the rows of the grid: those of the image that is at the window, zeros elsewhere.
  void load(const T* image, const Window& window, const Spectrum& spectrum) {
    const std::int64_t width = window.size.back() * plan_.step();
    spectrum.for_each_row([&](std::int64_t r, T* row) {
      const std::int64_t image_row = row_of(window, r);
      if (image_row < 0) {
        std::fill_n(row, 2 * plan_.transform_->bins(), T(0));
        return;
      }
      const T* const source = image + image_row * width;
      if (fills_rows(window) && !plan_.complex_) {
        along_row().forward(source, row);
        return;
      }
      T* const whole = plan_.complex_ ? row : grid_row();
      if (!fills_rows(window)) {
        std::fill_n(whole, plan_.grid_.back() * plan_.step(), T(0));
      }
      std::copy_n(source, width, whole + start(window));
      along_row().forward(whole, row);
    });
  }
  /// The reverse, for the rows of the window. Overwrites the spectrum.
  void store(const Spectrum& spectrum, const Window& window, T* image) {
    const std::int64_t width = window.size.back() * plan_.step();
    spectrum.for_each_row([&](std::int64_t r, T* row) {
      const std::int64_t image_row = row_of(window, r);
      if (image_row < 0) {
        return;
      }
      T* const target = image + image_row * width;
      if (fills_rows(window) && !plan_.complex_) {
        along_row().backward(row, target);
        return;
      }
      T* const whole = plan_.complex_ ? row : grid_row();
      along_row().backward(row, whole);
      std::copy_n(whole + start(window), width, target);
    });
  }
  // The transforms along a block of columns.
  void forward(T* block) const { plan_.transform_->along_columns().forward(block, block); }
  void backward(T* block) const { plan_.transform_->along_columns().backward(block, block); }
  /// Of the block that begins at column `offset`, from `power` in blocks.
  kernels::Weights<T> factors(const T* power, std::int64_t offset) const {
    return {power + offset * plan_.transform_->rows()};
  }

 private:
  const fft::Transform& along_row() const { return plan_.transform_->along_row(); }
  T* grid_row() const { return row_.template data_ptr<T>() + at::get_thread_num() * plan_.grid_.back(); }
  bool fills_rows(const Window& window) const { return window.size.back() == plan_.grid_.back(); }
  std::int64_t start(const Window& window) const { return window.offset.back() * plan_.step(); }
  /// The row of the image at the window that row r of the grid is; -1 for none.
  std::int64_t row_of(const Window& window, std::int64_t r) const {
    const auto grid = planes(plan_.grid_);
    const auto size = planes(window.size);
    const std::int64_t plane = r / grid[1] - (plan_.rank_ == 3 ? window.offset[0] : 0);
    const std::int64_t row = r % grid[1] - window.offset[window.offset.size() - 2];
    return plane < 0 || plane >= size[0] || row < 0 || row >= size[1] ? -1 : plane * size[1] + row;
  }

  const Plan& plan_;
  at::Tensor row_;  // of the grid, for each thread
};

at::Tensor Blur::Plan::convolve_with_kernels(const at::Tensor& x, const Window& from, Factor factor,
                                             const Window& to) const {
  const at::Tensor source = plain(x);
  std::vector<std::int64_t> sizes = {x.size(0), x.size(1)};
  sizes.insert(sizes.end(), to.size.begin(), to.size.end());
  const at::Tensor y = at::empty(sizes, x.options());
  const bool power = factor == Factor::Power;
  if (power && !power_in_blocks_.defined()) {
    power_in_blocks_ = in_blocks(compute_power());
  }
  const at::Tensor& factors = power ? power_in_blocks_ : response();
  with_precision_of(dtype_, [&]<class T>(T) {
    const auto* in = static_cast<const T*>(source.const_data_ptr());
    const auto* values = static_cast<const T*>(factors.const_data_ptr());
    auto* out = static_cast<T*>(y.data_ptr());
    for_image_ranges(x.size(0) * x.size(1), [&](std::int64_t begin, std::int64_t end) {
      Workspace<T> workspace(*this);
      const auto spectrum = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
        const T* const by =
            values + filter_index(factors, k, x.size(1)) * (power ? numel_in_blocks() : 2 * spectrum_size());
        workspace.load(in + k * array_size(from), from, spectrum);
        spectrum.for_each_block([&](std::int64_t offset, T* block) {
          workspace.forward(block);
          if (power) {
            kernels::scale(block, workspace.factors(by, offset), spectrum.columns());
          } else if (factor == Factor::Conjugate) {
            kernels::multiply_conjugate(by + 2 * offset, block, block, true, spectrum.columns());
          } else {
            kernels::multiply(by + 2 * offset, block, block, spectrum.columns());
          }
          workspace.backward(block);
        });
        workspace.store(spectrum, to, out + k * array_size(to));
      }
    });
  });
  return y;
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
Sizes image_sizes(const at::Tensor& filter, Padding padding, const at::Tensor& tensor, bool is_measurement) {
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
  Sizes sizes;
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

}  // namespace

Blur::Blur(const at::Tensor& filter, BlurOptions options) : options_(options) {
  check_filter(filter);
  filter_ = filter.detach();
}

Blur::~Blur() = default;

void Blur::update_impl(const Params& params) {
  if (params.contains("filter")) {
    const auto filter = params.get<at::Tensor>("filter");
    check_filter(filter);
    filter_ = filter.detach();
    plans_.clear();
  }
}

std::shared_ptr<const Blur::Plan> Blur::plan(const at::Tensor& tensor, const Params& params, bool is_measurement,
                                             bool periodic) const {
  if (!params.empty() && params.contains("filter")) {
    const auto filter = params.get<at::Tensor>("filter");
    check_filter(filter);
    return std::make_shared<const Plan>(filter, options_, tensor,
                                        image_sizes(filter, options_.padding, tensor, is_measurement), periodic);
  }
  const Sizes sizes = image_sizes(filter_, options_.padding, tensor, is_measurement);
  for (const auto& known : plans_) {
    if (known->serves(tensor, sizes, periodic)) {
      return known;
    }
  }
  if (plans_.size() == plans_kept) {
    plans_.erase(plans_.begin());
  }
  plans_.push_back(std::make_shared<const Plan>(filter_, options_, tensor, sizes, periodic));
  return plans_.back();
}

at::Tensor Blur::A_impl(const at::Tensor& x, const Params& params) const { return plan(x, params, false)->forward(x); }

at::Tensor Blur::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return plan(y, params, true)->adjoint(y);
}

at::Tensor Blur::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  return plan(x, params, false)->normal(x);
}

std::optional<double> Blur::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  if (options_.padding != Padding::Circular) {
    return std::nullopt;
  }
  return plan(x0, params, false, true)->squared_norm();
}

at::Tensor Blur::image_like(const at::Tensor& y) const {
  std::vector<std::int64_t> sizes = y.sizes().vec();
  const Sizes spatial = image_sizes(filter_, options_.padding, y, true);
  std::ranges::copy(spatial, sizes.begin() + 2);
  return at::zeros(sizes, y.options());
}

/// Circular blurs of one image, which share its transform.
class FusedBlurs final : public FusedStack {
 public:
  explicit FusedBlurs(std::vector<std::shared_ptr<const Blur>> blurs) : blurs_(std::move(blurs)) {}

  TensorList A(const at::Tensor& x, const TensorList& out) override {
    if (!prepare(x) || one_way_time_ < fused_one_way_time()) {
      return {};
    }
    TensorList y;
    y.reserve(plans_.size());
    if (!plans_[0]->has_kernels_for(x)) {
      const at::Tensor spectrum = plans_[0]->spectrum(x);
      if (joins(x)) {
        const at::Tensor all = plans_[0]->image(spectrum * responses_);
        for (std::int64_t i = 0; i < all.size(0); ++i) {
          y.push_back(all[i]);
        }
        return y;
      }
      for (const auto& plan : plans_) {
        y.push_back(plan->image(spectrum * plan->bins(plan->response())));
      }
      return y;
    }
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      y.push_back(fit_or_empty(out, i, x.sizes(), x.options()));
    }
    const at::Tensor source = plain(x);
    for_each_image(x, [&]<class T>(Plan::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
      const auto spectrum = workspace.spectrum();
      const auto product = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
        workspace.load(image<T>(source, k), window(), spectrum);
        spectrum.for_each_block([&](std::int64_t /*offset*/, T* block) { workspace.forward(block); });
        for (std::size_t i = 0; i < plans_.size(); ++i) {
          const T* const response = factor<T>(plans_[i]->response(), 2 * plans_[0]->spectrum_size(), k);
          product.for_each_block([&](std::int64_t offset, T* block) {
            kernels::multiply(response + 2 * offset, spectrum.data() + 2 * offset, block, product.columns());
            workspace.backward(block);
          });
          workspace.store(product, window(), image<T>(y[i], k));
        }
      }
    });
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) override {
    if (y.size() != blurs_.size() || !alike(y) || !prepare(y[0]) || one_way_time_ < fused_one_way_time()) {
      return {};
    }
    if (!plans_[0]->has_kernels_for(y[0])) {
      if (joins(y[0])) {
        return plans_[0]->image((plans_[0]->spectrum(at::stack(y.tensors())) * responses_.conj()).sum(0));
      }
      at::Tensor sum = plans_[0]->spectrum(y[0]).mul_(plans_[0]->bins(plans_[0]->response()).conj());
      for (std::size_t i = 1; i < plans_.size(); ++i) {
        sum.addcmul_(plans_[i]->spectrum(y[i]), plans_[i]->bins(plans_[i]->response()).conj());
      }
      return plans_[0]->image(sum);
    }
    std::vector<at::Tensor> sources;
    for (const at::Tensor& one : y) {
      sources.push_back(plain(one));
    }
    const at::Tensor x = fit_or_empty(out, y[0].sizes(), y[0].options());
    for_each_image(x, [&]<class T>(Plan::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
      const auto sum = workspace.spectrum();
      const auto spectrum = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
        for (std::size_t i = 0; i < plans_.size(); ++i) {
          const T* const response = factor<T>(plans_[i]->response(), 2 * plans_[0]->spectrum_size(), k);
          workspace.load(image<T>(sources[i], k), window(), spectrum);
          spectrum.for_each_block([&](std::int64_t offset, T* block) {
            workspace.forward(block);
            T* const total = sum.data() + 2 * offset;
            kernels::multiply_conjugate(response + 2 * offset, block, total, i == 0, sum.columns());
            if (i + 1 == plans_.size()) {
              workspace.backward(total);
            }
          });
        }
        workspace.store(sum, window(), image<T>(x, k));
      }
    });
    return x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) override {
    if (!prepare(x) || normal_time_ < plans_[0]->transform_time()) {
      return {};
    }
    return apply_normal_form(power(x), x, 0, 1, out);
  }

  at::Tensor normal_form(const at::Tensor& x) override {
    const bool serves = prepare(x) && normal_time_ >= plans_[0]->transform_time() && plans_[0]->has_kernels_for(x);
    // One filter for all images, so that the sums of all stacks have one shape.
    return serves && power(x).size(0) == 1 && power_.size(1) == 1 ? power_ : at::Tensor();
  }

  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out) override {
    if (!prepare(x)) {
      return {};
    }
    if (!plans_[0]->has_kernels_for(x)) {
      return parts == 1 ? plans_[0]->image(plans_[0]->spectrum(x) * form) : at::Tensor();
    }
    const at::Tensor source = plain(x);
    const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
    const ImageRange mine = images_of_part(x.sizes(), part, parts);
    for_images(x, mine.first_image, mine.images,
               [&]<class T>(Plan::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
                 const auto spectrum = workspace.spectrum();
                 for (std::int64_t k = begin; k < end; ++k) {
                   const T* const power = factor<T>(form, plans_[0]->numel_in_blocks(), k);
                   workspace.load(image<T>(source, k), window(), spectrum);
                   spectrum.for_each_block([&](std::int64_t offset, T* block) {
                     workspace.forward(block);
                     kernels::scale(block, workspace.factors(power, offset), spectrum.columns());
                     workspace.backward(block);
                   });
                   workspace.store(spectrum, window(), image<T>(z, k));
                 }
               });
    return z;
  }

 private:
  using Plan = Blur::Plan;

  /// Numbers of all results up to which a GPU is quicker with all of them at once; more fill it one by one.
  static constexpr std::int64_t joint_numel = std::int64_t{1} << 24;

  /// Whether the blurs are best applied all at once, by what is then in responses_: on a GPU, to small images.
  bool joins(const at::Tensor& x) {
    if (x.is_cpu() || x.numel() * static_cast<std::int64_t>(plans_.size()) > joint_numel) {
      return false;
    }
    if (!responses_.defined()) {
      std::vector<at::Tensor> all;
      for (const auto& plan : plans_) {
        if (plan->response().sizes() != plans_[0]->response().sizes()) {
          return false;
        }
        all.push_back(plan->response());
      }
      responses_ = at::stack(all);
    }
    return true;
  }

  /// Σ |H_i|² / N; in blocks where there are kernels for x.
  const at::Tensor& power(const at::Tensor& x) {
    if (!power_.defined()) {
      power_ = plans_[0]->compute_power();
      for (std::size_t i = 1; i < plans_.size(); ++i) {
        // Not in place: filters of several items or channels enlarge the sum.
        power_ = power_ + plans_[i]->compute_power();
      }
      power_ = plans_[0]->has_kernels_for(x) ? plans_[0]->in_blocks(power_) : power_;
    }
    return power_;
  }

  /// One transform of the image and one back for each blur, or the reverse.
  double fused_one_way_time() const {
    return 0.5 * static_cast<double>(plans_.size() + 1) * plans_[0]->transform_time();
  }
  const Window& window() const { return plans_[0]->source(); }
  template <class T>
  T* image(const at::Tensor& batch, std::int64_t k) const {
    return static_cast<T*>(batch.data_ptr()) + k * plans_[0]->array_size(window());
  }
  /// The factors for image k, which are `numel` real numbers.
  template <class T>
  const T* factor(const at::Tensor& factors, std::int64_t numel, std::int64_t k) const {
    return static_cast<const T*>(factors.const_data_ptr()) + filter_index(factors, k, items_[1]) * numel;
  }
  /// Calls body(workspace, begin, end) for ranges of `count` images, from `start` on, of a batch like `like`.
  template <class Body>
  void for_images(const at::Tensor& like, std::int64_t start, std::int64_t count, const Body& body) const {
    with_precision_of(like.scalar_type(), [&]<class T>(T) {
      for_image_ranges(count, [&](std::int64_t begin, std::int64_t end) {
        Plan::Workspace<T> workspace(*plans_[0]);
        body(workspace, start + begin, start + end);
      });
    });
  }
  template <class Body>
  void for_each_image(const at::Tensor& like, const Body& body) const {
    for_images(like, 0, items_[0] * items_[1], body);
  }

  static bool alike(const TensorList& y) {
    return std::ranges::all_of(y, [&](const at::Tensor& t) {
      return t.defined() && t.sizes() == y[0].sizes() && t.scalar_type() == y[0].scalar_type() &&
             t.device() == y[0].device() && !records_gradient(t, t);
    });
  }

  /// Makes the plans for x unless they are there. False when x needs gradients or does not fit: the plain stack's
  /// affair.
  bool prepare(const at::Tensor& x) {
    if (!x.defined() || records_gradient(x, x) || x.dim() != blurs_[0]->filter().dim()) {
      return false;
    }
    const auto current = [](const std::shared_ptr<const Blur>& blur, std::int64_t version) {
      return blur->version() == version;
    };
    if (!plans_.empty() && plans_[0]->serves(x, x.sizes().slice(2), true) &&
        x.sizes().slice(0, 2) == at::IntArrayRef(items_) && std::ranges::equal(blurs_, versions_, current)) {
      return true;
    }
    plans_.clear();
    versions_.clear();
    items_.assign(x.sizes().begin(), x.sizes().begin() + 2);
    try {
      for (const auto& blur : blurs_) {
        plans_.push_back(blur->plan(x, {}, false, true));
        versions_.push_back(blur->version());
      }
    } catch (const InvalidArgument&) {
      plans_.clear();
      return false;
    }
    power_.reset();
    responses_.reset();
    one_way_time_ = 0.0;
    normal_time_ = 0.0;
    for (const auto& plan : plans_) {
      one_way_time_ += plan->time();
      normal_time_ += plan->normal_time();
    }
    return true;
  }

  std::vector<std::shared_ptr<const Blur>> blurs_;
  std::vector<std::shared_ptr<const Plan>> plans_;
  std::vector<std::int64_t> versions_;
  Sizes items_;
  at::Tensor power_;
  at::Tensor responses_;
  // What the plain stack would take: small kernels are quicker one by one, without transforms.
  double one_way_time_ = 0.0;
  double normal_time_ = 0.0;
};

std::unique_ptr<FusedStack> Blur::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  std::vector<std::shared_ptr<const Blur>> blurs;
  for (const auto& one : operators) {
    auto blur = std::dynamic_pointer_cast<const Blur>(one);
    if (!blur || blur->options_.padding != Padding::Circular || blur->options_.method == ConvolutionMethod::Direct ||
        blur->filter_.dim() != filter_.dim()) {
      return nullptr;
    }
    blurs.push_back(std::move(blur));
  }
  return blurs.empty() ? nullptr : std::make_unique<FusedBlurs>(std::move(blurs));
}

}  // namespace adjoin
