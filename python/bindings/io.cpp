// Pictures, arrays and weights in files.
#include "adjoin/core/psnr.hpp"
#include "adjoin/io/hdf5.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/io/npy.hpp"
#include "adjoin/io/safetensors.hpp"
#include "casters.hpp"

namespace adjoin::python {

void bind_io(py::module_& m) {
  // Paths come as text, which pathlib's paths turn into in the package.
  m.def("read_png", [](const std::string& path) { return read_png(path); }, py::arg("path"), Unlocked());
  m.def(
      "write_png", [](const std::string& path, const at::Tensor& image) { write_png(path, image); }, py::arg("path"),
      py::arg("image"), Unlocked());
  m.def("read_npy", [](const std::string& path) { return read_npy(path); }, py::arg("path"), Unlocked());
  m.def(
      "write_npy", [](const std::string& path, const at::Tensor& array) { write_npy(path, array); }, py::arg("path"),
      py::arg("array"), Unlocked());
  m.def(
      "read_hdf5", [](const std::string& path, const std::string& dataset) { return read_hdf5(path, dataset); },
      py::arg("path"), py::arg("dataset"), Unlocked());
  m.def(
      "read_safetensors",
      [](const std::string& path) {
        const Safetensors content = read_safetensors(path);
        py::dict tensors;
        for (const auto& [name, tensor] : content.tensors) {
          tensors[name.c_str()] = tensor;
        }
        py::dict metadata;
        for (const auto& [name, text] : content.metadata) {
          metadata[name.c_str()] = text;
        }
        return py::make_tuple(tensors, metadata);
      },
      py::arg("path"));
  m.def(
      "write_safetensors",
      [](const std::string& path, const std::map<std::string, at::Tensor>& tensors,
         const std::map<std::string, std::string>& metadata) {
        Safetensors content;
        content.tensors.insert(tensors.begin(), tensors.end());
        content.metadata.insert(metadata.begin(), metadata.end());
        write_safetensors(path, content);
      },
      py::arg("path"), py::arg("tensors"), py::arg("metadata") = std::map<std::string, std::string>(), Unlocked());
  m.def("psnr", &psnr, py::arg("a"), py::arg("b"), py::arg("peak") = 1.0, Unlocked());
}

}  // namespace adjoin::python
