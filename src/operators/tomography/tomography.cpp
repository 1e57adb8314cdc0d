#include "adjoin/operators/tomography/tomography.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "kernels/parallel_beam.hpp"
#include "operators/tomography/sinogram_filter.hpp"

namespace adjoin {

namespace {

using parallel_beam::Measured;
using parallel_beam::Size;
using parallel_beam::View;

constexpr std::array<std::pair<FbpFilter, std::string_view>, 5> filter_names = {{{FbpFilter::RamLak, "ram_lak"},
                                                                                 {FbpFilter::SheppLogan, "shepp_logan"},
                                                                                 {FbpFilter::Cosine, "cosine"},
                                                                                 {FbpFilter::Hamming, "hamming"},
                                                                                 {FbpFilter::Hann, "hann"}}};

bool has_kernels(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return (dtype == at::kFloat || dtype == at::kDouble) &&
         (tensor.is_cpu() || parallel_beam::has_gpu_kernels(tensor.device(), dtype));
}

std::int64_t planes_of(const at::Tensor& tensor) {
  return c10::multiply_integers(tensor.sizes().begin(), tensor.sizes().end() - 2);
}

// Run the kernels of the device of the contiguous image x, and of its measurements.

template <class T>
void project(const at::Tensor& x, Size image, std::span<const Measured<T>> measured) {
  x.is_cpu() ? parallel_beam::project<T>(static_cast<const T*>(x.const_data_ptr()), planes_of(x), image, measured)
             : parallel_beam::project_on_gpu<T>(x, image, measured);
}

template <class T>
void backproject(std::span<const Measured<const T>> measured, const at::Tensor& x, Size image) {
  x.is_cpu() ? parallel_beam::backproject<T>(measured, static_cast<T*>(x.data_ptr()), planes_of(x), image)
             : parallel_beam::backproject_on_gpu<T>(measured, x, image);
}

/// Calls f(T{}) for float or double tensors.
template <class F>
void with_precision_of(const at::Tensor& tensor, const F& f) {
  if (tensor.scalar_type() == at::kFloat) {
    f(float{});
  } else {
    f(double{});
  }
}

std::vector<std::int64_t> with_last_two(const at::Tensor& tensor, std::int64_t a, std::int64_t b) {
  std::vector<std::int64_t> sizes = tensor.sizes().vec();
  sizes[sizes.size() - 2] = a;
  sizes[sizes.size() - 1] = b;
  return sizes;
}

/// The views of a contiguous sinogram.
template <class T>
void append_measured(std::span<const View> views, T* data, std::vector<Measured<T>>& measured) {
  const auto stride = static_cast<std::int64_t>(views.size()) * views[0].detectors;
  for (const View& view : views) {
    measured.push_back({&view, data, stride});
    data += view.detectors;
  }
}

}  // namespace

FbpFilter fbp_filter_from_string(std::string_view name) {
  for (const auto& [filter, known] : filter_names) {
    if (name == known || (name == "ramp" && filter == FbpFilter::RamLak)) {
      return filter;
    }
  }
  throw InvalidArgument(
      c10::str("filter: must be ram_lak (or ramp), shepp_logan, cosine, hamming or hann, got '", name, "'"));
}

FbpPadding fbp_padding_from_string(std::string_view name) {
  check(name == "zeros" || name == "extrapolate", "padding: must be zeros or extrapolate, got '", name, "'");
  return name == "zeros" ? FbpPadding::Zeros : FbpPadding::Extrapolate;
}

std::string_view to_string(FbpFilter filter) { return filter_names[static_cast<std::size_t>(filter)].second; }

/// All views of an operator: a linear map between images and sinograms of one size.
class Tomography::Beam {
 public:
  enum class Direction : std::uint8_t { Project, Backproject };

  Beam(Size image, std::vector<View> views) : image_(image), views_(std::move(views)) {}

  Size image() const { return image_; }
  std::span<const View> views() const { return views_; }

  std::vector<std::int64_t> result_sizes(const at::Tensor& input, Direction direction) const {
    return direction == Direction::Project
               ? with_last_two(input, static_cast<std::int64_t>(views_.size()), views_[0].detectors)
               : with_last_two(input, image_.height, image_.width);
  }

  /// The projection, or its adjoint, of valid input; recorded by autograd.
  static at::Tensor apply(const std::shared_ptr<const Beam>& beam, const at::Tensor& input, Direction direction);

 private:
  at::Tensor evaluate(const at::Tensor& input, Direction direction) const;

  struct Recorded;
  struct Handle;

