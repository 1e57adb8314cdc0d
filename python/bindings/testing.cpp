// SPDX-License-Identifier: BSD-3-Clause
// check_operator and its report.
#include "adjoin/physics/check_operator.hpp"
#include "casters.hpp"
#include "copies.hpp"

namespace adjoin::python {

void bind_testing(py::module_& m) {
  py::class_<Finding>(m, "Finding", R"(What one check of an operator found.)")
      .def_readonly("check", &Finding::check, "The name of the check, such as \"adjoint\".")
      .def_property_readonly(
          "verdict", [](const Finding& one) { return std::string(to_string(one.verdict)); },
          "\"passed\", \"failed\" or \"not tried\".")
      .def_readonly("explanation", &Finding::explanation, "What was measured, what is wrong, or why it was not tried.")
      .def("__repr__",
           [](const Finding& one) { return c10::str(one.check, " ", to_string(one.verdict), ": ", one.explanation); });
  py::class_<OperatorReport>(m, "OperatorReport",
                             R"(The findings of adjoin.testing.check_operator; printed, a report for people.)")
      .def_readonly("name", &OperatorReport::name, "The operator's name.")
      .def_readonly("findings", &OperatorReport::findings, "One Finding a check, in the order in which to mend faults.")
      .def_property_readonly("passed", &OperatorReport::passed, "Whether no check failed.")
      .def_property_readonly("failed", &OperatorReport::failed, "The names of the checks that failed.")
      .def("__repr__", &OperatorReport::text)
      .def("_repr_html_", [](const py::object& self) { return notebook("operator_report_html")(self); });
  m.def(
      "check_operator",
      [](const LinearPhysicsPtr& op, const TensorLike& x, std::vector<LinearPhysicsPtr> others,
         std::vector<at::ScalarType> dtypes, bool batches, double tol, std::uint64_t seed, const py::dict& params) {
        const CheckOptions options{.others = std::move(others),
                                   .dtypes = std::move(dtypes),
                                   .batches = batches,
                                   .tol = tol,
                                   .seed = seed,
                                   .params = to_params(params)};
        const py::gil_scoped_release release;
        return check_operator(op, x, options);
      },
      py::arg("op"), py::arg("x"), py::kw_only(), py::arg("others"), py::arg("dtypes"), py::arg("batches"),
      py::arg("tol"), py::arg("seed"), py::arg("params"), "As adjoin.testing.check_operator, without raising.");
}

}  // namespace adjoin::python
