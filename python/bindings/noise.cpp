// SPDX-License-Identifier: BSD-3-Clause
// Noise models of C++ bound for Python, and callables of Python's as noise models.
#include "noise.hpp"

#include "casters.hpp"
#include "copies.hpp"

namespace adjoin::python {

namespace {

// A callable of Python's that can be found again in a std::function.
struct Callable {
  Object function;
  const char* name;
  at::Tensor operator()(const at::Tensor& y) const { return call(function, name, {&y}, {}); }
};

// A model of C++ that Python has, too: two operators with one model keep it, whatever is done to them.
template <class Noise>
struct Held {
  std::shared_ptr<Noise> noise;
  at::Tensor operator()(const at::Tensor& y) const { return (*noise)(y); }
};

template <class Noise>
bool take(const py::object& model, NoiseModel& result) {
  if (!py::isinstance<Noise>(model)) {
    return false;
  }
  result = Held<Noise>{model.cast<std::shared_ptr<Noise>>()};
  return true;
}

template <class Noise>
bool give(const NoiseModel& model, py::object& result) {
  if (const auto* held = model.target<Held<Noise>>()) {
    result = py::cast(held->noise);
    return true;
  }
  const auto* noise = model.target<Noise>();
  if (noise != nullptr) {
    result = py::cast(std::make_shared<Noise>(*noise));
  }
  return noise != nullptr;
}

using State = std::optional<std::pair<at::Tensor, at::Device>>;

// Binds a noise model whose constructor takes what its function in C++ takes. Copies begin where the stream is.
template <class Noise, class Arguments>
void bind(py::module_& m, const char* name, const char* doc, const char* maker, const Arguments& arguments) {
  py::class_<Noise, std::shared_ptr<Noise>>(m, name, doc)
      .def(
          "__call__", [](const Noise& noise, const TensorLike& y) { return noise(y); }, py::arg("y"), Unlocked(),
          "Noisy measurements, of the shape and dtype of y.")
      .def_property_readonly(
          "state",
          [](const Noise& noise) -> State {
            const auto state = noise.stream.state();
            return state ? std::optional(std::pair(state->generator, state->device)) : std::nullopt;
          },
          "How far its own stream of random numbers has come; None before the first draw and without a seed.")
      .def(
          "set_state",
          [](Noise& noise, const State& state) {
            if (state) {
              noise.stream.set_state({state->first, state->second});
            }
          },
          py::arg("state"), "Goes on where a stream had such a state; None is its beginning.")
      .def("__reduce__",
           [maker, arguments](const py::object& self) {
             py::dict kwargs = arguments(self.cast<const Noise&>());
             kwargs["seed"] = self.cast<const Noise&>().stream.seed();
             return reduced(self, py::str(maker), py::tuple(), kwargs,
                            py::dict(py::arg("set_state") = self.attr("state")));
           })
      .def("__repr__", [name, arguments](const py::object& self) {
        std::string text;
        const py::dict named = arguments(self.cast<const Noise&>());
        for (const auto& [key, value] : named) {
          text += c10::str(text.empty() ? "" : ", ", std::string(py::str(key)), "=", std::string(py::repr(value)));
        }
        return c10::str(name, "(", text, ")");
      });
}

}  // namespace

NoiseModel to_model(const char* name, const py::object& model) {
  NoiseModel result;
  if (model.is_none() || take<GaussianNoise>(model, result) || take<PoissonNoise>(model, result) ||
      take<UniformNoise>(model, result)) {
    return result;
  }
  check(PyCallable_Check(model.ptr()) != 0, name, ": must be a callable of a tensor, or None, got a ",
        Py_TYPE(model.ptr())->tp_name);
  return Callable{Object(model), name};
}

py::object from_model(const NoiseModel& model) {
  py::object result = py::none();
  if (const auto* callable = model.target<Callable>()) {
    return py::reinterpret_borrow<py::object>(callable->function.get());
  }
  (void)(give<GaussianNoise>(model, result) || give<PoissonNoise>(model, result) || give<UniformNoise>(model, result));
  return result;
}

void bind_noise(py::module_& m) {
  bind<GaussianNoise>(m, "GaussianNoise", "y + sigma n, n standard normal.", "gaussian_noise",
                      [](const GaussianNoise& noise) { return py::dict(py::arg("sigma") = noise.sigma); });
  bind<PoissonNoise>(m, "PoissonNoise", "gain Poisson(y / gain).", "poisson_noise", [](const PoissonNoise& noise) {
    return py::dict(py::arg("gain") = noise.gain, py::arg("clip") = noise.clip);
  });
  bind<UniformNoise>(m, "UniformNoise", "y + u, u uniform in [-a, a].", "uniform_noise",
                     [](const UniformNoise& noise) { return py::dict(py::arg("a") = noise.a); });
  m.def("gaussian_noise", &gaussian_noise, py::arg("sigma"), py::arg("seed") = py::none(),
        R"(Gaussian noise: y + sigma n, n standard normal.

:param sigma: the standard deviation, of the real and of the imaginary part each where y is complex.
:param seed: of a stream of its own; None draws from the device's default generator.
:return: a model for set_noise_model, a callable of measurements.
:raises adjoin.InvalidArgument: for what is below zero or not finite.)");
  m.def("poisson_noise", &poisson_noise, py::arg("gain"), py::arg("seed") = py::none(), py::arg("clip") = true,
        R"(Poisson noise: gain · Poisson(y / gain), for real y.

:param gain: the value of one count.
:param seed: of a stream of its own; None draws from the device's default generator.
:param clip: whether y below zero counts as 0, or raises.
:return: a model for set_noise_model, a callable of measurements.
:raises adjoin.InvalidArgument: for what is below zero or not finite.)");
  m.def("uniform_noise", &uniform_noise, py::arg("a"), py::arg("seed") = py::none(),
        R"(Uniform noise: y + u, u uniform in [−a, a], in the real and in the imaginary part each where y is complex.

:param a: the largest deviation.
:param seed: of a stream of its own; None draws from the device's default generator.
:return: a model for set_noise_model, a callable of measurements.
:raises adjoin.InvalidArgument: for what is below zero or not finite.)");
}

}  // namespace adjoin::python
