// What every binding needs: torch's casters, one for lists of tensors, and the bridges to Python callables.
#pragma once

#include <c10/util/StringUtil.h>
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace pybind11::detail {

/// Any sequence of tensors ↔ adjoin::TensorList, which comes back as a list. The tensors are shared, not copied.
template <>
struct type_caster<adjoin::TensorList> {
 public:
  PYBIND11_TYPE_CASTER(adjoin::TensorList, const_name("Sequence[torch.Tensor]"));

  bool load(handle source, bool convert);
  static handle cast(const adjoin::TensorList& tensors, return_value_policy policy, handle parent);
};

}  // namespace pybind11::detail

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

 private:
  std::shared_ptr<PyObject> object_;
};

/// Keyword arguments as parameters: the values that C++ has a type for by name, and all of them for Python operators.
Params to_params(const py::object& kwargs);
/// Back to keyword arguments; those that came from Python are the very same objects. Needs the GIL.
py::dict to_kwargs(const Params& params);

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

// One function a room; each adds its part to the module.
void bind_errors(py::module_& m);
void bind_context(py::module_& m);
void bind_physics(py::module_& m);
void bind_operators(py::module_& m);
void bind_distributed(py::module_& m);
void bind_processing(py::module_& m);
void bind_optim(py::module_& m);
void bind_models(py::module_& m);
void bind_io(py::module_& m);
void bind_solvers(py::module_& m);

}  // namespace adjoin::python