  Size image_;
  std::vector<View> views_;
};

at::Tensor Tomography::Beam::evaluate(const at::Tensor& input, Direction direction) const {
  if (input.is_complex()) {
    return at::complex(evaluate(at::real(input), direction), evaluate(at::imag(input), direction));
  }
  const std::vector<std::int64_t> sizes = result_sizes(input, direction);
  const at::Tensor source = input.contiguous();
  if (!has_kernels(source)) {
    const at::Tensor planes = source.flatten(0, -3);
    return (direction == Direction::Project ? parallel_beam::project(planes, views_)
                                            : parallel_beam::backproject(planes, views_, image_))
        .view(sizes);
  }
  at::Tensor result = at::empty(sizes, source.options());
  with_precision_of(source, [&]<class T>(T) {
    if (direction == Direction::Project) {
      std::vector<Measured<T>> measured;
      append_measured<T>(views_, static_cast<T*>(result.data_ptr()), measured);
      project<T>(source, image_, measured);
    } else {
      std::vector<Measured<const T>> measured;
      append_measured<const T>(views_, static_cast<const T*>(source.const_data_ptr()), measured);
      backproject<T>(measured, result, image_);
    }
  });
  return result;
}

struct Tomography::Beam::Handle : torch::CustomClassHolder {
  explicit Handle(std::shared_ptr<const Beam> b) : beam(std::move(b)) {}
  std::shared_ptr<const Beam> beam;
};

/// The derivative of either direction is the other one.
struct Tomography::Beam::Recorded : torch::autograd::Function<Recorded> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const std::shared_ptr<const Beam>& beam, bool project) {
    ctx->saved_data["beam"] = c10::IValue::make_capsule(c10::make_intrusive<Handle>(beam));
    ctx->saved_data["project"] = project;
    return beam->evaluate(input, project ? Direction::Project : Direction::Backproject);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = ctx->saved_data["beam"].toCapsule();
    const bool projected = ctx->saved_data["project"].toBool();
    return {Beam::apply(static_cast<Handle&>(*capsule).beam, gradients[0],
                        projected ? Direction::Backproject : Direction::Project),
            at::Tensor(), at::Tensor()};
  }
};

at::Tensor Tomography::Beam::apply(const std::shared_ptr<const Beam>& beam, const at::Tensor& input,
                                   Direction direction) {
  return records_gradients(input) ? Recorded::apply(input, beam, direction == Direction::Project)
                                  : beam->evaluate(input, direction);
}

Tomography::Tomography(const at::Tensor& angles, std::array<std::int64_t, 2> image_size, TomographyOptions options)
    : image_size_(image_size), options_(options) {
  check(angles.defined() && angles.dim() == 1 && angles.numel() > 0 && !angles.is_complex(),
        "Tomography: angles must be a real tensor of one axis with at least one entry, got ",
        angles.defined() ? c10::str(angles.sizes(), " of ", angles.scalar_type()) : "an undefined one");
  check(image_size[0] > 0 && image_size[1] > 0, "Tomography: image_size must be {H, W}, both positive, got {",
        image_size[0], ", ", image_size[1], "}");
  check(std::isfinite(options.spacing) && options.spacing > 0.0,
        "Tomography: spacing must be finite and positive, got ", options.spacing);
  check(std::isfinite(options.shift), "Tomography: shift must be finite, got ", options.shift);
  check(options.detectors >= 0, "Tomography: detectors must be positive, or 0 for the default, got ",
        options.detectors);
  const Size size{image_size[0], image_size[1]};
  if (options.detectors == 0) {
    const double diagonal = std::hypot(static_cast<double>(size.height), static_cast<double>(size.width));
    options_.detectors = static_cast<std::int64_t>(std::ceil(diagonal / options.spacing));
  }
  const at::Tensor degrees = angles.detach().to(at::kCPU, at::kDouble).contiguous();
  angles_.assign(degrees.const_data_ptr<double>(), degrees.const_data_ptr<double>() + degrees.numel());
  for (const double angle : angles_) {
    check(std::isfinite(angle), "Tomography: angles must be finite, got ", angle);
  }
  sinogram_filter_ = std::make_shared<const SinogramFilter>(angles_, image_size_, options_);
  const TomographyOptions& filtered = sinogram_filter_->detector();
  std::vector<View> joseph;
  std::vector<View> interpolating;
  for (const double angle : angles_) {
    const double radians = angle * std::numbers::pi / 180.0;
    joseph.push_back(parallel_beam::joseph_view(radians, size, options_.detectors, options_.spacing, options_.shift));
    interpolating.push_back(parallel_beam::interpolating(
        parallel_beam::joseph_view(radians, size, filtered.detectors, filtered.spacing, filtered.shift)));
  }
  line_integrals_ = std::make_shared<const Beam>(size, std::move(joseph));
  interpolation_ = std::make_shared<const Beam>(size, std::move(interpolating));
}

Tomography::~Tomography() = default;

