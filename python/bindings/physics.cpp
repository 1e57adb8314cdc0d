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
    return number.cast<at::Tensor>().item();
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
adjoin.InvalidArgument. Operators can be copied, pickled and saved by torch.save, with noise and sensor.)")
      .def("A", unary<Physics>(&Physics::A), py::arg("x"), "Measurements without noise.")
      .def("forward", unary<Physics>(&Physics::forward), py::arg("x"), "Measurements with noise and sensor response.")
      .def("__call__", unary<Physics>(&Physics::forward), py::arg("x"), "The same as forward.")
      .def(
          "A_vjp",
          [](Physics& p, const TensorLike& x, const TensorLike& v, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_vjp(x, v, params);
          },
          py::arg("x"), py::arg("v"), "J(x)ᵀ v, of the shape of x, for v of the shape of A(x).")
      .def(
          "set_noise_model", [](Physics& p, const py::object& noise) { p.set_noise(to_model("noise_model", noise)); },
          py::arg("noise_model"),
          "Sets what forward adds: gaussian_noise(…) and the like, or any callable of a tensor; None for nothing.")
      .def(
          "set_sensor_model",
          [](Physics& p, const py::object& sensor) { p.set_sensor(to_model("sensor_model", sensor)); },
          py::arg("sensor_model"), "Sets what forward applies last, a callable of a tensor; None for nothing.")
      .def_property_readonly(
          "noise_model", [](const Physics& p) { return from_model(p.noise()); }, "As set_noise_model got it, or None.")
      .def_property_readonly(
          "sensor_model", [](const Physics& p) { return from_model(p.sensor()); },
          "As set_sensor_model got it, or None.")
      .def(
          "update", [](Physics& p, const py::kwargs& kwargs) { p.update(to_params(kwargs)); },
          "Replaces parameters (such as filter or mask) for all later calls.")
      .def_property_readonly(
          "parameter_names",
          [](const Physics& p) -> std::optional<std::vector<std::string>> {
            ParameterNames names = p.parameter_names();
            return names.any ? std::nullopt : std::optional(std::move(names.names));
          },
          "The keyword arguments that calls and update take; None for any.")
      .def_property_readonly("name", &Physics::name)
      .def("_tensors_with_gradients", &Physics::tensors_with_gradients,
           "The tensors that the operator and its parts are made of, where they require gradients or carry a tangent.")
      .def("recipe", &recipe_of, "(maker, operands, arguments): how another such operator is made.")
      .def("__reduce__", &reduce)
      .def(
          "state_dict", [](const py::object& self) { return copies("state_dict")(self); },
          "The operator's tensors by name; those of the operands of sums and products begin with their places.")
      .def(
          "load_state_dict",
          [](const py::object& self, const py::dict& state) { copies("load_state_dict")(self, state); },
          py::arg("state_dict"), "Replaces the tensors that state_dict names, all of them.")
      .def(
          "to",
          [](const py::object& self, const py::object& device, const py::object& dtype) {
            return THPDtype_Check(device.ptr()) ? copies("moved")(self, dtype, device)
                                                : copies("moved")(self, device, dtype);
          },
          py::arg("device") = py::none(), py::arg("dtype") = py::none(),
          "Moves the operator's tensors to a device and converts them to a precision, in place; complex ones stay "
          "complex.")
      .def("__repr__", [](const Physics& p) { return "adjoin.physics." + p.name() + "()"; });
}

void bind_linear(py::module_& m) {
  py::class_<LinearPhysics, Physics, std::shared_ptr<LinearPhysics>>(
      m, "LinearPhysics", R"(A linear measurement model, with its adjoint (the conjugate transpose for complex ones).

a + b, a - b, -a, 2 * a, a * b (first b) and a.T are linear models, too, which share their operands.)")
      .def("A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_adjoint), py::arg("y"), "Aᵀ y.")
      .def(
          "A_adjoint_for",
          [](LinearPhysics& p, const TensorLike& y, const TensorLike& image, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_adjoint_for(y, image, params);
          },
          py::arg("y"), py::arg("image"), "Aᵀ y for images of the sizes, dtype and device of `image`.")
      .def("A_adjoint_A", unary<LinearPhysics>(&LinearPhysics::A_adjoint_A), py::arg("x"), "Aᵀ A x, of the shape of x.")
      .def("A_A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_A_adjoint), py::arg("y"), "A Aᵀ y, of the shape of y.")
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
          R"(The minimum-norm least-squares solution of A x = y: a closed form where there is one, else by `solver`,
"CG", "LSQR", "LSMR", "BiCGStab" or "MINRES", to the relative tolerance `tol`; `init` is the start, zero by default. A
SolveInfo as `info` is told how the solve ended.)")
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
          "argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², of the shape of z; `gamma` is a number, or a tensor of one or of "
          "one for\n"
          "each item of the batch; options as of A_dagger.")
      .def(
          "compute_sqnorm",
          [](LinearPhysics& p, const TensorLike& x0, int max_iter, double tol, bool verbose, const py::kwargs& kwargs) {
            const SqnormOptions options{
                .max_iter = max_iter, .tol = tol, .verbose = verbose, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            return p.compute_sqnorm(x0, options);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50, py::arg("tol") = 1e-3, py::arg("verbose") = false,
          "‖A‖² to a relative accuracy of tol; x0 gives shape, dtype and device of an image.")
      .def(
          "sqnorm_bounds",
          [](LinearPhysics& p, const TensorLike& x0, int max_iter, const py::kwargs& kwargs) {
            const SqnormOptions options{.max_iter = max_iter, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            const SqnormBounds bounds = p.sqnorm_bounds(x0, options);
            return std::pair(bounds.lower, bounds.upper);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50, "Lower and upper bound of ‖A‖².")
      .def(
          "adjointness_test",
          [](LinearPhysics& p, const TensorLike& u, std::uint64_t seed, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.adjointness_test(u, seed, params);
          },
          py::arg("u"), py::arg("seed") = 0,
          "|⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖) for a random v: of the order of the dtype's precision.")
      .def(
          "__add__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a + b; }, py::is_operator())
      .def(
          "__sub__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a - b; }, py::is_operator())
      .def("__neg__", [](const LinearPhysicsPtr& a) { return -a; })
      .def(
          "__mul__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a * b; }, py::is_operator())
      .def("__mul__", &scaled, py::is_operator())
      .def("__rmul__", &scaled, py::is_operator())
      .def_property_readonly("T", [](const LinearPhysicsPtr& a) { return adjoint(a); });

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
