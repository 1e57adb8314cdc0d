// SPDX-License-Identifier: BSD-3-Clause
// The kernels that blurs and downsamplings are made with.
#include "adjoin/operators/blur/kernels.hpp"
#include "casters.hpp"

namespace adjoin::python {

void bind_blur_kernels(py::module_& m) {
  m.def(
      "gaussian_kernel",
      [](const std::array<double, 2>& sigma, double angle, const std::vector<std::int64_t>& size,
         at::ScalarType dtype) { return gaussian_kernel(sigma, angle, {.size = size, .dtype = dtype}); },
      py::arg("sigma"), py::arg("angle") = 0.0, py::arg("size") = std::vector<std::int64_t>(),
      py::arg("dtype") = at::kFloat,
      R"(A Gaussian.

:param sigma: the standard deviations along its two axes, in pixels.
:param angle: by which the axes are turned, in degrees.
:param size: (h, w), by default to where it is negligible.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, h, w) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def(
      "gaussian_kernel_3d",
      [](const std::array<double, 3>& sigma, const std::array<double, 3>& angles, const std::vector<std::int64_t>& size,
         at::ScalarType dtype) { return gaussian_kernel_3d(sigma, angles, {.size = size, .dtype = dtype}); },
      py::arg("sigma"), py::arg("angles") = std::array<double, 3>{}, py::arg("size") = std::vector<std::int64_t>(),
      py::arg("dtype") = at::kFloat, R"(A Gaussian for volumes.

:param sigma: the standard deviations along its three axes, in pixels.
:param angles: by which the axes are turned, in degrees.
:param size: (d, h, w), by default to where it is negligible.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, d, h, w) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def("motion_kernel", &motion_kernel, py::arg("length"), py::arg("angle") = 0.0, py::arg("dtype") = at::kFloat,
        R"(The trace of a motion.

:param length: in pixels.
:param angle: its direction, in degrees.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, h, w) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def("box_kernel", &box_kernel, py::arg("size"), py::arg("dtype") = at::kFloat,
        R"(The mean over a square.

:param size: how many pixels along each axis.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, size, size) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def("bilinear_kernel", &bilinear_kernel, py::arg("factor"), py::arg("dtype") = at::kFloat,
        R"(The filter of bilinear resampling.

:param factor: of the downsampling.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, h, h) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def("bicubic_kernel", &bicubic_kernel, py::arg("factor"), py::arg("dtype") = at::kFloat,
        R"(The filter of bicubic resampling.

:param factor: of the downsampling.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, h, h) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
  m.def("sinc_kernel", &sinc_kernel, py::arg("factor"), py::arg("length") = 0, py::arg("dtype") = at::kFloat,
        R"(The windowed sinc filter of resampling.

:param factor: of the downsampling.
:param length: of the filter, in pixels; 0 chooses.
:param dtype: the floating-point dtype of the result.
:return: a kernel (1, 1, h, h) whose sum is 1.
:raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.)");
}

}  // namespace adjoin::python
