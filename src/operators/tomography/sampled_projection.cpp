// SPDX-License-Identifier: BSD-3-Clause
// The operator on grids of samples: plans for each layout, and torch's grid_sample where there is no kernel.
#include "adjoin/operators/tomography/sampled_projection.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "core/parallel_for.hpp"
#include "kernels/arrays.hpp"
#include "operators/tomography/sample_plan.hpp"

namespace adjoin {

using kernels::with_precision_of;
using sampled_lines::Frame;

namespace {

Frame frame_of(std::array<std::int64_t, 2> image, const SampledProjectionOptions& options) {
  return {.height = image[0],
          .width = image[1],
          .scale_x = static_cast<double>(options.frame[1] - 1) / 2.0,
          .scale_y = static_cast<double>(options.frame[0] - 1) / 2.0,
          .offset_x = static_cast<double>(options.before[1]),
          .offset_y = static_cast<double>(options.before[0])};
}

/// A tensor that the operator follows, without gradients. Throws InvalidArgument where those are asked for.
at::Tensor followed(const char* argument, const at::Tensor& tensor) {
  check(!is_differentiated(tensor), "SampledProjection: ", argument,
        " must not require gradients or carry a tangent: the projection is differentiated for images alone");
  return watched(tensor);
}

}  // namespace

SampledProjection::Plan::Plan(const SampledProjection& op, at::ScalarType dtype, at::Device device)
    : frame_(frame_of(op.image_size_, op.options_)), options_(op.options_), grid_(op.grid_.to(device, dtype)) {
  if (options_.weights.defined()) {
    options_.weights = options_.weights.to(device, dtype).contiguous();
  }
  if (grid_.stride(3) != 1 || grid_.stride(2) != 2) {
    grid_ = grid_.contiguous();
  }
  if (!device.is_cpu()) {
    return;
  }
  ranges_.resize(static_cast<std::size_t>(grid_.size(0) * grid_.size(1)));
  with_precision_of(dtype, [&]<class T>(T) {
    for (std::int64_t a = 0; a < grid_.size(0); ++a) {
      sampled_lines::find_ranges(frame_, view<T>(a), ranges_.data() + a * grid_.size(1));
    }
  });
}

std::vector<std::int64_t> SampledProjection::Plan::result_sizes(const at::Tensor& input, Direction direction) const {
  return direction == Direction::project
             ? std::vector<std::int64_t>{input.size(0), input.size(1), lines(), views()}
             : std::vector<std::int64_t>{input.size(0), input.size(1), frame_.height, frame_.width};
}

at::Tensor SampledProjection::Plan::evaluate(const at::Tensor& input, Direction direction) const {
  if (input.is_complex()) {
    return at::complex(evaluate(at::real(input), direction), evaluate(at::imag(input), direction));
  }
  if (!has_kernels(input)) {
    return evaluate_by_torch(input, direction);
  }
  const at::Tensor source = kernels::plain(input);
  at::Tensor result = at::empty(result_sizes(input, direction), source.options());
  const std::int64_t images = input.size(0) * input.size(1);
  with_precision_of(source.scalar_type(), [&]<class T>(T) {
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    auto* to = static_cast<T*>(result.data_ptr());
    parallel_for(0, images, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<T> bordered(static_cast<std::size_t>(sampled_lines::bordered_size(frame_)));
      std::vector<T> room(static_cast<std::size_t>(lines()));
      const std::int64_t pixels = frame_.height * frame_.width;
      const std::int64_t cells = lines() * views();
      for (std::int64_t i = begin; i < end; ++i) {
        if (direction == Direction::project) {
          add_border(from + i * pixels, bordered.data());
          project(bordered.data(), room.data(), to + i * cells);
        } else {
          std::ranges::fill(bordered, T(0));
          backproject(from + i * cells, room.data(), bordered.data());
          drop_border(bordered.data(), to + i * pixels);
        }
      }
    });
  });
  return result;
}

at::Tensor SampledProjection::Plan::evaluate_by_torch(const at::Tensor& input, Direction direction) const {
  constexpr std::int64_t bilinear = 0;
  constexpr std::int64_t zeros = 0;
  const std::int64_t top = options_.before[0];
  const std::int64_t left = options_.before[1];
  const std::array borders = {left, options_.frame[1] - frame_.width - left, top,
                              options_.frame[0] - frame_.height - top};
  const std::int64_t batch = input.size(0);
  // (batch, views · samples, lines, 2)
  const at::Tensor grid = grid_.flatten(0, 1).unsqueeze(0).expand({batch, -1, -1, -1});
  if (direction == Direction::project) {
    const at::Tensor image = options_.weights.defined() ? input * options_.weights : input;
    const at::Tensor samples = at::grid_sampler_2d(at::constant_pad_nd(image, borders), grid, bilinear, zeros, true);
    return samples.unflatten(2, {views(), grid_.size(1)}).sum(3).transpose(2, 3).mul(options_.factor).contiguous();
  }
  const at::Tensor samples = (input * options_.factor)
                                 .transpose(2, 3)
                                 .unsqueeze(3)
                                 .expand({-1, -1, -1, grid_.size(1), -1})
                                 .flatten(2, 3)
                                 .contiguous();
  const at::Tensor frame = at::zeros({batch, input.size(1), options_.frame[0], options_.frame[1]}, input.options());
  const at::Tensor back =
      std::get<0>(at::grid_sampler_2d_backward(samples, frame, grid, bilinear, zeros, true, {true, false}));
  const at::Tensor image = back.narrow(2, top, frame_.height).narrow(3, left, frame_.width);
  return options_.weights.defined() ? image * options_.weights : image.contiguous();
}

