// SPDX-License-Identifier: BSD-3-Clause
// References to Python's objects that any thread may drop, with the lock.
#include "gil.hpp"

namespace adjoin::python {

namespace {

// Destroys a reference with the GIL; when the interpreter is gone there is nothing left to destroy.
void drop(PyObject* object) {
  if (Py_IsInitialized() != 0) {
    const py::gil_scoped_acquire gil;
    Py_XDECREF(object);
  }
}

}  // namespace

Object::Object(py::object object) : object_(object.release().ptr(), drop) {}

Opaque to_opaque(const py::handle& object) {
  return {object.inc_ref().ptr(),
          [](const void* held) { drop(const_cast<PyObject*>(static_cast<const PyObject*>(held))); }};
}

py::object to_object(const Opaque& opaque) {
  return opaque ? py::reinterpret_borrow<py::object>(const_cast<PyObject*>(static_cast<const PyObject*>(opaque.get())))
                : py::none();
}

}  // namespace adjoin::python
