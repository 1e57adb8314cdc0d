// SPDX-License-Identifier: BSD-3-Clause
// Linear operators made of linear operators.
#pragma once

#include <c10/core/Scalar.h>

#include <utility>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// All of these share their operands, pass parameters and updates on to them, and throw InvalidArgument for a null one.

/// x ↦ a(x) + b(x).
LinearPhysicsPtr sum(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b);
/// x ↦ a(b(x)).
LinearPhysicsPtr compose(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b);
/// x ↦ factor a(x); the adjoint takes the conjugate of a complex factor.
LinearPhysicsPtr scale(const at::Scalar& factor, const LinearPhysicsPtr& a);
/// y ↦ aᵀ(y), whose adjoint is a.
LinearPhysicsPtr adjoint(const LinearPhysicsPtr& a);

/// [a_1; …; a_n].
inline StackedLinearPhysics stack(std::vector<LinearPhysicsPtr> operators, const StackOptions& options = {}) {
  return StackedLinearPhysics(std::move(operators), options);
}

inline LinearPhysicsPtr operator+(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return sum(a, b); }
inline LinearPhysicsPtr operator-(const LinearPhysicsPtr& a) { return scale(-1.0, a); }
inline LinearPhysicsPtr operator-(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return sum(a, -b); }
inline LinearPhysicsPtr operator*(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return compose(a, b); }
inline LinearPhysicsPtr operator*(const at::Scalar& factor, const LinearPhysicsPtr& a) { return scale(factor, a); }
inline LinearPhysicsPtr operator*(const LinearPhysicsPtr& a, const at::Scalar& factor) { return scale(factor, a); }

}  // namespace adjoin
