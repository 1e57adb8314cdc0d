// Learned denoisers.
#include "adjoin/io/safetensors.hpp"
#include "adjoin/models/denoiser.hpp"
#include "adjoin/models/dncnn.hpp"
#include "adjoin/models/drunet.hpp"
#include "adjoin/models/ffdnet.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

struct LoadedDenoiser {
  Denoiser denoise;
  std::string source;
};

// A network that takes one noise level, or one an item.
template <class Network>
py::class_<Network> bind_network(py::module_& m, const char* name) {
  return py::class_<Network>(m, name)
      .def(py::init([](const std::string& path, at::Device device) { return Network(read_safetensors(path), device); }),
           py::arg("path"), py::arg("device"), Unlocked())
      .def(
          "__call__", [](const Network& network, const at::Tensor& x, double sigma) { return network(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked())
      .def(
          "__call__",
          [](const Network& network, const at::Tensor& x, const at::Tensor& sigma) { return network(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked());
}

}  // namespace

void bind_models(py::module_& m) {
  py::class_<LoadedDenoiser>(m, "Denoiser", "The clean image in x (B, C, …), whose noise has standard deviation sigma.")
      .def(
          "__call__", [](const LoadedDenoiser& d, const at::Tensor& x, double sigma) { return d.denoise(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked())
      .def("__repr__", [](const LoadedDenoiser& d) { return "Denoiser(" + d.source + ")"; });
  m.def(
      "load_denoiser",
      [](const std::string& path, at::Device device) { return LoadedDenoiser{load_denoiser(path, device), path}; },
      py::arg("path"), py::arg("device"), Unlocked());

  bind_network<DnCNN>(m, "DnCNN").def_property_readonly("radius", &DnCNN::radius);
  bind_network<DRUNet>(m, "DRUNet").def_property_readonly("channels", &DRUNet::channels);
  bind_network<FFDNet>(m, "FFDNet")
      .def_property_readonly("channels", &FFDNet::channels)
      .def_property_readonly("radius", &FFDNet::radius);
}

}  // namespace adjoin::python
