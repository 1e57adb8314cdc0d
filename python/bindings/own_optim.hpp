// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities and priors that a Python class derived from DataFidelity or Prior defines.
#pragma once

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>

#include "adjoin/optim/data_fidelity.hpp"
#include "adjoin/optim/prior.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// The class that binds T, whose objects C++ and Python share.
template <class T, class... Options>
using Shared = py::class_<T, Options..., std::shared_ptr<T>>;

/// What both have: the methods that the Python class defines, which get tensors and return them; values may be numbers.
template <class Base>
class Own : public Base {
 public:
  std::string name() const override {
    const py::gil_scoped_acquire gil;
    return py::type::of(py::cast(static_cast<const Base*>(this))).attr("__name__").template cast<std::string>();
  }

 protected:
  bool has(const char* method) const {
    const py::gil_scoped_acquire gil;
    return static_cast<bool>(py::get_override(static_cast<const Base*>(this), method));
  }
  template <class... Arguments>
  at::Tensor call_own(const char* method, const Arguments&... arguments) const {
    const py::gil_scoped_acquire gil;
    const py::function own = py::get_override(static_cast<const Base*>(this), method);
    check(static_cast<bool>(own), this->name(), ": has no method ", method);
    const py::object result = own(arguments...);
    return PyFloat_Check(result.ptr()) != 0 ? at::scalar_tensor(result.cast<double>(), at::kDouble)
                                            : to_tensor((this->name() + "." + method).c_str(), result);
  }
  double own_lipschitz() const {
    const py::gil_scoped_acquire gil;
    const py::function own = py::get_override(static_cast<const Base*>(this), "lipschitz");
    return own ? own().template cast<double>() : Base::lipschitz();
  }
  /// The gradient of value(u) by automatic differentiation.
  template <class Value>
  static at::Tensor differentiated(const at::Tensor& u, const Value& value) {
    const c10::AutoGradMode recording(true);
    const at::Tensor point = u.detach().requires_grad_();
    return torch::autograd::grad({value(point)}, {point})[0];
  }
};

class OwnFidelity final : public Own<DataFidelity> {
 public:
  Recipe recipe() const override { return {.maker = "DataFidelity"}; }
  double lipschitz() const override { return own_lipschitz(); }

 protected:
  at::Tensor fn_impl(const at::Tensor& u, const at::Tensor& y) const override { return call_own("fn", u, y); }
  at::Tensor grad_impl(const at::Tensor& u, const at::Tensor& y) const override {
    return has("grad") ? call_own("grad", u, y) : differentiated(u, [&](const at::Tensor& v) { return fn_impl(v, y); });
  }
  at::Tensor prox_impl(const at::Tensor& u, const at::Tensor& y, double gamma) const override {
    return call_own("prox", u, y, gamma);
  }
};

class OwnPrior final : public Own<Prior> {
 public:
  Recipe recipe() const override { return {.maker = "Prior"}; }
  bool explicit_prior() const override { return has("fn"); }
  double lipschitz() const override { return own_lipschitz(); }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override { return call_own("fn", x); }
  at::Tensor grad_impl(const at::Tensor& x) const override {
    return has("grad") || !has("fn") ? call_own("grad", x)
                                     : differentiated(x, [&](const at::Tensor& v) { return fn_impl(v); });
  }
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override { return call_own("prox", x, gamma); }
};

}  // namespace adjoin::python
