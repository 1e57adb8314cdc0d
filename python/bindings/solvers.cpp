// Krylov solvers for maps given as Python callables.
#include "adjoin/solvers/krylov.hpp"
#include "adjoin/solvers/lanczos.hpp"
#include "adjoin/solvers/least_squares.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

using Map = LinearMap<at::Tensor, at::Tensor>;

Map to_map(const char* name, const py::object& function) {
  if (function.is_none()) {
    return {};
  }
  return [f = Object(function), name](const at::Tensor& x) { return call(f, name, {&x}, {}); };
}

using Solve = SolverResult<at::Tensor> (*)(const Map&, const at::Tensor&, const SolverOptions&,
                                           const std::optional<at::Tensor>&, const Map&);
using LeastSquares = SolverResult<at::Tensor> (*)(const Map&, const Map&, const at::Tensor&, const LeastSquaresOptions&,
                                                  const std::optional<at::Tensor>&);

auto solver(Solve solve) {
  return [solve](const py::object& H, const TensorLike& b, int max_iter, double tol, std::int64_t items,
                 const MaybeTensor& x0, const py::object& preconditioner) {
    const Map map = to_map("H", H);
    const Map precondition = to_map("preconditioner", preconditioner);
    const py::gil_scoped_release release;
    return solve(map, b, {.max_iter = max_iter, .tol = tol, .items = items, .monitor = interruptible()}, tensor_of(x0),
                 precondition);
  };
}

auto least_squares(LeastSquares solve) {
  return [solve](const py::object& A, const py::object& A_adjoint, const TensorLike& y, int max_iter, double tol,
                 std::int64_t items, double damping, const MaybeTensor& x0) {
    const Map forward = to_map("A", A);
    const Map adjoint = to_map("A_adjoint", A_adjoint);
    LeastSquaresOptions options;
    options.max_iter = max_iter;
    options.tol = tol;
    options.items = items;
    options.monitor = interruptible();
    options.damping = damping;
    const py::gil_scoped_release release;
    return solve(forward, adjoint, y, options, tensor_of(x0));
  };
}

}  // namespace

void bind_solvers(py::module_& m) {
  using Result = SolverResult<at::Tensor>;
  py::class_<Result>(m, "SolverResult")
      .def_readonly("x", &Result::x)
      .def_property_readonly("reason", [](const Result& r) { return std::string(to_string(r.reason)); })
      .def_readonly("iterations", &Result::iterations)
      .def_readonly("relative_residuals", &Result::relative_residuals)
      .def("__repr__", [](const Result& r) {
        return c10::str("SolverResult(", to_string(r.reason), " after ", r.iterations, " iterations)");
      });
  py::class_<SolveInfo>(
      m, "SolveInfo",
      "How a solve ended whose result is the solution alone: pass one as `info` and read it afterwards. A\n"
      "closed form is \"converged\" after 0 iterations and has no residuals.")
      .def(py::init<>())
      .def_property_readonly("reason", [](const SolveInfo& info) { return std::string(to_string(info.reason)); })
      .def_readonly("iterations", &SolveInfo::iterations)
      .def_readonly("relative_residuals", &SolveInfo::relative_residuals)
      .def("__repr__", [](const SolveInfo& info) {
        return c10::str("SolveInfo(", to_string(info.reason), " after ", info.iterations, " iterations)");
      });
  const auto square = [&](const char* name, Solve solve) {
    m.def(name, solver(solve), py::arg("H"), py::arg("b"), py::arg("max_iter") = 100, py::arg("tol") = 1e-6,
          py::arg("items") = 1, py::arg("x0") = py::none(), py::arg("preconditioner") = py::none());
  };
  square("conjugate_gradient", &conjugate_gradient<at::Tensor>);
  square("bicgstab", &bicgstab<at::Tensor>);
  square("minres", &minres<at::Tensor>);
  const auto rectangular = [&](const char* name, LeastSquares solve) {
    m.def(name, least_squares(solve), py::arg("A"), py::arg("A_adjoint"), py::arg("y"), py::arg("max_iter") = 100,
          py::arg("tol") = 1e-6, py::arg("items") = 1, py::arg("damping") = 0.0, py::arg("x0") = py::none());
  };
  rectangular("lsqr", &lsqr<at::Tensor>);
  rectangular("lsmr", &lsmr<at::Tensor>);
  m.def(
      "largest_eigenvalue",
      [](const py::object& H, const TensorLike& like, int max_iter, double tol, std::uint64_t seed) {
        const Map map = to_map("H", H);
        const LanczosOptions options{.max_iter = max_iter, .tol = tol, .seed = seed, .monitor = interruptible()};
        const py::gil_scoped_release release;
        const LanczosResult result = largest_eigenvalue(map, like, options);
        return std::pair(result.lower, result.upper);
      },
      py::arg("H"), py::arg("like"), py::arg("max_iter") = 50, py::arg("tol") = 1e-3, py::arg("seed") = 0);
}

}  // namespace adjoin::python
