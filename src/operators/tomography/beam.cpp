// SPDX-License-Identifier: BSD-3-Clause
// The way from a tensor to the kernels of its device, and derivatives that are the other direction.
#include "operators/tomography/beam.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "adjoin/core/gradients.hpp"
#include "kernels/arrays.hpp"

namespace adjoin {

using parallel_beam::Measured;
using parallel_beam::Size;

namespace tomography {

namespace {

std::int64_t planes_of(const at::Tensor& tensor) {
  return c10::multiply_integers(tensor.sizes().begin(), tensor.sizes().end() - 2);
}

}  // namespace

bool has_kernels(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return (dtype == at::kFloat || dtype == at::kDouble) &&
         (tensor.is_cpu() || parallel_beam::has_gpu_kernels(tensor.device(), dtype));
}

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

template void project(const at::Tensor&, Size, std::span<const Measured<float>>);
template void project(const at::Tensor&, Size, std::span<const Measured<double>>);
template void backproject(std::span<const Measured<const float>>, const at::Tensor&, Size);
template void backproject(std::span<const Measured<const double>>, const at::Tensor&, Size);

std::vector<std::int64_t> with_last_two(const at::Tensor& tensor, std::int64_t a, std::int64_t b) {
  std::vector<std::int64_t> sizes = tensor.sizes().vec();
  sizes[sizes.size() - 2] = a;
  sizes[sizes.size() - 1] = b;
  return sizes;
}

}  // namespace tomography

std::vector<std::int64_t> Tomography::Beam::result_sizes(const at::Tensor& input, Direction direction) const {
  return direction == Direction::project
             ? tomography::with_last_two(input, static_cast<std::int64_t>(views_.size()), views_[0].detectors)
             : tomography::with_last_two(input, image_.height, image_.width);
}

at::Tensor Tomography::Beam::evaluate(const at::Tensor& input, Direction direction) const {
  if (input.is_complex()) {
    return at::complex(evaluate(at::real(input), direction), evaluate(at::imag(input), direction));
  }
  const std::vector<std::int64_t> sizes = result_sizes(input, direction);
  const at::Tensor source = input.contiguous();
  if (!tomography::has_kernels(source)) {
    const at::Tensor planes = source.flatten(0, -3);
    return (direction == Direction::project ? parallel_beam::project(planes, views_)
                                            : parallel_beam::backproject(planes, views_, image_))
        .view(sizes);
  }
  at::Tensor result = at::empty(sizes, source.options());
  kernels::with_precision_of(source.scalar_type(), [&]<class T>(T) {
    if (direction == Direction::project) {
      std::vector<Measured<T>> measured;
      tomography::append_measured<T>(views_, static_cast<T*>(result.data_ptr()), measured);
      tomography::project<T>(source, image_, measured);
    } else {
      std::vector<Measured<const T>> measured;
      tomography::append_measured<const T>(views_, static_cast<const T*>(source.const_data_ptr()), measured);
      tomography::backproject<T>(measured, result, image_);
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
    return beam->evaluate(input, project ? Direction::project : Direction::backproject);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = ctx->saved_data["beam"].toCapsule();
    const bool projected = ctx->saved_data["project"].toBool();
    return {Beam::apply(static_cast<Handle&>(*capsule).beam, gradients[0],
                        projected ? Direction::backproject : Direction::project),
            at::Tensor(), at::Tensor()};
  }
};

at::Tensor Tomography::Beam::apply(const std::shared_ptr<const Beam>& beam, const at::Tensor& input,
                                   Direction direction) {
  if (is_dual(input)) {
    return with_tangent(apply(beam, primal_of(input), direction), apply(beam, tangent_of(input), direction));
  }
  return records_gradients(input) ? Recorded::apply(input, beam, direction == Direction::project)
                                  : beam->evaluate(input, direction);
}

}  // namespace adjoin
