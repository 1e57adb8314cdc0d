// Learned denoisers.
#include "adjoin/io/safetensors.hpp"
#include "adjoin/models/denoiser.hpp"
#include "adjoin/models/network.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

struct LoadedDenoiser {
  Denoiser denoise;
  std::string source;
};

}  // namespace

void bind_models(py::module_& m) {
  py::class_<LoadedDenoiser>(m, "Denoiser")
      .def(
          "__call__", [](const LoadedDenoiser& d, const at::Tensor& x, double sigma) { return d.denoise(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked())
      .def("__repr__", [](const LoadedDenoiser& d) { return "Denoiser(" + d.source + ")"; });
  m.def(
      "load_denoiser",
      [](const std::string& path, at::Device device) { return LoadedDenoiser{load_denoiser(path, device), path}; },
      py::arg("path"), py::arg("device"), Unlocked());
}

}  // namespace adjoin::python
