// SPDX-License-Identifier: BSD-3-Clause
// Operators around callables, whose missing adjoint is found by differentiation.
#include "adjoin/operators/function.hpp"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

class NonlinearFunction final : public Physics {
 public:
  NonlinearFunction(TensorFunction A, std::string name) : A_(std::move(A)), name_(std::move(name)) {}
  std::string name() const override { return name_; }
  ParameterNames parameter_names() const override { return A_.parameter_names(); }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override { return A_(x, params); }

 private:
  TensorFunction A_;
  std::string name_;
};

class Function final : public LinearPhysics {
 public:
  Function(TensorFunction A, TensorFunction A_adjoint, FunctionOptions options)
      : A_(std::move(A)), A_adjoint_(std::move(A_adjoint)), options_(std::move(options)) {}

  std::string name() const override { return options_.name; }
  ParameterNames parameter_names() const override { return A_.parameter_names() += A_adjoint_.parameter_names(); }

  at::Tensor image_like(const at::Tensor& y) const override {
    std::vector<std::int64_t> shape = options_.image_shape;
    if (shape.empty()) {
      return {};
    }
    if (shape[0] == -1) {
      check(y.dim() > 0, options_.name, ": y must have a batch dimension, got a single number");
      shape[0] = y.size(0);
    }
    return at::empty(shape, y.options().dtype(options_.image_dtype.value_or(y.scalar_type())).requires_grad(false));
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override { return A_(x, params); }

  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return A_adjoint_ ? A_adjoint_(y, params) : at::Tensor();
  }

  std::string missing_image() const override {
    return "automatic differentiation needs the image's shape: give image_shape, or A_adjoint";
  }

 private:
  TensorFunction A_;
  TensorFunction A_adjoint_;
  FunctionOptions options_;
};

}  // namespace

LinearPhysicsPtr make_function(TensorFunction A, TensorFunction A_adjoint, FunctionOptions options) {
  check(static_cast<bool>(A), "make_function: A must be a callable, got an empty one");
  for (std::size_t i = 0; i < options.image_shape.size(); ++i) {
    const std::int64_t extent = options.image_shape[i];
    check(extent >= 0 || (extent == -1 && i == 0), "make_function: image_shape must hold lengths, got ", extent);
  }
  return std::make_shared<Function>(std::move(A), std::move(A_adjoint), std::move(options));
}

PhysicsPtr make_nonlinear_function(TensorFunction A, std::string name) {
  check(static_cast<bool>(A), "make_nonlinear_function: A must be a callable, got an empty one");
  return std::make_shared<NonlinearFunction>(std::move(A), std::move(name));
}

}  // namespace adjoin
