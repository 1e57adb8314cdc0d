// SPDX-License-Identifier: BSD-3-Clause
// Measurement models made of callables.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "adjoin/core/params.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// A callable of a tensor, or of a tensor and the parameters of the call, that returns a tensor.
class TensorFunction {
 public:
  TensorFunction() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TensorFunction> &&
             (std::is_invocable_r_v<at::Tensor, F&, const at::Tensor&> ||
              std::is_invocable_r_v<at::Tensor, F&, const at::Tensor&, const Params&>))
  TensorFunction(F f) {  // NOLINT(google-explicit-constructor): any callable will do
    if constexpr (std::is_invocable_r_v<at::Tensor, F&, const at::Tensor&, const Params&>) {
      function_ = std::move(f);
      takes_params_ = true;
    } else {
      function_ = [f = std::move(f)](const at::Tensor& x, const Params&) mutable { return f(x); };
    }
  }

  explicit operator bool() const { return static_cast<bool>(function_); }
  at::Tensor operator()(const at::Tensor& x, const Params& params) const { return function_(x, params); }
  /// All parameters where the callable takes those of the call, else none.
  ParameterNames parameter_names() const { return {.any = takes_params_}; }

 private:
  bool takes_params_ = false;
  std::function<at::Tensor(const at::Tensor&, const Params&)> function_;
};

struct FunctionOptions {
  /// Shape of the image, batch included; a first extent of −1 stands for that of the measurements. Needed by A_adjoint
  /// when it is left to automatic differentiation.
  std::vector<std::int64_t> image_shape = {};
  /// Dtype of the image; that of the measurements by default.
  std::optional<at::ScalarType> image_dtype = {};
  std::string name = "Function";
};

/// The linear operator x ↦ A(x). `A_adjoint` must be its adjoint; when left out, A is differentiated by autograd.
/// Throws InvalidArgument when A is empty.
LinearPhysicsPtr make_function(TensorFunction A, TensorFunction A_adjoint = {}, FunctionOptions options = {});

/// The measurement model x ↦ A(x), linear or not, with A_vjp by autograd. Throws InvalidArgument when A is empty.
PhysicsPtr make_nonlinear_function(TensorFunction A, std::string name = "Function");

}  // namespace adjoin
