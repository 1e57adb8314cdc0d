// SPDX-License-Identifier: BSD-3-Clause
// Data fidelities, of one operator and of stacks.
#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "casters.hpp"
#include "copies.hpp"
#include "own_optim.hpp"
#include "slab_like.hpp"

namespace adjoin::python {

namespace {

using StackPtr = std::shared_ptr<DistributedStackedPhysics>;
using Fidelity = DistributedDataFidelity;

}  // namespace

void bind_fidelities(py::module_& m) {
  Shared<DataFidelity, OwnFidelity>(m, "DataFidelity", R"(A distance d(u, y) of measurements from those observed.

A fidelity of one's own derives from it and defines fn(u, y), a number or scalar tensor, and, as far as they are needed,
grad(u, y) (else by automatic differentiation of fn), prox(u, y, gamma) = argmin_v gamma d(v, y) + 1/2 ‖v − u‖² and
lipschitz(), of the gradient.

:raises adjoin.InvalidArgument: from every method, for measurements of different shapes, and where what it needs is not
    defined.)")
      .def(py::init_alias<>())
      .def(
          "fn", [](const DataFidelity& d, const TensorLike& u, const TensorLike& y) { return d.fn(u, y); },
          py::arg("u"), py::arg("y"), Unlocked(), R"(The distance.

:param u: measurements that an image would give.
:param y: those observed.
:return: d(u, y), a number.)")
      .def(
          "grad", [](const DataFidelity& d, const TensorLike& u, const TensorLike& y) { return d.grad(u, y); },
          py::arg("u"), py::arg("y"), Unlocked(), R"(The gradient with respect to u.

:param u: measurements that an image would give.
:param y: those observed.
:return: ∇d(u, y), of the shape of u.)")
      .def(
          "fn_and_grad",
          [](const DataFidelity& d, const TensorLike& u, const TensorLike& y) {
            ValueAndGradient both = d.fn_and_grad(u, y);
            return std::pair(both.value, both.grad);
          },
          py::arg("u"), py::arg("y"), Unlocked(), R"(The distance and its gradient, in one pass.

:param u: measurements that an image would give.
:param y: those observed.
:return: (d(u, y), ∇d(u, y)).)")
      .def(
          "prox",
          [](const DataFidelity& d, const TensorLike& u, const TensorLike& y, double gamma) {
            return d.prox(u, y, gamma);
          },
          py::arg("u"), py::arg("y"), py::arg("gamma"), Unlocked(), R"(The proximal operator.

:param u: measurements.
:param y: those observed.
:param gamma: γ > 0.
:return: argmin_v γ d(v, y) + 1/2 ‖v − u‖², of the shape of u.)")
      .def(
          "prox_conjugate",
          [](const DataFidelity& d, const TensorLike& u, const TensorLike& y, double gamma) {
            return d.prox_conjugate(u, y, gamma);
          },
          py::arg("u"), py::arg("y"), py::arg("gamma"), Unlocked(),
          R"(The proximal operator of the convex conjugate, by Moreau's identity.

:param u: measurements.
:param y: those observed.
:param gamma: γ > 0.
:return: argmin_v γ d*(v, y) + 1/2 ‖v − u‖², of the shape of u.)")
      .def("lipschitz", &DataFidelity::lipschitz, R"(The Lipschitz constant of the gradient.

:return: a number, infinite where there is none.)")
      .def("__reduce__", &reduce_by_recipe<DataFidelity>)
      .def("__repr__", [](const DataFidelity& d) { return d.name() + "()"; });
  Shared<L2, DataFidelity>(
      m, "L2",
      "Σ |u − y|² / (2 sigma²): Gaussian noise; sigma is a number, or a real tensor that broadcasts to "
      "the\nmeasurements, with the standard deviation of each sample.")
      .def(py::init<double>(), py::arg("sigma") = 1.0)
      .def(py::init([](const TensorLike& sigma) { return std::make_shared<L2>(sigma.tensor); }), py::arg("sigma"))
      .def_property_readonly(
          "weights",
          [](const L2& d) { return d.weights().defined() ? std::optional<at::Tensor>(d.weights()) : std::nullopt; },
          "1 / sigma² of each sample where sigma is a tensor, else None.");
  Shared<L1, DataFidelity>(m, "L1", "‖u − y‖₁.").def(py::init<>());
  Shared<IndicatorLInf, DataFidelity>(m, "IndicatorLInf",
                                      "0 where no entry of u − y is larger than the radius, else infinite.")
      .def(py::init<double>(), py::arg("radius"));
  Shared<PoissonLikelihood, DataFidelity>(
      m, "PoissonLikelihood",
      "Kullback-Leibler divergence of the counts from their expectation u / gain + background; with `denormalize` the\n"
      "counts are y / gain, else y.")
      .def(py::init([](double gain, double background, bool denormalize) {
             return std::make_shared<PoissonLikelihood>(
                 PoissonOptions{.gain = gain, .background = background, .denormalize = denormalize});
           }),
           py::arg("gain") = 1.0, py::arg("background") = 0.0, py::arg("denormalize") = false);
  Shared<Huber, DataFidelity>(m, "Huber", "Σ h(|u − y|) with h(r) = r²/2 up to delta, and linear beyond.")
      .def(py::init<double>(), py::arg("delta") = 1.0);
  Shared<AmplitudeLoss, DataFidelity>(m, "AmplitudeLoss", "‖√u − √y‖² of intensities (phase retrieval).")
      .def(py::init<>());

  Shared<Fidelity>(m, "DistributedDataFidelity")
      .def(py::init([](const StackPtr& stack, const std::vector<std::shared_ptr<DataFidelity>>& fidelities,
                       const std::string& reduction) {
             const DataFidelityOptions options{.reduction = reduction_from_string(reduction)};
             const std::vector<DataFidelityPtr> own(fidelities.begin(), fidelities.end());
             const py::gil_scoped_release release;
             auto fidelity = own.size() == 1 ? std::make_unique<Fidelity>(*stack, own[0], options)
                                             : std::make_unique<Fidelity>(*stack, own, options);
             return without_gil(std::move(fidelity), stack);
           }),
           py::arg("stack"), py::arg("fidelities"), py::arg("reduction"), py::keep_alive<1, 3>())
      .def(
          "fn", [](const Fidelity& f, const TensorLike& x, const TensorList& y) { return f.fn(x, y); }, Unlocked())
      .def(
          "grad", [](const Fidelity& f, const TensorLike& x, const TensorList& y) { return f.grad(x, y); }, Unlocked())
      .def(
          "prox",
          [](const Fidelity& f, const TensorLike& x, const TensorList& y, double gamma, int max_iter, double tol) {
            return f.prox(x, y, gamma, {.max_iter = max_iter, .tol = tol});
          },
          py::arg("x"), py::arg("y"), py::arg("gamma"), py::arg("max_iter") = 100, py::arg("tol") = 1e-6, Unlocked())
      .def(
          "lipschitz", [](const Fidelity& f, const TensorLike& x0) { return f.lipschitz(x0); }, py::arg("x0"),
          Unlocked())
      .def(
          "fn_of_sharded", [](const Fidelity& f, const SlabLike& x, const TensorList& y) { return f.fn(x.image, y); },
          Unlocked())
      .def(
          "grad_of_sharded",
          [](const Fidelity& f, const SlabLike& x, const TensorList& y) {
            return SlabLike{f.grad(x.image, y), x.like};
          },
          Unlocked())
      .def(
          "prox_of_sharded",
          [](const Fidelity& f, const SlabLike& x, const TensorList& y, double gamma, int max_iter, double tol) {
            return SlabLike{f.prox(x.image, y, gamma, {.max_iter = max_iter, .tol = tol}), x.like};
          },
          py::arg("x"), py::arg("y"), py::arg("gamma"), py::arg("max_iter") = 100, py::arg("tol") = 1e-6, Unlocked());
}

}  // namespace adjoin::python
