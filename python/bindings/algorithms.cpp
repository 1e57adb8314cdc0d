// SPDX-License-Identifier: BSD-3-Clause
// The algorithms, and what they return.
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "casters.hpp"
#include "copies.hpp"
#include "slab_like.hpp"

namespace adjoin::python {

namespace {

using Fidelity = DistributedDataFidelity;

struct Options {
  OptimOptions optim;
  DataTermOptions data;
};

// The keyword arguments that all algorithms share.
Options to_options(const py::kwargs& kwargs) {
  Options options;
  for (const auto& [key, value] : kwargs) {
    const auto name = key.cast<std::string>();
    if (name == "max_iter") {
      options.optim.max_iter = value.cast<int>();
    } else if (name == "tol") {
      options.optim.tol = value.cast<double>();
    } else if (name == "items") {
      options.optim.items = value.cast<std::optional<std::int64_t>>();
    } else if (name == "lambda_" || name == "lambda_reg") {
      options.optim.lambda = value.cast<double>();
    } else if (name == "step") {
      options.optim.step = value.cast<std::optional<double>>();
    } else if (name == "backtracking") {
      options.optim.backtracking = value.cast<bool>();
    } else if (name == "objective") {
      options.optim.objective = value.cast<bool>();
    } else if (name == "truth") {
      options.optim.truth = py::detail::make_caster<SlabLike>().load(value, false)
                                ? value.cast<SlabLike>().image.local
                                : tensor_of(value.cast<MaybeTensor>());
    } else if (name == "peak") {
      options.optim.peak = value.cast<double>();
    } else if (name == "layout") {
      options.optim.layout = image_layout_from_string(value.cast<std::string>());
    } else if (name == "verbose") {
      options.optim.verbose = value.cast<bool>();
    } else if (name == "prox_max_iter") {
      options.data.prox.max_iter = value.cast<int>();
    } else if (name == "prox_tol") {
      options.data.prox.tol = value.cast<double>();
    } else if (name == "monitor") {
      if (!value.is_none()) {
        options.optim.monitor = [f = Object(py::reinterpret_borrow<py::object>(value))](const IterationRecord& record,
                                                                                        const at::Tensor& x) {
          const py::gil_scoped_acquire gil;
          const py::object more = f.get()(record, x);
          return more.is_none() || more.cast<bool>();
        };
      }
    } else {
      throw InvalidArgument("unknown option '" + name + "'");
    }
  }
  return options;
}

using Algorithm = OptimResult (*)(const DataTerm&, const Prior&, const at::Tensor&, const OptimOptions&);

// An algorithm's start: an image, or a sharded one.
DataTerm term_for(const TensorLike& /*x0*/, const Fidelity& fidelity, const TensorList& y,
                  const DataTermOptions& options) {
  return data_term(fidelity, y, options);
}
DataTerm term_for(const SlabLike& x0, const Fidelity& fidelity, const TensorList& y, const DataTermOptions& options) {
  return slab_data_term(fidelity, y, x0.image.space, options);
}
const at::Tensor& start_of(const TensorLike& x0) { return x0.tensor; }
const at::Tensor& start_of(const SlabLike& x0) { return x0.image.local; }

template <class Start>
auto algorithm(Algorithm run) {
  return [run](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const Start& x0,
               const py::kwargs& kwargs) {
    const Options options = to_options(kwargs);
    const py::gil_scoped_release release;
    return run(term_for(x0, fidelity, y, options.data), prior, start_of(x0), options.optim);
  };
}

template <class Start>
void bind_algorithms_from(py::module_& m) {
  const auto define = [&](const char* name, Algorithm run) {
    m.def(name, algorithm<Start>(run), py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"));
  };
  define("gradient_descent", &gradient_descent);
  define("proximal_gradient", &proximal_gradient);
  define("fista", &fista);
  define("monotone_fista", &monotone_fista);
  define("primal_dual", &primal_dual);
  m.def(
      "hqs",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const Start& x0,
         const std::vector<double>& gammas, const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return hqs(term_for(x0, fidelity, y, options.data), prior, start_of(x0), gammas, options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("gammas"));
  m.def(
      "admm",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const Start& x0, double gamma,
         const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return admm(term_for(x0, fidelity, y, options.data), prior, start_of(x0), gamma, options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("gamma"));
  m.def(
      "ordered_subsets",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const Start& x0, std::int64_t count,
         double decay, const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return ordered_subsets(term_for(x0, fidelity, y, options.data), prior, start_of(x0),
                               {.count = count, .decay = decay}, options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("count"), py::arg("decay"));
}

}  // namespace

void bind_algorithms(py::module_& m) {
  py::class_<IterationRecord>(m, "IterationRecord", "What an algorithm notes after an iteration.")
      .def_readonly("iteration", &IterationRecord::iteration, "Its number, from 1.")
      .def_readonly("seconds", &IterationRecord::seconds, "Since the algorithm began.")
      .def_readonly("change", &IterationRecord::change, "‖x_k − x_{k−1}‖ / ‖x_k‖.")
      .def_readonly("objective", &IterationRecord::objective,
                    "f(x) + λ g(x) where objective=True asks for it, else NaN.")
      .def_readonly("psnr", &IterationRecord::psnr, "Against truth, in decibels, where that is given, else NaN.");
  py::class_<OptimResult>(m, "OptimResult", "The image that an algorithm found, and how it ended.")
      .def_readonly("x", &OptimResult::x,
                    "The image, of the dtype of x0; from a sharded x0 this rank's slab of it: x0.with_local(result.x).")
      .def_property_readonly(
          "reason", [](const OptimResult& r) { return std::string(to_string(r.reason)); },
          "Why it ended: \"converged\", \"iteration limit\" or \"stopped by the monitor\".")
      .def_readonly("iterations", &OptimResult::iterations, "How many iterations it took.")
      .def_readonly("history", &OptimResult::history,
                    "What was noted after each: iteration, seconds, change, objective, psnr.")
      .def("__repr__",
           [](const OptimResult& r) {
             return c10::str("OptimResult(", to_string(r.reason), " after ", r.iterations, " iterations)");
           })
      .def("_repr_html_", [](const py::object& self) { return notebook("result_html")(self); });
  bind_algorithms_from<SlabLike>(m);
  bind_algorithms_from<TensorLike>(m);
}

}  // namespace adjoin::python
