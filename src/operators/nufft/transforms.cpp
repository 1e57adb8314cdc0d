// SPDX-License-Identifier: BSD-3-Clause
// Plans of FINUFFT for each precision and batch, with derivatives to images, samples and trajectory.
#include "operators/nufft/transforms.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/versions.hpp"
#include "core/saved_tensors.hpp"
#include "kernels/arrays.hpp"

namespace adjoin::nufft {

Transforms::Transforms(at::Tensor trajectory, std::vector<std::int64_t> image_size, double eps)
    : trajectory_(std::move(trajectory)), image_size_(std::move(image_size)), eps_(eps) {}

std::shared_ptr<const kernels::Finufft> Transforms::plan(at::ScalarType real, std::int64_t count) const {
  // Values alone count, so that plans of a trajectory that is differentiated are kept, too.
  return plans_.get(version_of(trajectory_), PlanKey{real, count}, [&] {
    const at::Tensor rows = primal_of(trajectory_).detach().reshape({-1, trajectory_.size(-1)}).to(at::kDouble);
    const at::Tensor points = (rows.t() * (2.0 * std::numbers::pi)).to(real).contiguous();
    return kernels::Finufft::make(points, image_size_, count, eps_);
  });
}

at::Tensor Transforms::evaluate(const at::Tensor& input, Direction direction) const {
  const at::Tensor source = kernels::plain(input);
  const bool is_forward = direction == Direction::forward;
  const at::IntArrayRef from = is_forward ? at::IntArrayRef(image_size_) : sample_size();
  const at::IntArrayRef to = is_forward ? sample_size() : at::IntArrayRef(image_size_);
  std::vector<std::int64_t> sizes = source.sizes().slice(0, source.sizes().size() - from.size()).vec();
  const std::int64_t count = c10::multiply_integers(sizes);
  sizes.insert(sizes.end(), to.begin(), to.end());
  at::Tensor result = at::empty(sizes, source.options());
  if (count == 0) {
    return result;
  }
  const auto transform = plan(at::toRealValueType(source.scalar_type()), count);
  is_forward ? transform->forward(source.const_data_ptr(), result.mutable_data_ptr())
             : transform->adjoint(source.const_data_ptr(), result.mutable_data_ptr());
  return result.div_(std::sqrt(static_cast<double>(c10::multiply_integers(image_size_))));
}

at::Tensor Transforms::by_indices(const at::Tensor& image) const {
  std::vector<at::Tensor> products;
  for (std::size_t axis = 0; axis < image_size_.size(); ++axis) {
    const std::int64_t n = image_size_[axis];
    std::vector<std::int64_t> sizes(image_size_.size(), 1);
    sizes[axis] = n;
    const auto real = image.options().dtype(at::toRealValueType(image.scalar_type())).requires_grad(false);
    products.push_back(image * (at::arange(n, real) - n / 2).view(sizes));
  }
  return at::stack(products);
}

at::Tensor Transforms::trajectory_gradient(const at::Tensor& g, const at::Tensor& input, const at::Tensor& trajectory,
                                           Direction direction) const {
  // ∂y/∂k_a = −2πi A(r_a x). The adjoint of y, in an inner product with g, is A of g in one with y.
  const bool is_forward = direction == Direction::forward;
  const at::Tensor& image = is_forward ? input : g;
  const at::Tensor& samples = is_forward ? g : input;
  const at::Tensor slopes = apply(by_indices(image), trajectory, Direction::forward);
  const at::Tensor products = at::imag(samples.conj() * slopes) * (2.0 * std::numbers::pi);
  std::vector<std::int64_t> leading(static_cast<std::size_t>(slopes.dim() - trajectory.dim()));
  std::iota(leading.begin(), leading.end(), 1);
  const at::Tensor summed = leading.empty() ? products : products.sum(leading);
  return summed.movedim(0, -1).to(trajectory.scalar_type());
}

at::Tensor Transforms::along_trajectory(const at::Tensor& tangent, const at::Tensor& input,
                                        const at::Tensor& trajectory, Direction direction) const {
  const c10::complex<double> turn(0.0, 2.0 * std::numbers::pi);
  // (axes, 1, …, samples) beside (axes, …, samples)
  std::vector<std::int64_t> sizes = {tangent.size(-1)};
  const std::int64_t leading =
      input.dim() - (direction == Direction::forward ? static_cast<std::int64_t>(image_size_.size())
                                                     : static_cast<std::int64_t>(sample_size().size()));
  sizes.resize(static_cast<std::size_t>(leading) + 1, 1);
  sizes.insert(sizes.end(), tangent.sizes().begin(), tangent.sizes().end() - 1);
  const at::Tensor speeds = tangent.movedim(-1, 0).to(at::toRealValueType(input.scalar_type())).reshape(sizes);
  if (direction == Direction::forward) {
    const at::Tensor slopes = apply(by_indices(input), trajectory, direction);
    return (slopes * speeds).sum(0) * -turn;
  }
  const at::Tensor spread = input.unsqueeze(0) * speeds;
  const at::Tensor images = apply(spread, trajectory, direction);
  at::Tensor sum;
  for (std::int64_t axis = 0; axis < images.size(0); ++axis) {
    const at::Tensor term = by_indices(images[axis])[axis];
    sum = sum.defined() ? sum + term : term;
  }
  return sum * turn;
}

at::Tensor Transforms::apply(const at::Tensor& input, const at::Tensor& trajectory, Direction direction) const {
  const at::Tensor at_input = primal_of(input);
  const at::Tensor at_trajectory = primal_of(trajectory);
  at::Tensor result = recorded(input, trajectory, direction);
  at::Tensor tangent;
  if (is_dual(input)) {
    tangent = apply(tangent_of(input), at_trajectory, direction);
  }
  if (is_dual(trajectory)) {
    const at::Tensor moved = along_trajectory(tangent_of(trajectory), at_input, at_trajectory, direction);
    tangent = tangent.defined() ? tangent + moved : moved;
  }
  return tangent.defined() ? with_tangent(result, tangent) : result;
}

at::Tensor Transforms::recorded(const at::Tensor& input, const at::Tensor& trajectory, Direction direction) const {
  const at::Tensor at_input = primal_of(input);
  const at::Tensor at_trajectory = primal_of(trajectory);
  if (!records_gradients(at_input) && !records_gradients(at_trajectory)) {
    return evaluate(at_input, direction);
  }
  // The backward pass sees tangents, too, for derivatives forwards over backwards. The image or the samples count in it
  // for the derivative with respect to the trajectory alone.
  const Tensors needed = {trajectory.requires_grad() ? input : at::Tensor(), trajectory};
  const auto backward = [self = shared_from_this(), saved = std::make_shared<SavedTensors>(needed),
                         of_input = input.requires_grad(), direction](const Tensors& gradients) {
    const Tensors at = saved->unpack();
    return Tensors{of_input ? self->apply(gradients[0], at[1], opposite(direction)) : at::Tensor(),
                   at[0].defined() ? self->trajectory_gradient(gradients[0], at[0], at[1], direction) : at::Tensor()};
  };
  return differentiable({at_input, at_trajectory}, [&] { return Tensors{evaluate(at_input, direction)}; }, backward)[0];
}

}  // namespace adjoin::nufft