void Tomography::check_image(const at::Tensor& x) const {
  check((x.dim() == 4 || x.dim() == 5) && x.size(-2) == image_size_[0] && x.size(-1) == image_size_[1],
        "Tomography::A: x must be (B, C, H, W) or (B, C, D, H, W) with H, W = ", image_size_[0], ", ", image_size_[1],
        ", got ", x.sizes());
}

void Tomography::check_measurement(const char* method, const at::Tensor& y) const {
  check((y.dim() == 4 || y.dim() == 5) && y.size(-2) == static_cast<std::int64_t>(angles_.size()) &&
            y.size(-1) == options_.detectors,
        "Tomography::", method, ": y must be (B, C, angles, detectors) or (B, C, D, angles, detectors) with ",
        angles_.size(), " angles and ", options_.detectors, " detectors, got ", y.sizes());
}

at::Tensor Tomography::A_impl(const at::Tensor& x, const Params& /*params*/) const {
  check_image(x);
  return Beam::apply(line_integrals_, x, Beam::Direction::Project);
}

at::Tensor Tomography::A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const {
  check_measurement("A_adjoint", y);
  return Beam::apply(line_integrals_, y, Beam::Direction::Backproject);
}

at::Tensor Tomography::image_like(const at::Tensor& y) const {
  check_measurement("A_adjoint", y);
  return at::empty(with_last_two(y, image_size_[0], image_size_[1]), y.options());
}

at::Tensor Tomography::fbp(const at::Tensor& y, const FbpOptions& options) const {
  check_tensor("fbp", "y", y);
  check_measurement("fbp", y);
  const auto filtered = [&](const at::Tensor& part) {
    return Beam::apply(interpolation_, (*sinogram_filter_)(part, options), Beam::Direction::Backproject);
  };
  return y.is_complex() ? at::complex(filtered(at::real(y)), filtered(at::imag(y))) : filtered(y);
}

/// Angles of several operators on images of one size, computed together.
class FusedAngles final : public FusedOf<Tomography> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    const auto [height, width] = (*this)[0].image_size_;
    if (!takes(x) || !has_kernels(x) || (x.dim() != 4 && x.dim() != 5) || x.size(-2) != height || x.size(-1) != width) {
      return {};
    }
    const at::Tensor source = x.contiguous();
    TensorList y;
    y.reserve(size());
    with_precision_of(x, [&]<class T>(T) {
      std::vector<Measured<T>> measured;
      for (const auto& op : operators()) {
        const Beam& beam = *op->line_integrals_;
        at::Tensor sinogram = fit_or_empty(out, y.size(), beam.result_sizes(x, Beam::Direction::Project), x.options());
        append_measured<T>(beam.views(), static_cast<T*>(sinogram.data_ptr()), measured);
        y.push_back(std::move(sinogram));
      }
      project<T>(source, image(), measured);
    });
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    if (!takes(y) || !has_kernels(y[0]) || y[0].dim() < 3) {
      return {};
    }
    const std::vector<std::int64_t> sizes = with_last_two(y[0], image().height, image().width);
    TensorList sources;
    sources.reserve(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const at::Tensor& own = y[i];
      const Tomography& op = (*this)[i];
      if (own.scalar_type() != y[0].scalar_type() || own.device() != y[0].device() || own.dim() != y[0].dim() ||
          (own.dim() != 4 && own.dim() != 5) || with_last_two(own, image().height, image().width) != sizes ||
          own.size(-2) != static_cast<std::int64_t>(op.angles_.size()) || own.size(-1) != op.options_.detectors) {
        return {};
      }
      sources.push_back(own.contiguous());
    }
    const at::Tensor x = fits(out, sizes, y[0].options()) ? out : at::empty(sizes, y[0].options());
    with_precision_of(x, [&]<class T>(T) {
      std::vector<Measured<const T>> measured;
      for (std::size_t i = 0; i < y.size(); ++i) {
        append_measured<const T>((*this)[i].line_integrals_->views(),
                                 static_cast<const T*>(sources[i].const_data_ptr()), measured);
      }
      backproject<T>(measured, x, image());
    });
    return x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const TensorList y = A(x, {});
    return y.empty() ? at::Tensor() : A_adjoint(y, out);
  }

 private:
  using Beam = Tomography::Beam;

  Size image() const { return (*this)[0].line_integrals_->image(); }
};

std::unique_ptr<FusedStack> Tomography::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto angles = all_of_class<Tomography>(operators);
  const auto alike = [&](const auto& one) { return one->image_size_ == image_size_; };
  return angles.empty() || !std::ranges::all_of(angles, alike) ? nullptr
                                                               : std::make_unique<FusedAngles>(std::move(angles));
}

}  // namespace adjoin
