// SPDX-License-Identifier: BSD-3-Clause
// Priors, those of denoisers among them, and wavelet transforms.
#include "adjoin/optim/prior.hpp"

#include <limits>

#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "casters.hpp"
#include "copies.hpp"
#include "own_optim.hpp"
#include "slab_like.hpp"

namespace adjoin::python {

namespace {

// A denoiser of Python's, which can be found again in a std::function.
struct PythonDenoiser {
  Object function;
  at::Tensor operator()(const at::Tensor& x, double sigma) const {
    const py::gil_scoped_acquire gil;
    return to_tensor("denoiser", function.get()(x, sigma));
  }
};

Denoiser to_denoiser(const py::object& function) {
  check(PyCallable_Check(function.ptr()) != 0, "denoiser: must be a callable of an image and a noise level, got a ",
        Py_TYPE(function.ptr())->tp_name);
  return PythonDenoiser{Object(function)};
}

// __reduce__ of a prior that is made of a denoiser.
template <class P>
py::tuple reduce_denoising(const py::object& self) {
  const P& prior = self.cast<const P&>();
  const auto* denoiser = prior.denoiser().template target<PythonDenoiser>();
  check(denoiser != nullptr, prior.name(), ": cannot be copied or pickled, as its denoiser is a function of C++");
  const py::dict arguments(py::arg("denoiser") = denoiser->function.get(), py::arg("sigma") = prior.sigma());
  return reduced(self, py::str(prior.name()), py::tuple(), arguments);
}

void bind_wavelet_transforms(py::module_& m) {
  m.def(
      "wavelet_transform",
      [](const TensorLike& x, const std::string& wavelet, std::int64_t levels, std::int64_t dims) {
        return wavelet_transform(x, wavelet, levels, dims);
      },
      "The wavelet transform over the last `dims` dimensions with periodic borders, laid out as by PyWavelets'\n"
      "coeffs_to_array(wavedecn(x, wavelet, \"periodization\", level)). Where sizes are divisible by 2 ** levels it "
      "is\n"
      "orthonormal and keeps the shape of x; else the result is somewhat larger. Differentiable.\n\n"
      ":param x: an image.\n:param wavelet: its name, as of WaveletPrior.\n:param levels: how many.\n:param dims: how "
      "many "
      "dimensions.\n:return: the coefficients.\n:raises adjoin.InvalidArgument: for a wavelet that is not known, and "
      "images "
      "of fewer dimensions.",
      py::arg("x"), py::arg("wavelet") = "haar", py::arg("levels") = 3, py::arg("dims") = 2, Unlocked());
  const auto define = [&](const char* name, const char* doc, auto transform) {
    m.def(
        name,
        [transform](const TensorLike& x, const std::string& wavelet, std::int64_t levels, std::int64_t dims,
                    const std::optional<std::vector<std::int64_t>>& sizes) {
          return transform(x, wavelet, levels, dims,
                           sizes ? at::OptionalIntArrayRef(*sizes) : at::OptionalIntArrayRef());
        },
        doc, py::arg("coefficients"), py::arg("wavelet") = "haar", py::arg("levels") = 3, py::arg("dims") = 2,
        py::arg("sizes") = py::none(), Unlocked());
  };
  define("inverse_wavelet_transform",
         "The inverse of :func:`wavelet_transform`.\n\n"
         ":param coefficients: as wavelet_transform gives them.\n:param wavelet: as there, as are levels and dims.\n"
         ":param sizes: of the image along the transformed dimensions, by default those of the coefficients.\n"
         ":return: the image.\n:raises adjoin.InvalidArgument: for sizes that do not belong to the coefficients.",
         &inverse_wavelet_transform);
  define("adjoint_wavelet_transform",
         "The adjoint of :func:`wavelet_transform`, its inverse where that is orthonormal.\n\n"
         ":param coefficients: as wavelet_transform gives them.\n:param wavelet: as there, as are levels and dims.\n"
         ":param sizes: of the image along the transformed dimensions, by default those of the coefficients.\n"
         ":return: an image.\n:raises adjoin.InvalidArgument: for sizes that do not belong to the coefficients.",
         &adjoint_wavelet_transform);
}

}  // namespace

void bind_priors(py::module_& m) {
  Shared<Prior, OwnPrior>(m, "Prior", R"(A prior g(x) of images.

A prior of one's own derives from it and defines those of fn(x), a number or scalar tensor, grad(x) (else by automatic
differentiation of fn), prox(x, gamma) = argmin_v gamma g(v) + 1/2 ‖v − x‖² and lipschitz(), of the gradient, that the
algorithm needs.

:raises adjoin.InvalidArgument: from every method, for images that the prior is not made for, and where what it needs is
    not defined.)")
      .def(py::init_alias<>())
      .def(
          "fn", [](const Prior& g, const SlabLike& x) { return g.fn(x.image); }, py::arg("x"), Unlocked(),
          R"(The value at a sharded image, the same on every rank.

:param x: a sharded image.
:return: g(x), a number.)")
      .def(
          "grad", [](const Prior& g, const SlabLike& x) { return SlabLike{g.grad(x.image), x.like}; }, py::arg("x"),
          Unlocked(), R"(The gradient at a sharded image.

:param x: a sharded image.
:return: ∇g(x), cut as x is.)")
      .def(
          "prox",
          [](const Prior& g, const SlabLike& x, double gamma) { return SlabLike{g.prox(x.image, gamma), x.like}; },
          py::arg("x"), py::arg("gamma"), Unlocked(),
          R"(The proximal operator of a sharded image. Priors that act on numbers (L1, boxes, Tikhonov) send nothing, total
variation the planes at the cuts; for others the image is gathered.

:param x: a sharded image.
:param gamma: γ > 0.
:return: argmin_v γ g(v) + 1/2 ‖v − x‖², cut as x is.)")
      .def(
          "fn", [](const Prior& g, const TensorLike& x) { return g.fn(x); }, py::arg("x"), Unlocked(), R"(The value.

:param x: an image.
:return: g(x), a number.)")
      .def(
          "grad", [](const Prior& g, const TensorLike& x) { return g.grad(x); }, py::arg("x"), Unlocked(),
          R"(The gradient.

:param x: an image.
:return: ∇g(x), of the shape of x.)")
      .def(
          "prox", [](const Prior& g, const TensorLike& x, double gamma) { return g.prox(x, gamma); }, py::arg("x"),
          py::arg("gamma"), Unlocked(), R"(The proximal operator.

:param x: an image.
:param gamma: γ > 0.
:return: argmin_v γ g(v) + 1/2 ‖v − x‖², of the shape of x.)")
      .def(
          "prox_conjugate",
          [](const Prior& g, const TensorLike& x, double gamma, double lambda) {
            return g.prox_conjugate(x, gamma, lambda);
          },
          py::arg("x"), py::arg("gamma"), py::arg("lambda_") = 1.0, Unlocked(),
          R"(The proximal operator of the convex conjugate of λ g, by Moreau's identity.

:param x: an image.
:param gamma: γ > 0.
:param lambda_: λ > 0.
:return: argmin_v γ (λ g)*(v) + 1/2 ‖v − x‖², of the shape of x.)")
      .def("__reduce__", &reduce_by_recipe<Prior>)
      .def_property_readonly("explicit_prior", &Prior::explicit_prior, "Whether g has a value: False of plug-and-play.")
      .def("__repr__", [](const Prior& p) { return p.name() + "()"; });
  Shared<ZeroPrior, Prior>(m, "ZeroPrior", "g = 0.").def(py::init<>());
  Shared<Tikhonov, Prior>(m, "Tikhonov", "‖x‖² / 2.").def(py::init<>());
  Shared<L1Prior, Prior>(m, "L1Prior", "‖x‖₁.").def(py::init<>());
  Shared<Box, Prior>(m, "Box", "0 where lower ≤ x ≤ upper, else infinite; bounds may be infinite.")
      .def(py::init<double, double>(), py::arg("lower"), py::arg("upper"));
  Shared<Positivity, Box>(m, "Positivity", "0 where x ≥ 0, else infinite.").def(py::init<>());
  Shared<PnP, Prior>(
      m, "PnP",
      "Plug-and-play: the prox is denoiser(x, sigma), any callable; sigma=None is the root of the prox's\n"
      "strength. The denoiser must give every rank the same image.")
      .def(py::init([](const py::object& denoiser, std::optional<double> sigma) {
             return std::make_shared<PnP>(to_denoiser(denoiser), sigma);
           }),
           py::arg("denoiser"), py::arg("sigma") = py::none())
      .def("__reduce__", &reduce_denoising<PnP>);
  Shared<RED, Prior>(m, "RED", "Regularisation by denoising: the gradient is x − denoiser(x, sigma).")
      .def(py::init([](const py::object& denoiser, double sigma) {
             return std::make_shared<RED>(to_denoiser(denoiser), sigma);
           }),
           py::arg("denoiser"), py::arg("sigma"))
      .def("__reduce__", &reduce_denoising<RED>);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  py::class_<TotalVariation::Inner>(m, "InnerIterations", "How the last prox of a total variation ended.")
      .def_readonly("iterations", &TotalVariation::Inner::iterations, "How many inner iterations it took.")
      .def_readonly("error_bound", &TotalVariation::Inner::error_bound,
                    "The proven bound of the distance to the exact one.");
  Shared<TotalVariation, Prior>(
      m, "TotalVariation",
      "Isotropic total variation over the last `dims` dimensions (2, or 3 for volumes), joined by the box from `lower` "
      "to\n"
      "`upper`. The prox stops when its result is proved to be within tol ‖x‖ of the exact one, or after `max_iter`\n"
      "iterations. While an algorithm iterates, with `warm_start` each begins where the last one ended.")
      .def(py::init([](std::optional<std::int64_t> dims, double lower, double upper, int max_iter, double tol,
                       bool warm_start) {
             return std::make_shared<TotalVariation>(TotalVariationOptions{.dims = dims,
                                                                           .lower = lower,
                                                                           .upper = upper,
                                                                           .max_iter = max_iter,
                                                                           .tol = tol,
                                                                           .warm_start = warm_start});
           }),
           py::arg("dims") = py::none(), py::arg("lower") = -infinity, py::arg("upper") = infinity,
           py::arg("max_iter") = 100, py::arg("tol") = 1e-4, py::arg("warm_start") = true)
      .def("inner", &TotalVariation::inner,
           R"(How the last prox ended.

:return: its number of inner iterations, and the proven bound of the distance to the exact one.)");
  Shared<WaveletPrior, Prior>(
      m, "WaveletPrior",
      "‖W x‖₁ over the details, along the last `dims` dimensions, of an orthonormal wavelet (\"haar\", \"db1\" … "
      "\"db38\", \"sym2\" … \"sym20\", "
      "\"coif1\" …\n"
      "\"coif17\"), for images of any size. With `random_shift` the image is shifted at random, as around a torus, "
      "before each\n"
      "prox and back after it, alike on all ranks. Where sizes are not divisible by 2 ** levels the prox is iterative, "
      "and\n"
      "stops when its result is proved to be within tol ‖x‖ of the exact one, or after `max_iter` iterations.")
      .def(py::init([](const std::string& wavelet, std::int64_t levels, std::optional<std::int64_t> dims,
                       bool random_shift, int max_iter, double tol) {
             return std::make_shared<WaveletPrior>(WaveletPriorOptions{.wavelet = wavelet,
                                                                       .levels = levels,
                                                                       .dims = dims,
                                                                       .random_shift = random_shift,
                                                                       .max_iter = max_iter,
                                                                       .tol = tol});
           }),
           py::arg("wavelet") = "haar", py::arg("levels") = 3, py::arg("dims") = py::none(),
           py::arg("random_shift") = false, py::arg("max_iter") = 100, py::arg("tol") = 1e-4);
  bind_wavelet_transforms(m);
}

}  // namespace adjoin::python