struct SampledProjection::Plan::Handle : torch::CustomClassHolder {
  explicit Handle(std::shared_ptr<const Plan> p) : plan(std::move(p)) {}
  std::shared_ptr<const Plan> plan;
};

/// The derivative of either direction is the other one.
struct SampledProjection::Plan::Recorded : torch::autograd::Function<Recorded> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const std::shared_ptr<const Plan>& plan, bool project) {
    ctx->saved_data["plan"] = c10::IValue::make_capsule(c10::make_intrusive<Handle>(plan));
    ctx->saved_data["project"] = project;
    return plan->evaluate(input, project ? Direction::project : Direction::backproject);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = ctx->saved_data["plan"].toCapsule();
    const bool projected = ctx->saved_data["project"].toBool();
    return {Plan::apply(static_cast<Handle&>(*capsule).plan, gradients[0],
                        projected ? Direction::backproject : Direction::project),
            at::Tensor(), at::Tensor()};
  }
};

at::Tensor SampledProjection::Plan::apply(const std::shared_ptr<const Plan>& plan, const at::Tensor& input,
                                          Direction direction) {
  if (is_dual(input)) {
    return with_tangent(apply(plan, primal_of(input), direction), apply(plan, tangent_of(input), direction));
  }
  return records_gradients(input) ? Recorded::apply(input, plan, direction == Direction::project)
                                  : plan->evaluate(input, direction);
}

SampledProjection::SampledProjection(const at::Tensor& grid, std::array<std::int64_t, 2> image_size,
                                     const SampledProjectionOptions& options)
    : image_size_(image_size), options_(options) {
  check(grid.defined() && grid.dim() == 4 && grid.size(3) == 2 && grid.numel() > 0 &&
            at::isFloatingType(grid.scalar_type()),
        "SampledProjection: grid must be real, (views, samples, lines, 2), got ",
        grid.defined() ? c10::str(grid.scalar_type(), " ", grid.sizes()) : "an undefined tensor");
  check(image_size[0] > 0 && image_size[1] > 0, "SampledProjection: image_size must be {H, W}, both positive, got {",
        image_size[0], ", ", image_size[1], "}");
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (options.frame[axis] == 0) {
      options_.frame[axis] = image_size[axis];
    }
    check(options_.before[axis] >= 0 && options_.before[axis] + image_size[axis] <= options_.frame[axis],
          "SampledProjection: the image, ", image_size[axis], " pixels after ", options_.before[axis],
          ", must lie in the frame of ", options_.frame[axis]);
  }
  check(!options.weights.defined() || options.weights.sizes() == at::IntArrayRef(image_size_),
        "SampledProjection: weights must have the size of the image, ", at::IntArrayRef(image_size_), ", got ",
        options.weights.defined() ? options.weights.sizes() : at::IntArrayRef());
  grid_ = followed("grid", grid);
  if (options.weights.defined()) {
    options_.weights = followed("weights", options.weights);
    made_of({grid_, options_.weights});
  } else {
    made_of({grid_});
  }
}

SampledProjection::~SampledProjection() = default;

Recipe SampledProjection::recipe() const {
  Recipe recipe{.maker = "SampledProjection",
                .arguments = {{"grid", grid_},
                              {"image_size", std::vector<std::int64_t>(image_size_.begin(), image_size_.end())},
                              {"frame", std::vector<std::int64_t>(options_.frame.begin(), options_.frame.end())},
                              {"before", std::vector<std::int64_t>(options_.before.begin(), options_.before.end())},
                              {"factor", options_.factor}}};
  if (options_.weights.defined()) {
    recipe.arguments.set("weights", options_.weights);
  }
  return recipe;
}

std::shared_ptr<const SampledProjection::Plan> SampledProjection::plan(const at::Tensor& tensor) const {
  const std::pair key(at::toRealValueType(tensor.scalar_type()), tensor.device());
  return plans_.get(version(), key, [&] { return std::make_shared<const Plan>(*this, key.first, key.second); });
}

void SampledProjection::check_image(const at::Tensor& x) const {
  check(x.dim() == 4 && x.size(2) == image_size_[0] && x.size(3) == image_size_[1],
        "SampledProjection::A: x must be (B, C, H, W) with H, W = ", image_size_[0], ", ", image_size_[1], ", got ",
        x.sizes());
}

void SampledProjection::check_measurement(const at::Tensor& y) const {
  check(y.dim() == 4 && y.size(2) == lines() && y.size(3) == views(),
        "SampledProjection::A_adjoint: y must be (B, C, lines, views) with ", lines(), " lines and ", views(),
        " views, got ", y.sizes());
}

at::Tensor SampledProjection::A_impl(const at::Tensor& x, const Params& /*params*/) const {
  check_image(x);
  return Plan::apply(plan(x), x, Plan::Direction::project);
}

at::Tensor SampledProjection::A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const {
  check_measurement(y);
  return Plan::apply(plan(y), y, Plan::Direction::backproject);
}

std::optional<SliceWise> SampledProjection::on_slices(at::IntArrayRef /*image*/, std::int64_t axis,
                                                      std::int64_t /*begin*/, std::int64_t /*end*/) const {
  return axis < 2 ? std::optional(SliceWise{axis}) : std::nullopt;
}

at::Tensor SampledProjection::image_like(const at::Tensor& y) const {
  check_measurement(y);
  return at::empty({y.size(0), y.size(1), image_size_[0], image_size_[1]}, y.options().requires_grad(false));
}

}  // namespace adjoin
