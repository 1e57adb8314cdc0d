#include "adjoin/physics/blur.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused.hpp"
#include "fft.hpp"

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

/// a · b, into a where automatic differentiation allows. a must be a temporary.
at::Tensor times(at::Tensor a, const at::Tensor& b) { return records_gradient(a, b) ? a * b : a.mul_(b); }

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

/// The first `sizes` entries along the trailing axes.
at::Tensor leading(at::Tensor x, at::IntArrayRef sizes) {
  const auto first = x.dim() - static_cast<std::int64_t>(sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    x = x.narrow(first + static_cast<std::int64_t>(i), 0, sizes[i]);
  }
  return x;
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

/// y_i = Σ_m x_{i+m} w_m for every channel of every item.
at::Tensor correlate(const at::Tensor& x, const at::Tensor& weights) {
  if (weights.is_complex()) {
    return correlate(x, at::real(weights)) + c10::complex<double>(0.0, 1.0) * correlate(x, at::imag(weights));
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

/// A filter made ready for images of one shape, dtype and device.
class Blur::Plan {
 public:
  Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes);

  bool serves(const at::Tensor& like, at::IntArrayRef sizes) const {
    return like.scalar_type() == dtype_ && like.device() == device_ && at::IntArrayRef(image_) == sizes;
  }
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor adjoint(const at::Tensor& y) const;
  at::Tensor normal(const at::Tensor& x) const {
    return fft_ && padding_ == Padding::Circular ? filtered(x, power()) : adjoint(forward(x));
  }

  at::Tensor spectrum(const at::Tensor& x) const {
    return complex_ ? fft::forward(x, rank_) : fft::forward_real(x, rank_);
  }
  at::Tensor image(const at::Tensor& spectrum) const {
    return complex_ ? fft::backward(spectrum, rank_) : fft::backward_real(spectrum, rank_, grid_.back());
  }
  at::Tensor filtered(const at::Tensor& x, const at::Tensor& response) const {
    return image(times(spectrum(x), response));
  }

  /// The filter's transform H / N, its conjugate and |H|² / N, N the number of grid points: the scale of the inverse
  /// transform is folded in.
  const at::Tensor& response() const;
  const at::Tensor& conjugate() const;
  const at::Tensor& power() const;
  /// max |H|², the squared norm of a circular blur.
  double squared_norm() const;

 private:
  bool direct_is_cheaper() const;
  at::Tensor padded(const at::Tensor& x) const;

  Padding padding_;
  at::ScalarType dtype_;
  at::Device device_;
  bool complex_;
  std::int64_t rank_;
  Sizes image_;   // spatial size of x
  Sizes kernel_;  // of the filter
  Sizes before_;  // border that the padding adds before and after the image
  Sizes after_;
  Sizes padded_;  // image and border
  Sizes out_;     // spatial size of y
  Sizes grid_;    // size of the transforms
  // Zeros that fill the grid: behind a bordered image's, a padded image's and a measurement's own entries.
  Sizes none_, after_image_, after_padded_, after_out_;
  Sizes reach_;  // kernel size less one
  Sizes axes_;   // the spatial axes
  double grid_points_ = 1.0;
  bool fft_;
  at::Tensor filter_;  // in the dtype of x, real when the filter is
  at::Tensor flipped_;
  mutable at::Tensor response_;
  mutable at::Tensor conjugate_;
  mutable at::Tensor power_;
};

Blur::Plan::Plan(const at::Tensor& filter, const BlurOptions& options, const at::Tensor& like, at::IntArrayRef sizes)
    : padding_(options.padding),
      dtype_(like.scalar_type()),
      device_(like.device()),
      complex_(like.is_complex()),
      rank_(filter.dim() - 2),
      image_(sizes.begin(), sizes.end()),
      kernel_(filter.sizes().begin() + 2, filter.sizes().end()),
      filter_(filter.to(device_, filter.is_complex() ? dtype_ : at::toRealValueType(dtype_))) {
  for (std::size_t i = 0; i < image_.size(); ++i) {
    const bool bordered = padding_ != Padding::Valid;
    const std::int64_t centre = kernel_[i] / 2;
    before_.push_back(bordered ? kernel_[i] - 1 - centre : 0);
    after_.push_back(bordered ? centre : 0);
    padded_.push_back(image_[i] + before_[i] + after_[i]);
    out_.push_back(padded_[i] - kernel_[i] + 1);
    grid_.push_back(padding_ == Padding::Circular ? image_[i] : fft::good_size(padded_[i]));
    none_.push_back(0);
    after_image_.push_back(grid_[i] - before_[i] - image_[i]);
    after_padded_.push_back(grid_[i] - padded_[i]);
    after_out_.push_back(grid_[i] - out_[i]);
    reach_.push_back(kernel_[i] - 1);
    axes_.push_back(static_cast<std::int64_t>(i) + 2);
    grid_points_ *= static_cast<double>(grid_[i]);
  }
  fft_ = options.method == ConvolutionMethod::Fft ||
         (options.method == ConvolutionMethod::Automatic && !direct_is_cheaper());
  if (!fft_) {
    flipped_ = filter_.flip(axes_);
  }
}

bool Blur::Plan::direct_is_cheaper() const {
  double taps = 1.0;
  for (const std::int64_t k : kernel_) {
    taps *= static_cast<double>(k);
  }
  return taps == 1.0;
}

const at::Tensor& Blur::Plan::response() const {
  if (response_.defined()) {
    return response_;
  }
  Sizes room;
  Sizes shift;
  for (std::size_t i = 0; i < image_.size(); ++i) {
    room.push_back(grid_[i] - kernel_[i]);
    // Circular: the centre goes to the origin. Otherwise the first entry of y comes out at the origin.
    shift.push_back(padding_ == Padding::Circular ? -(kernel_[i] / 2) : 1 - kernel_[i]);
  }
  const at::Tensor scaled = filter_ / grid_points_;
  const at::Tensor spread = at::roll(pad(complex_ ? scaled.to(dtype_) : scaled, none_, room), shift, axes_);
  response_ = spectrum(spread);
  return response_;
}

const at::Tensor& Blur::Plan::conjugate() const {
  if (!conjugate_.defined()) {
    conjugate_ = at::resolve_conj(response().conj());
  }
  return conjugate_;
}

const at::Tensor& Blur::Plan::power() const {
  if (!power_.defined()) {
    power_ = response() * conjugate() * grid_points_;
  }
  return power_;
}

double Blur::Plan::squared_norm() const { return at::abs(power()).max().item<double>() * grid_points_; }

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

at::Tensor Blur::Plan::forward(const at::Tensor& x) const {
  if (!fft_) {
    return correlate(padded(x), flipped_);
  }
  if (padding_ == Padding::Circular) {
    return filtered(x, response());
  }
  const at::Tensor extended =
      padding_ == Padding::Constant ? pad(x, before_, after_image_) : pad(padded(x), none_, after_padded_);
  return leading(filtered(extended, response()), out_).contiguous();
}

at::Tensor Blur::Plan::adjoint(const at::Tensor& y) const {
  if (fft_ && padding_ == Padding::Circular) {
    return filtered(y, conjugate());
  }
  at::Tensor z;
  if (fft_) {
    z = leading(filtered(pad(y, none_, after_out_), conjugate()), padded_);
  } else {
    z = correlate(pad(y, reach_, reach_), at::resolve_conj(filter_.conj()));
  }
  for (std::size_t i = 0; i < image_.size(); ++i) {
    z = fold(z, static_cast<std::int64_t>(i) + 2, before_[i], after_[i], padding_);
  }
  return z.contiguous();
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

std::shared_ptr<const Blur::Plan> Blur::plan(const at::Tensor& tensor, const Params& params,
                                             bool is_measurement) const {
  if (!params.empty() && params.contains("filter")) {
    const auto filter = params.get<at::Tensor>("filter");
    check_filter(filter);
    return std::make_shared<const Plan>(filter, options_, tensor,
                                        image_sizes(filter, options_.padding, tensor, is_measurement));
  }
  const Sizes sizes = image_sizes(filter_, options_.padding, tensor, is_measurement);
  for (const auto& known : plans_) {
    if (known->serves(tensor, sizes)) {
      return known;
    }
  }
  if (plans_.size() == plans_kept) {
    plans_.erase(plans_.begin());
  }
  plans_.push_back(std::make_shared<const Plan>(filter_, options_, tensor, sizes));
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
  return plan(x0, params, false)->squared_norm();
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

  TensorList A(const at::Tensor& x) override {
    if (!prepare(x)) {
      return {};
    }
    TensorList y;
    y.reserve(plans_.size());
    const at::Tensor spectrum = plans_.front()->spectrum(x);
    for (const auto& plan : plans_) {
      y.push_back(plan->image(spectrum * plan->response()));
    }
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& /*out*/) override {
    if (y.size() != blurs_.size() || !alike(y) || !prepare(y[0])) {
      return {};
    }
    at::Tensor sum = plans_[0]->spectrum(y[0]).mul_(plans_[0]->conjugate());
    for (std::size_t i = 1; i < plans_.size(); ++i) {
      sum.addcmul_(plans_[i]->spectrum(y[i]), plans_[i]->conjugate());
    }
    return plans_[0]->image(sum);
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& /*out*/) override {
    return prepare(x) ? plans_[0]->filtered(x, power_) : at::Tensor();
  }

 private:
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
    if (!plans_.empty() && plans_[0]->serves(x, x.sizes().slice(2)) &&
        x.sizes().slice(0, 2) == at::IntArrayRef(items_) && std::ranges::equal(blurs_, versions_, current)) {
      return true;
    }
    plans_.clear();
    versions_.clear();
    items_.assign(x.sizes().begin(), x.sizes().begin() + 2);
    try {
      for (const auto& blur : blurs_) {
        plans_.push_back(blur->plan(x, {}, false));
        versions_.push_back(blur->version());
      }
    } catch (const InvalidArgument&) {
      plans_.clear();
      return false;
    }
    power_ = plans_[0]->power();
    for (std::size_t i = 1; i < plans_.size(); ++i) {
      power_ = power_ + plans_[i]->power();
    }
    return true;
  }

  std::vector<std::shared_ptr<const Blur>> blurs_;
  std::vector<std::shared_ptr<const Blur::Plan>> plans_;
  std::vector<std::int64_t> versions_;
  Sizes items_;
  at::Tensor power_;
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
