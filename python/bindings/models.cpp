// Learned denoisers.
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

// A network that takes one noise level, or one an item.
template <class Network>
py::class_<Network> bind_network(py::module_& m, const char* name) {
  return py::class_<Network>(m, name)
      .def(py::init([](const std::string& path, at::Device device) { return Network(read_safetensors(path), device); }),
           py::arg("path"), py::arg("device"), Unlocked())
      .def(py::init([](const Tensors& tensors, const Metadata& metadata, const std::string& source, at::Device device) {
             return Network(to_weights(tensors, metadata, source), device);
           }),
           py::kw_only(), py::arg("tensors"), py::arg("metadata"), py::arg("source"), py::arg("device"))
      .def(
          "__call__", [](const Network& network, const TensorLike& x, double sigma) { return network(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked())
      .def(
          "__call__",
          [](const Network& network, const TensorLike& x, const TensorLike& sigma) { return network(x, sigma.tensor); },
          py::arg("x"), py::arg("sigma"), Unlocked())
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
  bind_network<DnCNN>(m, "DnCNN").def_property_readonly("radius", &DnCNN::radius);
  bind_network<DRUNet>(m, "DRUNet").def_property_readonly("channels", &DRUNet::channels);
  bind_network<FFDNet>(m, "FFDNet")
      .def_property_readonly("channels", &FFDNet::channels)
      .def_property_readonly("radius", &FFDNet::radius);

  py::class_<LoadedDenoiser>(m, "Denoiser", "The clean image in x (B, C, …), whose noise has standard deviation sigma.")
      .def(
          "__call__", [](const LoadedDenoiser& d, const TensorLike& x, double sigma) { return d.denoise(x, sigma); },
          py::arg("x"), py::arg("sigma"), Unlocked())
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
