// Data fidelities, priors and algorithms.
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distributed_data_fidelity.hpp"
#include "adjoin/optim/prior.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "casters.hpp"
#include "copies.hpp"
#include "own_optim.hpp"

namespace adjoin::python {

namespace {

using StackPtr = std::shared_ptr<DistributedStackedPhysics>;
using Fidelity = DistributedDataFidelity;

template <class T, class... Options>
using Shared = py::class_<T, Options..., std::shared_ptr<T>>;

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
      options.optim.truth = tensor_of(value.cast<MaybeTensor>());
    } else if (name == "peak") {
      options.optim.peak = value.cast<double>();
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

auto algorithm(Algorithm run) {
  return [run](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const TensorLike& x0,
               const py::kwargs& kwargs) {
    const Options options = to_options(kwargs);
    const py::gil_scoped_release release;
    return run(data_term(fidelity, y, options.data), prior, x0, options.optim);
  };
}

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
          Unlocked());
}

void bind_priors(py::module_& m) {
  Shared<Prior, OwnPrior>(m, "Prior", R"(A prior g(x) of images.

A prior of one's own derives from it and defines those of fn(x), a number or scalar tensor, grad(x) (else by automatic
differentiation of fn), prox(x, gamma) = argmin_v gamma g(v) + 1/2 ‖v − x‖² and lipschitz(), of the gradient, that the
algorithm needs.

:raises adjoin.InvalidArgument: from every method, for images that the prior is not made for, and where what it needs is
    not defined.)")
      .def(py::init_alias<>())
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

void bind_algorithms(py::module_& m) {
  py::class_<IterationRecord>(m, "IterationRecord", "What an algorithm notes after an iteration.")
      .def_readonly("iteration", &IterationRecord::iteration, "Its number, from 1.")
      .def_readonly("seconds", &IterationRecord::seconds, "Since the algorithm began.")
      .def_readonly("change", &IterationRecord::change, "‖x_k − x_{k−1}‖ / ‖x_k‖.")
      .def_readonly("objective", &IterationRecord::objective,
                    "f(x) + λ g(x) where objective=True asks for it, else NaN.")
      .def_readonly("psnr", &IterationRecord::psnr, "Against truth, in decibels, where that is given, else NaN.");
  py::class_<OptimResult>(m, "OptimResult", "The image that an algorithm found, and how it ended.")
      .def_readonly("x", &OptimResult::x, "The image, of the dtype of x0.")
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
  const auto define = [&](const char* name, Algorithm run) {
    m.def(name, algorithm(run), py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"));
  };
  define("gradient_descent", &gradient_descent);
  define("proximal_gradient", &proximal_gradient);
  define("fista", &fista);
  define("monotone_fista", &monotone_fista);
  define("primal_dual", &primal_dual);
  m.def(
      "hqs",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const TensorLike& x0,
         const std::vector<double>& gammas, const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return hqs(data_term(fidelity, y, options.data), prior, x0, gammas, options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("gammas"));
  m.def(
      "admm",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const TensorLike& x0, double gamma,
         const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return admm(data_term(fidelity, y, options.data), prior, x0, gamma, options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("gamma"));
  m.def(
      "ordered_subsets",
      [](const Fidelity& fidelity, const TensorList& y, const Prior& prior, const TensorLike& x0, std::int64_t count,
         double decay, const py::kwargs& kwargs) {
        const Options options = to_options(kwargs);
        const py::gil_scoped_release release;
        return ordered_subsets(data_term(fidelity, y, options.data), prior, x0, {.count = count, .decay = decay},
                               options.optim);
      },
      py::arg("data_fidelity"), py::arg("y"), py::arg("prior"), py::arg("x0"), py::arg("count"), py::arg("decay"));
}

}  // namespace

void bind_optim(py::module_& m) {
  bind_fidelities(m);
  bind_priors(m);
  bind_algorithms(m);
}

}  // namespace adjoin::python
