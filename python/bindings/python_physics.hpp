// SPDX-License-Identifier: BSD-3-Clause
// Measurement models whose methods are Python's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "adjoin/physics/linear_physics.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// The methods of a Python operator, each a callable (tensors…, **params) that returns a tensor: "A"; where there is
/// one, "forward" and "A_vjp"; and of a linear one "A_adjoint" and, where there is one, "A_adjoint_A", "A_A_adjoint"
/// and "A_dagger". What is missing is made of the others. "update" takes the parameters of update() as keywords,
/// "slice_axis" an image's shape and an axis of it, of which it gives the axis of measurements (on_slices), or None.
using Methods = std::map<std::string, Object>;

/// Of the `operator` whose methods these are; `parameters`: the keyword arguments that they take. Copies are made of
/// copies of the operator.
PhysicsPtr make_python_physics(const Object& op, std::string name, const Methods& methods, ParameterNames parameters);
/// Throws InvalidArgument unless there are A and A_adjoint.
LinearPhysicsPtr make_python_linear_physics(const Object& op, std::string name, const Methods& methods,
                                            ParameterNames parameters);

}  // namespace adjoin::python
