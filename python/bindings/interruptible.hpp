// Ctrl-C during long solves.
#pragma once

#include "adjoin/solvers/solver.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// A monitor that ends a solve with Python's exception when a signal, such as Ctrl-C, has come.
inline Monitor interruptible() {
  return [](const IterationInfo& /*info*/) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
      throw py::error_already_set();
    }
    return true;
  };
}

}  // namespace adjoin::python
