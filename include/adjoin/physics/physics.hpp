// The base of all measurement models, linear or not.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "adjoin/core/params.hpp"
#include "adjoin/physics/noise.hpp"

namespace adjoin {

/// A forward model y = sensor(noise(A(x))). Public methods validate and count; `…_impl` do the work.
/// Objects are shared by pointer and not thread-safe.
class Physics {
 public:
  Physics() = default;
  Physics(const Physics&) = delete;
  Physics& operator=(const Physics&) = delete;
  virtual ~Physics() = default;

  /// Name for messages, such as "Blur".
  virtual std::string name() const { return "Physics"; }

  /// Clean measurements. `params` override the operator's own parameters for this call; unknown names are ignored.
  at::Tensor A(const at::Tensor& x, const Params& params = {}) const;
  /// Measurements with noise and sensor response.
  at::Tensor forward(const at::Tensor& x, const Params& params = {}) const;
  /// J(x)ᵀ v, the vector-Jacobian product of A at x (conjugate transpose for complex). By automatic differentiation of
  /// A unless overridden; differentiable itself when grad mode is on and x or v requires gradients.
  at::Tensor A_vjp(const at::Tensor& x, const at::Tensor& v, const Params& params = {}) const;

  void set_noise(NoiseModel noise) { noise_ = std::move(noise); }
  void set_sensor(SensorModel sensor) { sensor_ = std::move(sensor); }

  /// Replaces the operator's own parameters (such as "filter" or "mask") for all later calls and invalidates what was
  /// derived from them. Unknown names are ignored.
  void update(const Params& params);
  /// Grows with every update: fused forms compare it to know whether they are stale.
  std::int64_t version() const { return version_; }

  /// How often the operator and its adjoint ran, in whichever method; the fused form of a stack does not count.
  struct Calls {
    std::int64_t A = 0;
    std::int64_t A_adjoint = 0;
  };
  const Calls& calls() const { return calls_; }

 protected:
  virtual at::Tensor A_impl(const at::Tensor& x, const Params& params) const = 0;
  /// A, then noise, then sensor.
  virtual at::Tensor forward_impl(const at::Tensor& x, const Params& params) const;
  virtual at::Tensor A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const;
  /// Noise as this operator applies it, called only when there is a noise model; MRI, for one, keeps unsampled
  /// frequencies free of it.
  virtual at::Tensor noise_impl(const at::Tensor& y, const Params& params) const;
  virtual void update_impl(const Params& params);

  /// Throws InvalidArgument naming the method and the argument unless `tensor` is defined and floating or complex.
  void check_tensor(const char* method, const char* argument, const at::Tensor& tensor) const {
    if (!tensor.defined() || !(c10::isFloatingType(tensor.scalar_type()) || tensor.is_complex())) [[unlikely]] {
      refuse(method, argument, tensor);
    }
  }

  NoiseModel noise_;
  SensorModel sensor_;
  mutable Calls calls_;

 private:
  [[noreturn]] void refuse(const char* method, const char* argument, const at::Tensor& tensor) const;

  std::int64_t version_ = 0;
};

using PhysicsPtr = std::shared_ptr<Physics>;

}  // namespace adjoin
