// SPDX-License-Identifier: BSD-3-Clause
// Exceptions of C++ as exceptions of Python.
#include <torch/csrc/Exceptions.h>

#include <exception>

#include "adjoin/comm/call.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

py::object make(const char* name, const std::string& message) {
  return py::module_::import("adjoin.errors").attr(name)(message);
}

void raise(const py::object& error) { PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr()); }

py::object rank_failure(const RankFailure& e) {
  py::object error = make("RankFailure", e.what());
  error.attr("rank") = e.rank;
  error.attr("operator_index") = e.operator_index;
  error.attr("reason") = e.reason;
  return error;
}

py::object operator_failure(const OperatorFailure& e) {
  py::object error = make("OperatorFailure", e.what());
  error.attr("index") = e.index;
  return error;
}

py::object call_disagreement(const CallDisagreement& e) {
  py::object error = make("CallDisagreement", e.what());
  py::list entries;
  for (const CallDisagreement::Entry& entry : e.entries) {
    py::dict one;
    one["call"] = entry.call;
    one["collective"] = entry.collective;
    one["fingerprint"] = entry.fingerprint;
    one["refusal"] = entry.refusal;
    one["left"] = entry.left;
    entries.append(one);
  }
  error.attr("entries") = entries;
  return error;
}

// Where the failure of this rank happened.
std::string place(const RankFailure& e) {
  return e.operator_index < 0 ? c10::str("adjoin: on rank ", e.rank)
                              : c10::str("adjoin: in operator ", e.operator_index, ", on rank ", e.rank);
}
std::string place(const OperatorFailure& e) { return c10::str("adjoin: in operator ", e.index); }

// Says in a note where an exception came from. Python 3.10 prints no notes, but the context that it would not have had.
void add_note(const py::object& error, const std::string& note, const py::object& failure) {
  try {
    py::list notes = py::getattr(error, "__notes__", py::list());
    if (!notes.contains(note)) {
      notes.append(note);
      error.attr("__notes__") = notes;
    }
#if PY_VERSION_HEX < 0x030B0000
    if (error.attr("__context__").is_none() && error.attr("__cause__").is_none()) {
      error.attr("__context__") = failure;
    }
#else
    (void)failure;
#endif
  } catch (py::error_already_set&) {  // an exception that takes no attributes
  }
}

// Raises an exception of Python's once more: with its class, its traceback and the context that it had.
void raise_again(const py::object& type, const py::object& value, const py::object& trace) {
  PyErr_Restore(py::object(type).release().ptr(), py::object(value).release().ptr(), py::object(trace).release().ptr());
}

// Raises what caused the failure of this rank where that is an exception of Python's, or a wrong argument; false
// otherwise.
bool raise_cause(const std::exception& error, const std::string& note, const py::object& failure) {
  try {
    std::rethrow_if_nested(error);
  } catch (const py::error_already_set& cause) {
    add_note(cause.value(), note, failure);
    raise_again(cause.type(), cause.value(), cause.trace());
    return true;
  } catch (const python_error& cause) {  // torch's own
    if (cause.value == nullptr) {
      return false;
    }
    const auto value = py::reinterpret_borrow<py::object>(cause.value);
    add_note(value, note, failure);
    raise_again(py::reinterpret_borrow<py::object>(cause.type), value,
                py::reinterpret_borrow<py::object>(cause.traceback));
    return true;
  } catch (const InvalidArgument& cause) {
    const py::object argument = make("InvalidArgument", cause.what());
    add_note(argument, note, failure);
    raise(argument);
    return true;
  } catch (const std::exception& cause) {
    return raise_cause(cause, note, failure);
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
    const py::object failure = rank_failure(e);
    if (!raise_cause(e, place(e), failure)) {
      raise(failure);
    }
  } catch (const OperatorFailure& e) {
    const py::object failure = operator_failure(e);
    if (!raise_cause(e, place(e), failure)) {
      raise(failure);
    }
  } catch (const InvalidArgument& e) {
    raise(make("InvalidArgument", e.what()));
  } catch (const CallDisagreement& e) {
    raise(call_disagreement(e));
  } catch (const CommunicationError& e) {
    raise(make("CommunicationError", e.what()));
  } catch (const Error& e) {
    raise(make("Error", e.what()));
  } catch (const c10::Error&) {
    torch::translate_exception_to_python(std::current_exception());
  } catch (python_error& e) {
    e.restore();
  }
}

// What leaves a backward pass, as an exception that torch's engine hands on to Python as it is.
void translate_in_backward(const std::exception_ptr& exception) {
  const py::gil_scoped_acquire gil;
  PyErr_Clear();  // torch sets what a python_error holds
  try {
    translate(exception);
  } catch (...) {  // not ours: the engine knows it, or hands on its message
    return;
  }
  throw py::error_already_set();
}

}  // namespace

void bind_errors(py::module_& /*m*/) {
  py::register_local_exception_translator(translate);
  set_backward_translator(translate_in_backward);
}

}  // namespace adjoin::python
