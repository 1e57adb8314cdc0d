// SPDX-License-Identifier: BSD-3-Clause
// Krylov solvers for maps given as Python callables.
#include "adjoin/solvers/krylov.hpp"
#include "adjoin/solvers/lanczos.hpp"
#include "adjoin/solvers/least_squares.hpp"
#include "adjoin/solvers/progress.hpp"
#include "casters.hpp"
#include "copies.hpp"

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
  const char* reasons =
      "Why it ended: \"converged\", \"iteration limit\", \"breakdown\", \"stagnated\", \"ill-conditioned\" or "
      "\"stopped by the "
      "monitor\".";
  const char* residuals = "One an item, as the recurrence estimates them.";
  py::class_<Result>(m, "SolverResult", "The solution that a solver found, and how it ended.")
      .def_readonly("x", &Result::x,
                    "The solution, of the dtype of x0 where that was given, else of the right-hand side.")
      .def_property_readonly(
          "reason", [](const Result& r) { return std::string(to_string(r.reason)); }, reasons)
      .def_readonly("iterations", &Result::iterations, "How many iterations it took.")
      .def_readonly("relative_residuals", &Result::relative_residuals, residuals)
      .def("__repr__",
           [](const Result& r) {
             return c10::str("SolverResult(", to_string(r.reason), " after ", r.iterations, " iterations)");
           })
      .def("_repr_html_", [](const py::object& self) { return notebook("solve_html")(self); });
  py::class_<SolveInfo>(
      m, "SolveInfo",
      "How a solve ended whose result is the solution alone: pass one as `info` and read it afterwards. A\n"
      "closed form is \"converged\" after 0 iterations and has no residuals.")
      .def(py::init<>())
      .def_property_readonly(
          "reason", [](const SolveInfo& info) { return std::string(to_string(info.reason)); }, reasons)
      .def_readonly("iterations", &SolveInfo::iterations, "How many iterations it took.")
      .def_readonly("relative_residuals", &SolveInfo::relative_residuals, residuals)
      .def("__repr__",
           [](const SolveInfo& info) {
             return c10::str("SolveInfo(", to_string(info.reason), " after ", info.iterations, " iterations)");
           })
      .def("_repr_html_", [](const py::object& self) { return notebook("solve_html")(self); });
  m.def(
      "show_progress_by",
      [](const py::object& show) {
        if (show.is_none()) {
          show_progress_by({});
          return;
        }
        show_progress_by([f = Object(show)](const std::string& line) {
          const py::gil_scoped_acquire gil;
          try {
            f.get()(line);
          } catch (py::error_already_set& error) {
            error.discard_as_unraisable("a progress bar");  // a solve does not end with its bar
          }
        });
      },
      py::arg("show"), "Where progress bars are drawn: a function of each line; None for standard error.");
  const auto square = [&](const char* name, Solve solve, const std::string& what, const std::string& preconditioner) {
    const std::string doc = what + R"(

:param H: a function of a tensor like b; it must not write into it.
:param b: the right-hand side.
:param max_iter: the most iterations.
:param tol: stops at this relative residual; 0 runs all iterations.
:param items: how many independent problems lie along dimension 0 of b; each stops by itself.
:param x0: the start, by default zero.
:param preconditioner: )" + preconditioner +
                            R"(
:return: a SolverResult.
:raises adjoin.Error: for NaN or infinity in b or from H, naming the iteration.)";
    m.def(name, solver(solve), doc.c_str(), py::arg("H"), py::arg("b"), py::arg("max_iter") = 100,
          py::arg("tol") = 1e-6, py::arg("items") = 1, py::arg("x0") = py::none(),
          py::arg("preconditioner") = py::none());
  };
  const std::string definite = "a function near H⁻¹, Hermitian and positive definite; None for none.";
  square("conjugate_gradient", &conjugate_gradient<at::Tensor>,
         "Conjugate gradients (Hestenes and Stiefel 1952) for H x = b, H Hermitian and positive semi-definite.",
         definite);
  square("bicgstab", &bicgstab<at::Tensor>,
         "BiCGStab (van der Vorst 1992) for H x = b with any square H; two applications of H an iteration.",
         "a function near H⁻¹; None for none.");
  square("minres", &minres<at::Tensor>,
         "MINRES (Paige and Saunders 1975) for H x = b, H Hermitian, possibly indefinite or singular.", definite);
  const auto rectangular = [&](const char* name, LeastSquares solve, const std::string& what) {
    const std::string doc = what + R"(

:param A: a function from images to measurements; it must not write into its argument.
:param A_adjoint: its adjoint, from measurements to images.
:param y: measurements.
:param max_iter: the most iterations.
:param tol: the relative tolerance; 0 runs all iterations.
:param items: how many independent problems lie along dimension 0; each stops by itself.
:param damping: λ; 0 gives the minimum-norm least-squares solution.
:param x0: the start, by default zero.
:return: a SolverResult.
:raises adjoin.Error: for NaN or infinity in y or from the functions, naming the iteration.)";
    m.def(name, least_squares(solve), doc.c_str(), py::arg("A"), py::arg("A_adjoint"), py::arg("y"),
          py::arg("max_iter") = 100, py::arg("tol") = 1e-6, py::arg("items") = 1, py::arg("damping") = 0.0,
          py::arg("x0") = py::none());
  };
  rectangular("lsqr", &lsqr<at::Tensor>,
              "LSQR (Paige and Saunders, ACM TOMS 8, 1982) for min ‖A x − y‖² + λ² ‖x − x0‖².");
  rectangular(
      "lsmr", &lsmr<at::Tensor>,
      "LSMR (Fong and Saunders, SIAM J. Sci. Comput. 33, 2011) for min ‖A x − y‖² + λ² ‖x − x0‖², by which ‖Aᵀr‖ "
      "falls monotonically.");
  m.def(
      "largest_eigenvalue",
      [](const py::object& H, const TensorLike& like, int max_iter, double tol, std::uint64_t seed) {
        const Map map = to_map("H", H);
        const LanczosOptions options{.max_iter = max_iter, .tol = tol, .seed = seed, .monitor = interruptible()};
        const py::gil_scoped_release release;
        const LanczosResult result = largest_eigenvalue(map, like, options);
        return std::pair(result.lower, result.upper);
      },
      py::arg("H"), py::arg("like"), py::arg("max_iter") = 50, py::arg("tol") = 1e-3, py::arg("seed") = 0,
      R"(Bounds of the largest eigenvalue of a Hermitian, positive semi-definite map, by Lanczos.

:param H: a function of a tensor like `like`; it must not write into it.
:param like: gives shape, dtype and device.
:param max_iter: the most steps.
:param tol: the relative accuracy at which it stops.
:param seed: of the random start.
:return: (lower, upper).
:raises adjoin.Error: for NaN or infinity from H, naming the iteration.)");
}

}  // namespace adjoin::python
