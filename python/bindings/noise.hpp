// SPDX-License-Identifier: BSD-3-Clause
// Noise and sensor models: those of C++, and callables of Python's.
#pragma once

#include "adjoin/physics/noise.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// The model that a Python object is: one of C++, which then runs without the GIL, or any callable of a tensor. None is
/// no model. `name` is for messages. Throws InvalidArgument for what cannot be called.
NoiseModel to_model(const char* name, const py::object& model);
/// The object that to_model() got; one for a model that C++ set; None for no model, and for one that Python cannot
/// have.
py::object from_model(const NoiseModel& model);

}  // namespace adjoin::python
