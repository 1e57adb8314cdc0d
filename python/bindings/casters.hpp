// SPDX-License-Identifier: BSD-3-Clause
// What every binding needs: torch's casters, one for lists of tensors, and the bridges to Python callables.
#pragma once

#include <c10/util/StringUtil.h>
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/physics/gamma.hpp"
#include "gil.hpp"

namespace adjoin::python {

/// An argument that is a tensor or a NumPy array.
struct TensorLike {
  at::Tensor tensor;
  operator const at::Tensor&() const { return tensor; }  // NOLINT(google-explicit-constructor): stands for its tensor
  const at::Tensor* operator->() const { return &tensor; }
};
/// The same, or None.
using MaybeTensor = std::optional<TensorLike>;
inline std::optional<at::Tensor> tensor_of(const MaybeTensor& argument) {
  return argument ? std::optional(argument->tensor) : std::nullopt;
}

}  // namespace adjoin::python

namespace pybind11::detail {

/// Tensors are shared with Python, NumPy arrays with NumPy where torch can.
template <>
struct type_caster<adjoin::python::TensorLike> {
 public:
  PYBIND11_TYPE_CASTER(adjoin::python::TensorLike, const_name("torch.Tensor | numpy.ndarray"));

  bool load(handle source, bool convert);
};

/// Numbers as pybind11 takes them, but for a tensor that autograd follows, whose gradient would be lost.
template <>
struct type_caster<double> {
 public:
  PYBIND11_TYPE_CASTER(double, type_caster<long double>::name);

  bool load(handle source, bool convert);
  static handle cast(double number, return_value_policy /*policy*/, handle /*parent*/) {
    return PyFloat_FromDouble(number);
  }
};

/// Any sequence of tensors and NumPy arrays ↔ adjoin::TensorList, which comes back as a list of tensors.
template <>
struct type_caster<adjoin::TensorList> {
 public:
#if PYBIND11_VERSION_MAJOR >= 3
  PYBIND11_TYPE_CASTER(adjoin::TensorList,
                       io_name("collections.abc.Sequence[torch.Tensor | numpy.ndarray]", "list[torch.Tensor]"));
#else
  PYBIND11_TYPE_CASTER(adjoin::TensorList, const_name("list[torch.Tensor]"));
#endif

  bool load(handle source, bool convert);
  static handle cast(const adjoin::TensorList& tensors, return_value_policy policy, handle parent);
};

}  // namespace pybind11::detail

namespace adjoin::python {

/// Keyword arguments as parameters: the values that C++ has a type for by name, and all of them for Python operators.
Params to_params(const py::object& kwargs);
/// Back to keyword arguments; those that came from Python are the very same objects. Needs the GIL.
py::dict to_kwargs(const Params& params);

/// For a binding: this rank cannot make a call of `method` that all ranks make together, because of an exception of
/// Python's, which all raise then.
template <class Collective>
void refuse_with(const Collective& object, const std::string& method, const py::object& error) {
  try {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw py::error_already_set();
  } catch (...) {
    const py::gil_scoped_release release;
    object.refuse(method.c_str());
  }
}

/// The tensor that a value is; throws InvalidArgument, naming it, for anything else but a NumPy array.
at::Tensor to_tensor(const char* argument, const py::handle& value);
/// A number, or a tensor or NumPy array of one number or one an item; throws InvalidArgument for anything else.
Gamma to_gamma(const py::object& value);

/// A call to Python, with the GIL: function(arguments…, **params), which must return a tensor. `name` is for messages.
at::Tensor call(const Object& function, const std::string& name, std::initializer_list<const at::Tensor*> arguments,
                const Params& params);

/// The value of the choice called `name`; throws InvalidArgument, naming all, where there is none.
template <class T>
T chosen(const char* argument, const std::string& name, std::initializer_list<std::pair<const char*, T>> choices) {
  std::string names;
  std::size_t left = choices.size();
  for (const auto& [known, value] : choices) {
    if (name == known) {
      return value;
    }
    --left;
    names += c10::str("'", known, left > 1 ? "', " : left == 1 ? "' or " : "'");
  }
  throw InvalidArgument(c10::str(argument, ": must be ", names, ", got '", name, "'"));
}

// One function a room; each adds its part to the module.
void bind_errors(py::module_& m);
/// Comes last: wrong arguments of all functions of the module then raise errors that name the argument.
void explain_arguments(const py::module_& m);
void bind_context(py::module_& m);
void bind_physics(py::module_& m);
void bind_noise(py::module_& m);
void bind_operators(py::module_& m);
void bind_mri(py::module_& m);
void bind_blur_kernels(py::module_& m);
void bind_lowered(py::module_& m);
void bind_flat(py::module_& m);
void bind_distributed(py::module_& m);
void bind_processing(py::module_& m);
void bind_fidelities(py::module_& m);
void bind_priors(py::module_& m);
void bind_algorithms(py::module_& m);
void bind_models(py::module_& m);
void bind_io(py::module_& m);
void bind_solvers(py::module_& m);
void bind_testing(py::module_& m);

}  // namespace adjoin::python
