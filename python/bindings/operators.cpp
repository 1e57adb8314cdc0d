// The operators, and what they are made from.
#include "adjoin/physics/blur.hpp"
#include "adjoin/physics/downsampling.hpp"
#include "adjoin/physics/inpainting.hpp"
#include "adjoin/physics/kernels.hpp"
#include "adjoin/physics/matrix.hpp"
#include "adjoin/physics/multi_coil_mri.hpp"
#include "adjoin/physics/split.hpp"
#include "adjoin/physics/tomography.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

using Sizes = std::vector<std::int64_t>;

}  // namespace

void bind_operators(py::module_& m) {
  py::class_<Blur, LinearPhysics, std::shared_ptr<Blur>>(m, "Blur")
      .def(py::init([](const at::Tensor& filter, const std::string& padding) {
             return std::make_shared<Blur>(filter, BlurOptions{.padding = padding_from_string(padding)});
           }),
           py::arg("filter"), py::arg("padding") = "valid")
      .def_property_readonly("filter", &Blur::filter)
      .def("__repr__", [](const Blur& b) {
        return c10::str("Blur(filter ", b.filter().sizes(), ", padding='", to_string(b.options().padding), "')");
      });
  py::class_<Downsampling, LinearPhysics, std::shared_ptr<Downsampling>>(m, "Downsampling")
      .def(py::init([](const std::optional<at::Tensor>& filter, std::int64_t factor, const std::string& padding,
                       const Sizes& image_size) {
             return std::make_shared<Downsampling>(
                 filter.value_or(at::Tensor()),
                 DownsamplingOptions{
                     .factor = factor, .padding = padding_from_string(padding), .image_size = image_size});
           }),
           py::arg("filter") = py::none(), py::arg("factor") = 2, py::arg("padding") = "circular",
           py::arg("image_size") = Sizes());
  py::class_<Inpainting, LinearPhysics, std::shared_ptr<Inpainting>>(m, "Inpainting")
      .def(py::init<const at::Tensor&>(), py::arg("mask"))
      .def(py::init([](const Sizes& shape, double probability, std::uint64_t seed, bool pixelwise) {
             return std::make_shared<Inpainting>(shape, probability, seed, pixelwise);
           }),
           py::arg("shape"), py::arg("probability"), py::arg("seed"), py::arg("pixelwise") = true)
      .def_property_readonly("mask", &Inpainting::mask);
  py::class_<Matrix, LinearPhysics, std::shared_ptr<Matrix>>(m, "Matrix")
      .def(py::init<const at::Tensor&, Sizes>(), py::arg("matrix"), py::arg("image_shape") = Sizes())
      .def_property_readonly("matrix", &Matrix::matrix);
  py::class_<MultiCoilMRI, LinearPhysics, std::shared_ptr<MultiCoilMRI>>(m, "MultiCoilMRI")
      .def(py::init([](const std::optional<at::Tensor>& mask, const at::Tensor& coil_maps, bool three_d, bool dynamic) {
             return std::make_shared<MultiCoilMRI>(mask.value_or(at::Tensor()), coil_maps,
                                                   MultiCoilMRIOptions{.three_d = three_d, .dynamic = dynamic});
           }),
           py::arg("mask"), py::arg("coil_maps"), py::arg("three_d") = false, py::arg("dynamic") = false)
      .def_property_readonly("mask", &MultiCoilMRI::mask)
      .def_property_readonly("coil_maps", &MultiCoilMRI::coil_maps)
      .def("split", [](const MultiCoilMRI& whole, std::int64_t n) { return split(whole, n); }, py::arg("n"));
  py::class_<Tomography, LinearPhysics, std::shared_ptr<Tomography>>(m, "Tomography")
      .def(py::init([](const at::Tensor& angles, const std::array<std::int64_t, 2>& image_size, std::int64_t detectors,
                       double spacing, double shift) {
             return std::make_shared<Tomography>(
                 angles, image_size, TomographyOptions{.detectors = detectors, .spacing = spacing, .shift = shift});
           }),
           py::arg("angles"), py::arg("image_size"), py::arg("detectors") = 0, py::arg("spacing") = 1.0,
           py::arg("shift") = 0.0)
      .def_property_readonly("angles", &Tomography::angles)
      .def_property_readonly("image_size", &Tomography::image_size)
      .def(
          "fbp",
          [](const Tomography& t, const at::Tensor& y, const std::string& filter) {
            const py::gil_scoped_release release;
            return t.fbp(y, fbp_filter_from_string(filter));
          },
          py::arg("y"), py::arg("filter") = "ramp")
      .def("split", [](const Tomography& whole, std::int64_t n) { return split(whole, n); }, py::arg("n"));

  m.def(
      "gaussian_kernel",
      [](const std::array<double, 2>& sigma, double angle, const Sizes& size, at::ScalarType dtype) {
        return gaussian_kernel(sigma, angle, {.size = size, .dtype = dtype});
      },
      py::arg("sigma"), py::arg("angle") = 0.0, py::arg("size") = Sizes(), py::arg("dtype") = at::kFloat);
  m.def(
      "gaussian_kernel_3d",
      [](const std::array<double, 3>& sigma, const std::array<double, 3>& angles, const Sizes& size,
         at::ScalarType dtype) { return gaussian_kernel_3d(sigma, angles, {.size = size, .dtype = dtype}); },
      py::arg("sigma"), py::arg("angles") = std::array<double, 3>{}, py::arg("size") = Sizes(),
      py::arg("dtype") = at::kFloat);
  m.def("motion_kernel", &motion_kernel, py::arg("length"), py::arg("angle") = 0.0, py::arg("dtype") = at::kFloat);
  m.def("box_kernel", &box_kernel, py::arg("size"), py::arg("dtype") = at::kFloat);
  m.def("bilinear_kernel", &bilinear_kernel, py::arg("factor"), py::arg("dtype") = at::kFloat);
  m.def("bicubic_kernel", &bicubic_kernel, py::arg("factor"), py::arg("dtype") = at::kFloat);
  m.def("sinc_kernel", &sinc_kernel, py::arg("factor"), py::arg("length") = 0, py::arg("dtype") = at::kFloat);
}

}  // namespace adjoin::python
