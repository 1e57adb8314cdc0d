// SPDX-License-Identifier: BSD-3-Clause
// Tensors, NumPy arrays, lists and keyword arguments on their way from Python to C++ and back.
#include "casters.hpp"

#include <torch/csrc/autograd/python_variable.h>

#include <utility>

#include "adjoin/core/gradients.hpp"

namespace {

// The tensor that `source` is, or that a NumPy array becomes; false for anything else.
bool load_tensor(pybind11::handle source, at::Tensor& tensor) {
  if (THPVariable_Check(source.ptr())) [[likely]] {
    tensor = THPVariable_Unpack(source.ptr());
    return true;
  }
  // Numbers, text and what else the interpreter itself has need not be asked for an array.
  if ((Py_TYPE(source.ptr())->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 && !PyObject_CheckBuffer(source.ptr())) {
    return false;
  }
  const pybind11::object made = pybind11::module_::import("adjoin.arguments").attr("from_array")(source);
  if (made.is_none()) {
    return false;
  }
  tensor = THPVariable_Unpack(made.ptr());
  return true;
}

}  // namespace

namespace pybind11::detail {

bool type_caster<adjoin::python::TensorLike>::load(handle source, bool /*convert*/) {
  return load_tensor(source, value.tensor);
}

bool type_caster<double>::load(handle source, bool convert) {
  if (source && THPVariable_Check(source.ptr()) && adjoin::records_gradients(THPVariable_Unpack(source.ptr()))) {
    return false;
  }
  type_caster<long double> any;
  if (!any.load(source, convert)) {
    return false;
  }
  value = static_cast<double>(static_cast<long double&>(any));
  return true;
}

bool type_caster<adjoin::TensorList>::load(handle source, bool /*convert*/) {
  if (THPVariable_Check(source.ptr()) || PyUnicode_Check(source.ptr()) || PyObject_CheckBuffer(source.ptr())) {
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
    if (!load_tensor(PySequence_Fast_GET_ITEM(items.ptr(), static_cast<Py_ssize_t>(i)), value[i])) {
      return false;
    }
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

// Adds `value` as the type that C++ has for it, else as what only Python understands.
void set(Params& params, const std::string& name, const py::handle& value) {
  at::Tensor tensor;
  if (value.is_none()) {
    params.set(name, Opaque());
  } else if (load_tensor(value, tensor)) {
    params.set(name, tensor);
  } else if (PyBool_Check(value.ptr())) {
    params.set(name, value.cast<bool>());
  } else if (PyLong_Check(value.ptr())) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow == 0) {
      params.set(name, static_cast<std::int64_t>(number));
    } else {
      params.set(name, to_opaque(value));
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
    } else {
      params.set(name, to_opaque(value));
    }
  } else {
    params.set(name, to_opaque(value));
  }
}

}  // namespace

Params to_params(const py::object& kwargs) {
  Params params;
  if (!kwargs || kwargs.is_none() || PyDict_Size(kwargs.ptr()) == 0) {
    return params;
  }
  for (const auto& [name, value] : py::reinterpret_borrow<py::dict>(kwargs)) {
    set(params, name.cast<std::string>(), value);
  }
  params.set_source(to_opaque(kwargs));
  return params;
}

py::dict to_kwargs(const Params& params) {
  if (params.source()) {
    auto all = py::reinterpret_borrow<py::dict>(to_object(params.source()));
    if (all.size() == params.size()) {
      return all;
    }
    py::dict some;
    for (const auto& [name, value] : params) {
      some[name.c_str()] = all[name.c_str()];
    }
    return some;
  }
  py::dict kwargs;
  for (const auto& [name, value] : params) {
    std::visit(
        [&, &key = name](const auto& v) {
          if constexpr (std::is_same_v<std::decay_t<decltype(v)>, Opaque>) {
            kwargs[key.c_str()] = to_object(v);
          } else {
            kwargs[key.c_str()] = py::cast(v);
          }
        },
        value);
  }
  return kwargs;
}

at::Tensor to_tensor(const char* argument, const py::handle& value) {
  at::Tensor tensor;
  if (!load_tensor(value, tensor)) {
    throw InvalidArgument(
        c10::str(argument, ": must be a tensor or a NumPy array, got ",
                 py::module_::import("adjoin.arguments").attr("described")(value).cast<std::string>()));
  }
  return tensor;
}

Gamma to_gamma(const py::object& value) {
  if (PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr())) {
    return value.cast<double>();
  }
  at::Tensor tensor;
  if (!load_tensor(value, tensor)) {
    throw InvalidArgument(
        c10::str("gamma: must be a number, or a tensor or NumPy array of one number or one an item, got ",
                 py::module_::import("adjoin.arguments").attr("described")(value).cast<std::string>()));
  }
  return tensor;
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
