// SPDX-License-Identifier: BSD-3-Clause
// Measurement models: the base classes, those made of Python callables, and their algebra.
#include "adjoin/physics/physics.hpp"

#include <torch/csrc/Dtype.h>
#include <torch/csrc/autograd/python_variable.h>

#include "adjoin/physics/algebra.hpp"
#include "adjoin/physics/linear_physics.hpp"
#include "copies.hpp"
#include "noise.hpp"
#include "python_physics.hpp"

namespace adjoin::python {

namespace {

Methods to_methods(const py::dict& dictionary) {
  Methods methods;
  for (const auto& [name, method] : dictionary) {
    methods[name.cast<std::string>()] = Object(py::reinterpret_borrow<py::object>(method));
  }
  return methods;
}

// A method of a tensor and keyword arguments.
template <class P, class Method>
auto unary(Method method) {
  return [method](P& physics, const TensorLike& x, const py::kwargs& kwargs) {
    const Params params = to_params(kwargs);
    const py::gil_scoped_release release;
    return (physics.*method)(x, params);
  };
}

at::Scalar to_scalar(const py::object& number) {
  if (THPVariable_Check(number.ptr())) {
    const auto tensor = number.cast<at::Tensor>();
    check(!records_gradients(tensor), "scale: factor: must be a number, got a tensor that requires gradients, which ",
          "the product would not have; Diagonal has a tensor of weights");
    return tensor.item();
  }
  if (PyComplex_Check(number.ptr()) != 0) {
    return number.cast<c10::complex<double>>();
  }
  return number.cast<double>();
}

bool is_number(const py::object& thing) {
  return PyNumber_Check(thing.ptr()) != 0 && (!THPVariable_Check(thing.ptr()) || thing.cast<at::Tensor>().numel() == 1);
}

// factor * a, or NotImplemented, by which Python asks the other operand.
py::object scaled(const LinearPhysicsPtr& a, const py::object& factor) {
  return is_number(factor) ? py::cast(scale(to_scalar(factor), a))
                           : py::reinterpret_borrow<py::object>(Py_NotImplemented);
}

DaggerOptions dagger_options(const std::string& solver, int max_iter, double tol, bool verbose, const MaybeTensor& init,
                             SolveInfo* info, const py::kwargs& kwargs) {
  return {.solver = solver_from_string(solver),
          .max_iter = max_iter,
          .tol = tol,
          .verbose = verbose,
          .init = tensor_of(init),
          .params = to_params(kwargs),
          .monitor = interruptible(),
          .info = info};
}

// What an operator was made of and with, as remade() of adjoin.copies takes it.
py::tuple recipe_of(const Physics& physics) {
  const Recipe recipe = physics.recipe();
  py::list operands;
  for (const PhysicsPtr& operand : physics.operands()) {
    // As its most derived type that Python knows.
    const auto linear = std::dynamic_pointer_cast<LinearPhysics>(operand);
    operands.append(linear ? py::cast(linear) : py::cast(operand));
  }
  return py::make_tuple(recipe.maker, py::tuple(operands), to_kwargs(recipe.arguments));
}

py::tuple reduce(const py::object& self) {
  const auto& physics = self.cast<const Physics&>();
  const py::tuple recipe = recipe_of(physics);
  check(!recipe[0].cast<std::string>().empty(), physics.name(),
        ": cannot be copied or pickled, as it cannot say how it was made");
  py::dict models;
  if (const py::object noise = from_model(physics.noise()); !noise.is_none()) {
    models["set_noise_model"] = noise;
  }
  if (const py::object sensor = from_model(physics.sensor()); !sensor.is_none()) {
    models["set_sensor_model"] = sensor;
  }
  return reduced(self, recipe[0], recipe[1], recipe[2], models);
}

void bind_base(py::module_& m) {
  py::class_<Physics, std::shared_ptr<Physics>>(m, "Physics", R"(A measurement model y = sensor(noise(A(x))).

Images x are tensors (B, C, …) or NumPy arrays, which count as tensors on the CPU; results are tensors. Keyword arguments
of a call stand for the operator's own parameters (see parameter_names) in that call; unknown ones raise
adjoin.InvalidArgument. Operators can be copied, pickled and saved by torch.save, with noise and sensor.

:raises adjoin.InvalidArgument: from every method, naming the argument, for a tensor of the wrong shape, dtype or device and
    for keyword arguments that the operator does not take.)")
      .def("A", unary<Physics>(&Physics::A), py::arg("x"),
           R"(Measurements without noise.

:param x: an image.
:return: A(x), of the precision and on the device of x.)")
      .def("forward", unary<Physics>(&Physics::forward), py::arg("x"),
           R"(Measurements with noise and sensor response.

:param x: an image.
:return: sensor(noise(A(x))).)")
      .def("__call__", unary<Physics>(&Physics::forward), py::arg("x"),
           R"(As forward.

:param x: an image.
:return: sensor(noise(A(x))).)")
      .def(
          "A_vjp",
          [](Physics& p, const TensorLike& x, const TensorLike& v, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_vjp(x, v, params);
          },
          py::arg("x"), py::arg("v"), R"(The vector-Jacobian product, the adjoint of A's derivative.

:param x: an image.
:param v: a tensor of the shape of A(x).
:return: J(x)ᵀ v, of the shape and dtype of x; for linear operators A_adjoint(v), its real part where x is real.)")
      .def(
          "set_noise_model", [](Physics& p, const py::object& noise) { p.set_noise(to_model("noise_model", noise)); },
          py::arg("noise_model"),
          R"(Sets what forward adds.

:param noise_model: gaussian_noise(…) and the like, or any callable of a tensor; None for nothing.)")
      .def(
          "set_sensor_model",
          [](Physics& p, const py::object& sensor) { p.set_sensor(to_model("sensor_model", sensor)); },
          py::arg("sensor_model"), R"(Sets what forward applies last.

:param sensor_model: a callable of a tensor; None for nothing.)")
      .def_property_readonly(
          "noise_model", [](const Physics& p) { return from_model(p.noise()); }, "As set_noise_model got it, or None.")
      .def_property_readonly(
          "sensor_model", [](const Physics& p) { return from_model(p.sensor()); },
          "As set_sensor_model got it, or None.")
      .def(
          "update", [](Physics& p, const py::kwargs& kwargs) { p.update(to_params(kwargs)); },
          "Replaces parameters, by name, (such as filter or mask) for all later calls; see parameter_names.")
      .def_property_readonly(
          "parameter_names",
          [](const Physics& p) -> std::optional<std::vector<std::string>> {
            ParameterNames names = p.parameter_names();
            return names.any ? std::nullopt : std::optional(std::move(names.names));
          },
          "The keyword arguments that calls and update take; None for any.")
      .def_property_readonly("name", &Physics::name, "The name of the class, as messages have it.")
      .def("_tensors_with_gradients", &Physics::tensors_with_gradients,
           "The tensors that the operator and its parts are made of, where they require gradients or carry a tangent.")
      .def("recipe", &recipe_of, R"(How another such operator is made, for copies.

:return: (maker, operands, arguments).)")
      .def("__reduce__", &reduce)
      .def(
          "state_dict", [](const py::object& self) { return copies("state_dict")(self); },
          R"(The operator's tensors.

:return: tensors by name; the names of those of the operands of sums and products begin with their places.)")
      .def(
          "load_state_dict",
          [](const py::object& self, const py::dict& state) { copies("load_state_dict")(self, state); },
          py::arg("state_dict"), R"(Replaces the operator's tensors.

:param state_dict: all of them, as state_dict() gives them; other names raise.)")
      .def(
          "to",
          [](const py::object& self, const py::object& device, const py::object& dtype) {
            return THPDtype_Check(device.ptr()) ? copies("moved")(self, dtype, device)
                                                : copies("moved")(self, device, dtype);
          },
          py::arg("device") = py::none(), py::arg("dtype") = py::none(),
          R"(Moves the operator's tensors to a device and converts them to a precision, in place.

:param device: a torch.device or its name; None leaves them where they are.
:param dtype: a floating-point or complex torch.dtype, also in place of the device; complex tensors stay complex.
:return: the operator itself.)")
      .def("__repr__", [](const Physics& p) { return "adjoin.physics." + p.name() + "()"; });
}

void bind_linear(py::module_& m) {
  py::class_<LinearPhysics, Physics, std::shared_ptr<LinearPhysics>>(
      m, "LinearPhysics", R"(A linear measurement model, with its adjoint (the conjugate transpose for complex ones).

a + b, a - b, -a, 2 * a, a * b (first b) and a.T are linear models, too, which share their operands.)")
      .def("A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_adjoint), py::arg("y"),
           R"(The adjoint, the conjugate transpose for complex operators.

:param y: measurements, of the shape of A(x).
:return: Aᵀ y, of the shape of x.
:raises adjoin.InvalidArgument: also where y does not tell the size of the image; A_adjoint_for is given one.)")
      .def(
          "A_adjoint_for",
          [](LinearPhysics& p, const TensorLike& y, const TensorLike& image, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_adjoint_for(y, image, params);
          },
          py::arg("y"), py::arg("image"), R"(The adjoint for images of given sizes.

:param y: measurements, of the shape of A(image).
:param image: gives sizes, dtype and device; its values do not count.
:return: Aᵀ y, of the shape of `image`.)")
      .def("A_adjoint_A", unary<LinearPhysics>(&LinearPhysics::A_adjoint_A), py::arg("x"), R"(The normal operator.

:param x: an image.
:return: Aᵀ A x, of the shape of x.)")
      .def("A_A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_A_adjoint), py::arg("y"),
           R"(The adjoint, then the operator.

:param y: measurements, of the shape of A(x).
:return: A Aᵀ y, of the shape of y.)")
      .def(
          "A_dagger",
          [](LinearPhysics& p, const TensorLike& y, const std::string& solver, int max_iter, double tol, bool verbose,
             const MaybeTensor& init, SolveInfo* info, const py::kwargs& kwargs) {
            const DaggerOptions options = dagger_options(solver, max_iter, tol, verbose, init, info, kwargs);
            const py::gil_scoped_release release;
            return p.A_dagger(y, options);
          },
          py::arg("y"), py::arg("solver") = "CG", py::arg("max_iter") = 100, py::arg("tol") = 1e-6,
          py::arg("verbose") = false, py::arg("init") = py::none(), py::arg("info") = py::none(),
          R"(The minimum-norm least-squares solution of A x = y: a closed form where there is one, else by iteration.

:param y: measurements, of the shape of A(x).
:param solver: "CG", "LSQR", "LSMR", "BiCGStab" or "MINRES".
:param max_iter: the most iterations.
:param tol: the relative tolerance of the solver's stopping rule.
:param verbose: whether to draw a progress bar.
:param init: the start, of the image's shape and dtype, by default zero; closed forms are not used with one.
:param info: a SolveInfo that is told how the solve ended.
:return: argmin ‖A x − y‖, which differentiates with respect to y and the operator's tensors.
:raises adjoin.Error: where NaN or infinity comes up, naming the iteration.)")
      .def(
          "prox_l2",
          [](LinearPhysics& p, const TensorLike& z, const TensorLike& y, const py::object& gamma,
             const std::string& solver, int max_iter, double tol, bool verbose, const MaybeTensor& init,
             SolveInfo* info, const py::kwargs& kwargs) {
            const DaggerOptions options = dagger_options(solver, max_iter, tol, verbose, init, info, kwargs);
            const Gamma weight = to_gamma(gamma);
            const py::gil_scoped_release release;
            return p.prox_l2(z, y, weight, options);
          },
          py::arg("z"), py::arg("y"), py::arg("gamma"), py::arg("solver") = "CG", py::arg("max_iter") = 100,
          py::arg("tol") = 1e-6, py::arg("verbose") = false, py::arg("init") = py::none(), py::arg("info") = py::none(),
          R"(The proximal operator of γ/2 ‖A x − y‖².

:param z: an image.
:param y: measurements, of the shape of A(z).
:param gamma: γ > 0, a number, or a tensor of one or of one for each item of the batch.
:param solver: as of A_dagger, as are max_iter, tol, verbose, init and info.
:return: argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², of the shape of z, which differentiates with respect to z, y and γ, too.
:raises adjoin.Error: where NaN or infinity comes up, naming the iteration.)")
      .def(
          "compute_sqnorm",
          [](LinearPhysics& p, const TensorLike& x0, int max_iter, double tol, bool verbose, const py::kwargs& kwargs) {
            const SqnormOptions options{
                .max_iter = max_iter, .tol = tol, .verbose = verbose, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            return p.compute_sqnorm(x0, options);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50, py::arg("tol") = 1e-3, py::arg("verbose") = false,
          R"(The squared spectral norm, by Lanczos where it is not known in closed form.

:param x0: an image, which gives shape, dtype and device.
:param max_iter: the most steps.
:param tol: the relative accuracy.
:param verbose: whether to draw a progress bar.
:return: ‖A‖².)")
      .def(
          "sqnorm_bounds",
          [](LinearPhysics& p, const TensorLike& x0, int max_iter, const py::kwargs& kwargs) {
            const SqnormOptions options{.max_iter = max_iter, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            const SqnormBounds bounds = p.sqnorm_bounds(x0, options);
            return std::pair(bounds.lower, bounds.upper);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50, R"(Proven bounds of the squared spectral norm.

:param x0: an image, which gives shape, dtype and device.
:param max_iter: the steps of Lanczos, at least 24.
:return: (lower, upper); the upper one fails with probability 1e-6.)")
      .def(
          "adjointness_test",
          [](LinearPhysics& p, const TensorLike& u, std::uint64_t seed, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.adjointness_test(u, seed, params);
          },
          py::arg("u"), py::arg("seed") = 0,
          R"(How far A_adjoint is from the adjoint; adjoin.testing.check_operator tries more, and explains.

:param u: an image.
:param seed: of the random measurements v.
:return: |⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖), of the order of the dtype's precision.)")
      .def(
          "__add__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a + b; }, py::is_operator())
      .def(
          "__sub__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a - b; }, py::is_operator())
      .def("__neg__", [](const LinearPhysicsPtr& a) { return -a; })
      .def(
          "__mul__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a * b; }, py::is_operator())
      .def("__mul__", &scaled, py::is_operator())
      .def("__rmul__", &scaled, py::is_operator())
      .def_property_readonly("T", [](const LinearPhysicsPtr& a) { return adjoint(a); }, "The adjoint as an operator.");

  m.def("sum", &sum, py::arg("a"), py::arg("b"));
  m.def("compose", &compose, py::arg("a"), py::arg("b"));
  m.def(
      "scale", [](const LinearPhysicsPtr& a, const py::object& factor) { return scale(to_scalar(factor), a); },
      py::arg("a"), py::arg("factor"));
  m.def("adjoint", &adjoint, py::arg("a"));
}

}  // namespace

void bind_physics(py::module_& m) {
  bind_base(m);
  bind_linear(m);
  bind_noise(m);
  const auto define = [&](const char* name, auto make) {
    m.def(
        name,
        [make](const py::object& object, const std::string& kind, const py::dict& methods,
               std::vector<std::string> parameters, bool any_parameter) {
          return make(Object(object), kind, to_methods(methods),
                      {.names = std::move(parameters), .any = any_parameter});
        },
        py::arg("operator"), py::arg("name"), py::arg("methods"), py::arg("parameters"), py::arg("any_parameter"));
  };
  define("python_physics", &make_python_physics);
  define("python_linear_physics", &make_python_linear_physics);
}

}  // namespace adjoin::python
