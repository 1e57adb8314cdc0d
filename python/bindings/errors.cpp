// Exceptions of C++ as exceptions of Python.
#include <exception>

#include "casters.hpp"

namespace adjoin::python {

namespace {

void raise(const char* name, const std::string& message, const std::function<void(const py::object&)>& fill = {}) {
  const py::object type = py::module_::import("adjoin.errors").attr(name);
  const py::object error = type(message);
  if (fill) {
    fill(error);
  }
  PyErr_SetObject(type.ptr(), error.ptr());
}

// Raises what caused the failure of this rank where that is an exception of Python's, or a wrong argument; false
// otherwise.
bool raise_cause(const std::exception& error) {
  try {
    std::rethrow_if_nested(error);
  } catch (const py::error_already_set& cause) {
    PyErr_SetObject(cause.type().ptr(), cause.value().ptr());
    return true;
  } catch (const InvalidArgument& cause) {
    raise("InvalidArgument", cause.what());
    return true;
  } catch (const std::exception& cause) {
    return raise_cause(cause);
  } catch (...) {
    return false;
  }
  return false;
}

void translate(std::exception_ptr exception) {
  if (!exception) {
    return;
  }
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const RankFailure& e) {
    if (!raise_cause(e)) {
      raise("RankFailure", e.what(), [&](const py::object& error) {
        error.attr("rank") = e.rank;
        error.attr("operator_index") = e.operator_index;
        error.attr("reason") = e.reason;
      });
    }
  } catch (const OperatorFailure& e) {
    if (!raise_cause(e)) {
      raise("OperatorFailure", e.what(), [&](const py::object& error) { error.attr("index") = e.index; });
    }
  } catch (const InvalidArgument& e) {
    raise("InvalidArgument", e.what());
  } catch (const CommunicationError& e) {
    raise("CommunicationError", e.what());
  } catch (const Error& e) {
    raise("Error", e.what());
  } catch (const c10::Error& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what_without_backtrace());
  }
}

}  // namespace

void bind_errors(py::module_& /*m*/) { py::register_local_exception_translator(translate); }

}  // namespace adjoin::python
