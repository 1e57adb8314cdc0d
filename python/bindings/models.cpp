// SPDX-License-Identifier: BSD-3-Clause
// Learned denoisers and saved networks, as callables of Python.
#include "adjoin/io/safetensors.hpp"
#include "adjoin/models/denoiser.hpp"
#include "adjoin/models/dncnn.hpp"
#include "adjoin/models/drunet.hpp"
#include "adjoin/models/ffdnet.hpp"
#include "casters.hpp"
#include "copies.hpp"

namespace adjoin::python {

namespace {

using Tensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

struct LoadedDenoiser {
  Denoiser denoise;
  std::string source;
};

Safetensors to_weights(const Tensors& tensors, const Metadata& metadata, const std::string& source) {
  return {
      .tensors = {tensors.begin(), tensors.end()}, .metadata = {metadata.begin(), metadata.end()}, .source = source};
}

at::Device device_of(const Safetensors& weights) { return weights.tensors.begin()->second.device(); }

// A network's weights, and where they are, as its second constructor takes them.
py::dict weights_of(const Safetensors& weights) {
  return py::dict(py::arg("tensors") = Tensors(weights.tensors.begin(), weights.tensors.end()),
                  py::arg("metadata") = Metadata(weights.metadata.begin(), weights.metadata.end()),
                  py::arg("source") = weights.source, py::arg("device") = device_of(weights));
}

constexpr const char* denoised = R"(Removes noise.

:param x: a noisy image (B, C, H, W).
:param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
:return: the clean image, of the shape of x.
:raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.)";

constexpr const char* made_of_weights =
    "A network whose weights are in the .safetensors file `path`, or are given: `tensors` by name, `metadata` by name, "
    "and `source`, a name for messages. It computes on `device`.";

// A network that takes one noise level, or one an item.
template <class Network>
py::class_<Network> bind_network(py::module_& m, const char* name) {
  return py::class_<Network>(m, name, made_of_weights)
      .def(py::init([](const std::string& path, at::Device device) { return Network(read_safetensors(path), device); }),
           py::arg("path"), py::arg("device"), Unlocked())
      .def(py::init([](const Tensors& tensors, const Metadata& metadata, const std::string& source, at::Device device) {
             return Network(to_weights(tensors, metadata, source), device);
           }),
           py::kw_only(), py::arg("tensors"), py::arg("metadata"), py::arg("source"), py::arg("device"))
      .def(
          "__call__", [](const Network& network, const TensorLike& x, double sigma) { return network(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked(), denoised)
      .def(
          "__call__",
          [](const Network& network, const TensorLike& x, const TensorLike& sigma) { return network(x, sigma.tensor); },
          py::arg("x"), py::arg("sigma"), Unlocked(), denoised)
      .def("__reduce__", [name](const py::object& self) {
        return reduced(self, py::str(name), py::tuple(), weights_of(self.cast<const Network&>().weights()));
      });
}

template <class Network>
bool give_weights(const Denoiser& denoise, const char* name, py::tuple& made) {
  const auto* network = denoise.target<Network>();
  if (network != nullptr) {
    made = py::make_tuple(name, weights_of(network->weights()));
  }
  return network != nullptr;
}

}  // namespace

void bind_models(py::module_& m) {
  const char* radius = "How far, in pixels, a pixel of the input reaches: the overlap that tiles need.";
  const char* channels = "How many channels its images have.";
  bind_network<DnCNN>(m, "DnCNN").def_property_readonly("radius", &DnCNN::radius, radius);
  bind_network<DRUNet>(m, "DRUNet").def_property_readonly("channels", &DRUNet::channels, channels);
  bind_network<FFDNet>(m, "FFDNet")
      .def_property_readonly("channels", &FFDNet::channels, channels)
      .def_property_readonly("radius", &FFDNet::radius, radius);

  py::class_<LoadedDenoiser>(m, "Denoiser", "The clean image in x (B, C, …), whose noise has standard deviation sigma.")
      .def(
          "__call__", [](const LoadedDenoiser& d, const TensorLike& x, double sigma) { return d.denoise(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked(), denoised)
      .def("__repr__", [](const LoadedDenoiser& d) { return "Denoiser(" + d.source + ")"; })
      .def("__reduce__", [](const py::object& self) {
        const auto& denoiser = self.cast<const LoadedDenoiser&>();
        py::tuple network;
        (void)(give_weights<DnCNN>(denoiser.denoise, "DnCNN", network) ||
               give_weights<DRUNet>(denoiser.denoise, "DRUNet", network) ||
               give_weights<FFDNet>(denoiser.denoise, "FFDNet", network));
        return reduced(self, py::str("denoiser_of"), py::tuple(),
                       py::dict(py::arg("architecture") = network[0], py::arg("weights") = network[1]));
      });
  m.def(
      "load_denoiser",
      [](const std::string& path, at::Device device) { return LoadedDenoiser{load_denoiser(path, device), path}; },
      py::arg("path"), py::arg("device"), Unlocked());
  m.def(
      "denoiser_of",
      [](const std::string& architecture, const py::dict& weights) {
        const Safetensors content = to_weights(weights["tensors"].cast<Tensors>(), weights["metadata"].cast<Metadata>(),
                                               weights["source"].cast<std::string>());
        const auto device = weights["device"].cast<at::Device>();
        const auto make = [&]<class Network>() { return LoadedDenoiser{Network(content, device), content.source}; };
        return architecture == "DnCNN"    ? make.template operator()<DnCNN>()
               : architecture == "FFDNet" ? make.template operator()<FFDNet>()
                                          : make.template operator()<DRUNet>();
      },
      py::arg("architecture"), py::arg("weights"));
}

}  // namespace adjoin::python
