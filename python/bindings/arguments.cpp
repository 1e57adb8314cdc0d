// SPDX-License-Identifier: BSD-3-Clause
// Arguments that fit no signature: the error names the argument, what was expected and what came.
#include <utility>

#include "casters.hpp"

namespace adjoin::python {

namespace {

// How Python calls a function of pybind11; which one depends on pybind11's version.
using Vectorcall = PyObject* (*)(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keyword_names);
Vectorcall vectorcall = nullptr;
PyCFunctionWithKeywords call_with_tuple = nullptr;

// Replaces pybind11's TypeError, which lists all signatures and prints all values.
void explain(const py::tuple& positional, const py::dict& keywords) {
  py::error_already_set error;
  try {
    const std::string message = py::str(error.value());
    if (message.find("(): incompatible function arguments.") == std::string::npos &&
        message.find("(): incompatible constructor arguments.") == std::string::npos) {
      error.restore();
      return;
    }
    // Returns the exception, or throws one on all ranks where they make the call together.
    const py::object better = py::module_::import("adjoin.arguments").attr("explained")(message, positional, keywords);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(better.ptr())), better.ptr());
  } catch (py::error_already_set& other) {
    other.restore();
  }
}

PyObject* explained(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keyword_names) {
  PyObject* const result = vectorcall(self, arguments, count, keyword_names);
  if (result == nullptr && PyErr_ExceptionMatches(PyExc_TypeError) != 0) [[unlikely]] {
    py::tuple positional(PyVectorcall_NARGS(static_cast<std::size_t>(count)));
    for (std::size_t i = 0; i < positional.size(); ++i) {
      positional[i] = py::reinterpret_borrow<py::object>(arguments[i]);
    }
    py::dict keywords;
    for (Py_ssize_t i = 0; keyword_names != nullptr && i < PyTuple_GET_SIZE(keyword_names); ++i) {
      keywords[py::handle(PyTuple_GET_ITEM(keyword_names, i))] =
          py::reinterpret_borrow<py::object>(arguments[positional.size() + static_cast<std::size_t>(i)]);
    }
    explain(positional, keywords);
  }
  return result;
}

PyObject* explained_tuple(PyObject* self, PyObject* positional, PyObject* keywords) {
  PyObject* const result = call_with_tuple(self, positional, keywords);
  if (result == nullptr && PyErr_ExceptionMatches(PyExc_TypeError) != 0) [[unlikely]] {
    explain(py::reinterpret_borrow<py::tuple>(positional),
            keywords == nullptr ? py::dict() : py::reinterpret_borrow<py::dict>(keywords));
  }
  return result;
}

void explain_errors_of(PyObject* function) {
  if (PyInstanceMethod_Check(function)) {
    function = PyInstanceMethod_GET_FUNCTION(function);
  }
  if (!PyCFunction_Check(function)) {
    return;
  }
  // pybind11 makes one of these a function.
  PyMethodDef& method = *reinterpret_cast<PyCFunctionObject*>(function)->m_ml;
  if (method.ml_flags == (METH_FASTCALL | METH_KEYWORDS)) {
    vectorcall = reinterpret_cast<Vectorcall>(reinterpret_cast<void (*)()>(method.ml_meth));
    method.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&explained));
  } else if (method.ml_flags == (METH_VARARGS | METH_KEYWORDS)) {
    call_with_tuple = reinterpret_cast<PyCFunctionWithKeywords>(reinterpret_cast<void (*)()>(method.ml_meth));
    method.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&explained_tuple));
  }
}

}  // namespace

void explain_arguments(const py::module_& m) {
  for (const auto& [name, thing] : py::reinterpret_borrow<py::dict>(m.attr("__dict__"))) {
    if (!PyType_Check(thing.ptr())) {
      explain_errors_of(thing.ptr());
      continue;
    }
    for (const auto& entry : py::dict(thing.attr("__dict__"))) {
      explain_errors_of(entry.second.ptr());
    }
  }
}

}  // namespace adjoin::python
