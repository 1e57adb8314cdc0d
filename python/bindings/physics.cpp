// Measurement models: the base classes, those made of Python callables, and their algebra.
#include "adjoin/physics/physics.hpp"

#include "adjoin/physics/algebra.hpp"
#include "adjoin/physics/linear_physics.hpp"
#include "adjoin/physics/noise.hpp"
#include "interruptible.hpp"
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
  return [method](P& physics, const at::Tensor& x, const py::kwargs& kwargs) {
    const Params params = to_params(kwargs);
    const py::gil_scoped_release release;
    return (physics.*method)(x, params);
  };
}

// A noise model or sensor: an object of C++, or any callable of a tensor.
std::function<at::Tensor(const at::Tensor&)> tensor_callable(const char* name, const py::object& function) {
  if (function.is_none()) {
    return {};
  }
  return [f = Object(function), name](const at::Tensor& y) { return call(f, name, {&y}, {}); };
}

at::Scalar to_scalar(const py::object& number) {
  if (PyComplex_Check(number.ptr()) != 0) {
    return number.cast<c10::complex<double>>();
  }
  return number.cast<double>();
}

DaggerOptions dagger_options(const std::string& solver, int max_iter, double tol, bool verbose,
                             const std::optional<at::Tensor>& init, const py::kwargs& kwargs) {
  return {.solver = solver_from_string(solver),
          .max_iter = max_iter,
          .tol = tol,
          .verbose = verbose,
          .init = init,
          .params = to_params(kwargs),
          .monitor = interruptible()};
}

}  // namespace

void bind_physics(py::module_& m) {
  py::class_<Physics, std::shared_ptr<Physics>>(m, "Physics")
      .def("A", unary<Physics>(&Physics::A), py::arg("x"))
      .def("forward", unary<Physics>(&Physics::forward), py::arg("x"))
      .def("__call__", unary<Physics>(&Physics::forward), py::arg("x"))
      .def(
          "A_vjp",
          [](Physics& p, const at::Tensor& x, const at::Tensor& v, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_vjp(x, v, params);
          },
          py::arg("x"), py::arg("v"))
      .def(
          "set_noise_model",
          [](Physics& p, const py::object& noise) { p.set_noise(tensor_callable("noise_model", noise)); },
          py::arg("noise_model"))
      .def(
          "set_sensor_model",
          [](Physics& p, const py::object& sensor) { p.set_sensor(tensor_callable("sensor_model", sensor)); },
          py::arg("sensor_model"))
      .def("update", [](Physics& p, const py::kwargs& kwargs) { p.update(to_params(kwargs)); })
      .def_property_readonly("name", &Physics::name)
      .def("__repr__", [](const Physics& p) { return "adjoin.physics." + p.name() + "()"; });

  py::class_<LinearPhysics, Physics, std::shared_ptr<LinearPhysics>>(m, "LinearPhysics")
      .def("A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_adjoint), py::arg("y"))
      .def(
          "A_adjoint_for",
          [](LinearPhysics& p, const at::Tensor& y, const at::Tensor& image, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.A_adjoint_for(y, image, params);
          },
          py::arg("y"), py::arg("image"), "Aᵀ y for images of the sizes, dtype and device of `image`.")
      .def("A_adjoint_A", unary<LinearPhysics>(&LinearPhysics::A_adjoint_A), py::arg("x"))
      .def("A_A_adjoint", unary<LinearPhysics>(&LinearPhysics::A_A_adjoint), py::arg("y"))
      .def(
          "A_dagger",
          [](LinearPhysics& p, const at::Tensor& y, const std::string& solver, int max_iter, double tol, bool verbose,
             const std::optional<at::Tensor>& init, const py::kwargs& kwargs) {
            const DaggerOptions options = dagger_options(solver, max_iter, tol, verbose, init, kwargs);
            const py::gil_scoped_release release;
            return p.A_dagger(y, options);
          },
          py::arg("y"), py::arg("solver") = "CG", py::arg("max_iter") = 100, py::arg("tol") = 1e-6,
          py::arg("verbose") = false, py::arg("init") = py::none())
      .def(
          "prox_l2",
          [](LinearPhysics& p, const at::Tensor& z, const at::Tensor& y, double gamma, const std::string& solver,
             int max_iter, double tol, bool verbose, const std::optional<at::Tensor>& init, const py::kwargs& kwargs) {
            const DaggerOptions options = dagger_options(solver, max_iter, tol, verbose, init, kwargs);
            const py::gil_scoped_release release;
            return p.prox_l2(z, y, gamma, options);
          },
          py::arg("z"), py::arg("y"), py::arg("gamma"), py::arg("solver") = "CG", py::arg("max_iter") = 100,
          py::arg("tol") = 1e-6, py::arg("verbose") = false, py::arg("init") = py::none())
      .def(
          "compute_sqnorm",
          [](LinearPhysics& p, const at::Tensor& x0, int max_iter, double tol, bool verbose, const py::kwargs& kwargs) {
            const SqnormOptions options{
                .max_iter = max_iter, .tol = tol, .verbose = verbose, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            return p.compute_sqnorm(x0, options);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50, py::arg("tol") = 1e-3, py::arg("verbose") = false)
      .def(
          "sqnorm_bounds",
          [](LinearPhysics& p, const at::Tensor& x0, int max_iter, const py::kwargs& kwargs) {
            const SqnormOptions options{.max_iter = max_iter, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            const SqnormBounds bounds = p.sqnorm_bounds(x0, options);
            return std::pair(bounds.lower, bounds.upper);
          },
          py::arg("x0"), py::kw_only(), py::arg("max_iter") = 50)
      .def(
          "adjointness_test",
          [](LinearPhysics& p, const at::Tensor& u, std::uint64_t seed, const py::kwargs& kwargs) {
            const Params params = to_params(kwargs);
            const py::gil_scoped_release release;
            return p.adjointness_test(u, seed, params);
          },
          py::arg("u"), py::arg("seed") = 0)
      .def("__add__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a + b; })
      .def("__sub__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a - b; })
      .def("__neg__", [](const LinearPhysicsPtr& a) { return -a; })
      .def("__mul__", [](const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) { return a * b; })
      .def("__mul__", [](const LinearPhysicsPtr& a, const py::object& factor) { return to_scalar(factor) * a; })
      .def("__rmul__", [](const LinearPhysicsPtr& a, const py::object& factor) { return to_scalar(factor) * a; })
      .def_property_readonly("T", [](const LinearPhysicsPtr& a) { return adjoint(a); });

  m.def(
      "python_physics",
      [](std::string name, const py::dict& methods) {
        return make_python_physics(std::move(name), to_methods(methods));
      },
      py::arg("name"), py::arg("methods"));
  m.def(
      "python_linear_physics",
      [](std::string name, const py::dict& methods) {
        return make_python_linear_physics(std::move(name), to_methods(methods));
      },
      py::arg("name"), py::arg("methods"));

  m.def("gaussian_noise", &gaussian_noise, py::arg("sigma"), py::arg("seed") = py::none());
  m.def("poisson_noise", &poisson_noise, py::arg("gain"), py::arg("seed") = py::none(), py::arg("clip") = true);
  m.def("uniform_noise", &uniform_noise, py::arg("a"), py::arg("seed") = py::none());
}

}  // namespace adjoin::python
