#include "casters.hpp"

#include <torch/csrc/autograd/python_variable.h>

#include <utility>

namespace pybind11::detail {

bool type_caster<adjoin::TensorList>::load(handle source, bool /*convert*/) {
  if (THPVariable_Check(source.ptr())) {
    return false;
  }
  const auto items = reinterpret_steal<object>(PySequence_Fast(source.ptr(), "expected a sequence of tensors"));
  if (!items) {
    PyErr_Clear();
    return false;
  }
  const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(items.ptr()));
  value = adjoin::TensorList(count);
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* const item = PySequence_Fast_GET_ITEM(items.ptr(), static_cast<Py_ssize_t>(i));
    if (!THPVariable_Check(item)) {
      return false;
    }
    value[i] = THPVariable_Unpack(item);
  }
  return true;
}

handle type_caster<adjoin::TensorList>::cast(const adjoin::TensorList& tensors, return_value_policy /*policy*/,
                                             handle /*parent*/) {
  list result(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    PyList_SET_ITEM(result.ptr(), static_cast<Py_ssize_t>(i), THPVariable_Wrap(tensors[i]));
  }
  return result.release();
}

}  // namespace pybind11::detail

namespace adjoin::python {

namespace {

constexpr const char* kwargs_entry = "python.kwargs";

// Destroys a reference with the GIL; when the interpreter is gone there is nothing left to destroy.
void drop(PyObject* object) {
  if (Py_IsInitialized() != 0) {
    const py::gil_scoped_acquire gil;
    Py_XDECREF(object);
  }
}

// Adds `value` when C++ has a type for it.
void set(Params& params, const std::string& name, const py::handle& value) {
  if (THPVariable_Check(value.ptr())) {
    params.set(name, value.cast<at::Tensor>());
  } else if (PyBool_Check(value.ptr())) {
    params.set(name, value.cast<bool>());
  } else if (PyLong_Check(value.ptr())) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow == 0) {
      params.set(name, static_cast<std::int64_t>(number));
    }
  } else if (PyFloat_Check(value.ptr())) {
    params.set(name, PyFloat_AS_DOUBLE(value.ptr()));
  } else if (PyUnicode_Check(value.ptr())) {
    params.set(name, value.cast<std::string>());
  } else if (PyList_Check(value.ptr()) || PyTuple_Check(value.ptr())) {
    py::detail::make_caster<TensorList> tensors;
    py::detail::make_caster<std::vector<std::int64_t>> integers;
    py::detail::make_caster<std::vector<double>> numbers;
    py::detail::make_caster<std::vector<std::string>> strings;
    if (tensors.load(value, false)) {
      params.set(name, py::detail::cast_op<TensorList&>(tensors));
    } else if (integers.load(value, false)) {
      params.set(name, py::detail::cast_op<std::vector<std::int64_t>&>(integers));
    } else if (numbers.load(value, false)) {
      params.set(name, py::detail::cast_op<std::vector<double>&>(numbers));
    } else if (strings.load(value, false)) {
      params.set(name, py::detail::cast_op<std::vector<std::string>&>(strings));
    }
  }
}

}  // namespace

Object::Object(py::object object) : object_(object.release().ptr(), drop) {}

Params to_params(const py::object& kwargs) {
  Params params;
  if (!kwargs || kwargs.is_none() || PyDict_Size(kwargs.ptr()) == 0) {
    return params;
  }
  for (const auto& [name, value] : py::reinterpret_borrow<py::dict>(kwargs)) {
    set(params, name.cast<std::string>(), value);
  }
  params.set(kwargs_entry, Opaque(std::shared_ptr<const void>(kwargs.inc_ref().ptr(), [](const void* object) {
               drop(const_cast<PyObject*>(static_cast<const PyObject*>(object)));
             })));
  return params;
}

py::dict to_kwargs(const Params& params) {
  if (params.contains(kwargs_entry)) {
    const Opaque entry = params.get<Opaque>(kwargs_entry);
    return py::reinterpret_borrow<py::dict>(const_cast<PyObject*>(static_cast<const PyObject*>(entry.get())));
  }
  py::dict kwargs;
  for (const auto& [name, value] : params) {
    std::visit(
        [&, &key = name](const auto& v) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, Opaque>) {
            kwargs[key.c_str()] = py::cast(v);
          }
        },
        value);
  }
  return kwargs;
}

at::Tensor call(const Object& function, const std::string& name, std::initializer_list<const at::Tensor*> arguments,
                const Params& params) {
  const py::gil_scoped_acquire gil;
  py::tuple positional(arguments.size());
  std::size_t i = 0;
  for (const at::Tensor* argument : arguments) {
    PyTuple_SET_ITEM(positional.ptr(), static_cast<Py_ssize_t>(i++), THPVariable_Wrap(*argument));
  }
  const py::object kwargs = params.empty() ? py::object() : py::object(to_kwargs(params));
  const auto result =
      py::reinterpret_steal<py::object>(PyObject_Call(function.get().ptr(), positional.ptr(), kwargs.ptr()));
  if (!result) {
    throw py::error_already_set();
  }
  if (!THPVariable_Check(result.ptr())) {
    throw InvalidArgument(name + " must return a tensor, got " + Py_TYPE(result.ptr())->tp_name);
  }
  return THPVariable_Unpack(result.ptr());
}

}  // namespace adjoin::python
