// SPDX-License-Identifier: BSD-3-Clause
// The base of all measurement models, linear or not.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/gradients.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/recipe.hpp"
#include "adjoin/core/versions.hpp"
#include "adjoin/physics/noise.hpp"

namespace adjoin {

/// A forward model y = sensor(noise(A(x))). Public methods validate and count; `…_impl` do the work.
///
/// Objects are shared by pointer. Several threads may call one at once, but not update(), set_noise() or set_sensor()
/// beside other calls. What an operator derives from its tensors (a filter, a mask, coil maps) and keeps follows these
/// when they are changed in place, see version(). Under torch.autocast a model computes in the precision of its
/// arguments, those of half precision being taken as single.
class Physics {
 public:
  Physics() = default;
  Physics(const Physics&) = delete;
  Physics& operator=(const Physics&) = delete;
  virtual ~Physics() = default;

  /// Name for messages, such as "Blur".
  virtual std::string name() const { return "Physics"; }

  /// The names of the parameters that calls and update() take; other names throw InvalidArgument. An operator of your
  /// own says here which it reads from `params`.
  virtual ParameterNames parameter_names() const { return {}; }
  /// Those of `params` that this operator takes, for whoever hands on what is meant for several.
  Params taken(const Params& params) const { return params.empty() ? Params() : params.only(parameter_names()); }

  /// Clean measurements. `params` override the operator's own parameters for this call.
  at::Tensor A(const at::Tensor& x, const Params& params = {}) const;
  /// Measurements with noise and sensor response.
  at::Tensor forward(const at::Tensor& x, const Params& params = {}) const;
  /// J(x)ᵀ v, the vector-Jacobian product of A at x (conjugate transpose for complex). By automatic differentiation of
  /// A unless overridden; differentiable itself when grad mode is on and x or v requires gradients.
  at::Tensor A_vjp(const at::Tensor& x, const at::Tensor& v, const Params& params = {}) const;

  /// How to make another operator like this one, of the same tensors and after its operands(), but for noise and
  /// sensor. Copies and files of operators are made so.
  virtual Recipe recipe() const { return {}; }
  /// The operators that this one is made of, as a sum is.
  virtual std::vector<std::shared_ptr<Physics>> operands() const { return {}; }

  const NoiseModel& noise() const { return noise_; }
  const SensorModel& sensor() const { return sensor_; }
  void set_noise(NoiseModel noise) { noise_ = std::move(noise); }
  void set_sensor(SensorModel sensor) { sensor_ = std::move(sensor); }

  /// Replaces the operator's own parameters (such as "filter" or "mask") for all later calls and invalidates what was
  /// derived from them.
  void update(const Params& params);
  /// Grows with every update, and with every change in place of the tensors that the operator was made of, as far as
  /// torch counts these (version_of): what is derived from an operator holds as long as its version does.
  std::int64_t version() const {
    std::int64_t version = updates_;
    for (const at::Tensor& tensor : tensors_) {
      version += version_of(tensor);
    }
    for (const Physics* part : parts_) {
      version += part->version();
    }
    return version;
  }
  /// Whether one of these tensors requires gradients or carries a tangent: results then depend on it in autograd's
  /// eyes, and nothing that is derived from it is kept.
  bool requires_grad() const {
    return std::ranges::any_of(tensors_, is_differentiated) ||
           std::ranges::any_of(parts_, [](const Physics* part) { return part->requires_grad(); });
  }
  /// These tensors, and those of the operators that this one is made of, that require gradients or carry a tangent.
  TensorList tensors_with_gradients() const;

  /// How often the operator and its adjoint ran, in whichever method; the fused form of a stack does not count.
  struct Calls {
    std::int64_t A = 0;
    std::int64_t A_adjoint = 0;
  };
  Calls calls() const {
    return {calls_of_A_.load(std::memory_order_relaxed), calls_of_A_adjoint_.load(std::memory_order_relaxed)};
  }

 protected:
  /// Throws InvalidArgument where `params` has a name that the operator does not take.
  void check_params(const char* method, const Params& params) const {
    if (!params.empty()) [[unlikely]] {
      check_names(name() + "::" + method, params, parameter_names());
    }
  }

  virtual at::Tensor A_impl(const at::Tensor& x, const Params& params) const = 0;
  /// A, then noise, then sensor.
  virtual at::Tensor forward_impl(const at::Tensor& x, const Params& params) const;
  virtual at::Tensor A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const;
  /// Noise as this operator applies it, called only when there is a noise model; MRI, for one, keeps unsampled
  /// frequencies free of it.
  virtual at::Tensor noise_impl(const at::Tensor& y, const Params& params) const;
  virtual void update_impl(const Params& params);

  /// Names the tensors (as watched() returns them) and the operators that this one is made of, for version(). Called by
  /// constructors, and by update_impl when they are others.
  void made_of(std::initializer_list<at::Tensor> tensors, std::initializer_list<const Physics*> parts = {});
  void made_of(std::initializer_list<at::Tensor> tensors, std::span<const Physics* const> parts);

  /// Throws InvalidArgument naming the method and the argument unless `tensor` is defined, dense, and floating or
  /// complex.
  void check_tensor(const char* method, const char* argument, const at::Tensor& tensor) const {
    if (!tensor.defined() || !(c10::isFloatingType(tensor.scalar_type()) || tensor.is_complex()) ||
        tensor.layout() != c10::kStrided || tensor.scalar_type() == at::kComplexHalf) [[unlikely]] {
      refuse(method, argument, tensor);
    }
  }

  void count_A() const { calls_of_A_.fetch_add(1, std::memory_order_relaxed); }
  void count_A_adjoint() const { calls_of_A_adjoint_.fetch_add(1, std::memory_order_relaxed); }

 private:
  [[noreturn]] void refuse(const char* method, const char* argument, const at::Tensor& tensor) const;

  NoiseModel noise_;
  SensorModel sensor_;
  c10::SmallVector<at::Tensor, 2> tensors_;
  c10::SmallVector<const Physics*, 2> parts_;
  std::int64_t updates_ = 0;  // chosen such that versions grow
  mutable std::atomic<std::int64_t> calls_of_A_ = 0;
  mutable std::atomic<std::int64_t> calls_of_A_adjoint_ = 0;
};

using PhysicsPtr = std::shared_ptr<Physics>;

}  // namespace adjoin
