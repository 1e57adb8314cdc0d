// SPDX-License-Identifier: BSD-3-Clause
// Who holds Python's global lock, the GIL: the conventions of the bindings.
//
// Arguments are read, and results made, with the lock. The work of C++ in between, which may wait for other ranks, runs
// without it: under Unlocked, or a gil_scoped_release after what reads the arguments. C++ keeps objects of Python as
// Object, and takes the lock for each call of one (call() of casters.hpp). Objects of C++ whose end may wait for other
// ranks end without it (without_gil).
#pragma once

#include <torch/csrc/utils/pybind.h>

#include <memory>
#include <utility>

#include "adjoin/core/params.hpp"
#include "adjoin/solvers/solver.hpp"

namespace adjoin::python {

namespace py = pybind11;

using Unlocked = py::call_guard<py::gil_scoped_release>;

/// A Python object that may be copied, called and destroyed by threads that do not hold the GIL.
class Object {
 public:
  Object() = default;
  explicit Object(py::object object);
  explicit operator bool() const { return object_ != nullptr; }
  /// Needs the GIL.
  py::handle get() const { return object_.get(); }
  /// The same as a parameter; to_kwargs() gives it back.
  Opaque opaque() const { return object_; }

 private:
  std::shared_ptr<PyObject> object_;
};

/// A Python object as a parameter that only Python understands, and back; no value is None. Both need the GIL.
Opaque to_opaque(const py::handle& object);
py::object to_object(const Opaque& opaque);

/// Ends an object of C++ without the GIL, since it may wait for other ranks.
template <class T>
std::shared_ptr<T> without_gil(std::unique_ptr<T> object, std::shared_ptr<const void> keep = {}) {
  return std::shared_ptr<T>(object.release(), [keep = std::move(keep)](T* pointer) {
    if (PyGILState_Check() != 0) {
      const py::gil_scoped_release release;
      delete pointer;
    } else {
      delete pointer;
    }
  });
}

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
