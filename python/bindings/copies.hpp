// SPDX-License-Identifier: BSD-3-Clause
// What Python's copy and pickle ask of an object: how it was made. adjoin/copies.py makes it again.
#pragma once

#include "adjoin/core/recipe.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// A function of adjoin.copies.
inline py::object copies(const char* function) { return py::module_::import("adjoin.copies").attr(function); }

/// A function of adjoin.notebook.
inline py::object notebook(const char* function) { return py::module_::import("adjoin.notebook").attr(function); }

/// The result of __reduce__ of `self`, which `maker` makes of operands and arguments; `models` has by
/// name the setters of what the object has got since, such as a noise model. Attributes of a class that the user
/// derived go along.
inline py::tuple reduced(const py::object& self, const py::object& maker, const py::object& operands,
                         const py::object& arguments, const py::dict& models = {}) {
  const py::tuple made_of = py::make_tuple(py::type::of(self), maker, operands, arguments, models);
  const py::object attributes = py::getattr(self, "__dict__", py::none());
  if (attributes.is_none() || py::len(attributes) == 0) {
    return py::make_tuple(copies("remade"), made_of);
  }
  return py::make_tuple(copies("remade"), made_of, attributes);
}

/// __reduce__ of a class whose objects have a recipe().
template <class T>
py::tuple reduce_by_recipe(const py::object& self) {
  const Recipe recipe = self.cast<const T&>().recipe();
  check(!recipe.maker.empty(), py::type::of(self).attr("__name__").template cast<std::string>(),
        ": cannot be copied or pickled, as it cannot say how it was made");
  return reduced(self, py::str(recipe.maker), py::tuple(), to_kwargs(recipe.arguments));
}

}  // namespace adjoin::python
