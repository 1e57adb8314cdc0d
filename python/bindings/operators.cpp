// SPDX-License-Identifier: BSD-3-Clause
// The operators but those of MRI.
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/channel_mixing.hpp"
#include "adjoin/operators/diagonal.hpp"
#include "adjoin/operators/downsampling.hpp"
#include "adjoin/operators/filter_bank.hpp"
#include "adjoin/operators/inpainting.hpp"
#include "adjoin/operators/matrix.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/operators/tomography/sampled_projection.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "casters.hpp"
#include "warnings.hpp"

namespace adjoin::python {

namespace {

using Sizes = std::vector<std::int64_t>;

}  // namespace

void bind_operators(py::module_& m) {
  py::class_<Blur, LinearPhysics, std::shared_ptr<Blur>>(m, "Blur",
                                                         R"(Convolution with a kernel, whose centre is at index k // 2.

x (B, C, H, W) with a filter (b, c, h, w), or (B, C, D, H, W) with (b, c, d, h, w); b is 1 or B, c is 1 or C. `padding`
is "valid", "circular", "replicate", "reflect" or "constant", `method` "auto", "fft" or "direct". Circular blurs fuse.
Parameter filter.)")
      .def(py::init([](const TensorLike& filter, const std::string& padding, const std::string& method) {
             return std::make_shared<Blur>(filter, BlurOptions{.padding = padding_from_string(padding),
                                                               .method = convolution_method_from_string(method)});
           }),
           py::arg("filter"), py::arg("padding") = "valid", py::arg("method") = "auto")
      .def_property_readonly(
          "filter", [](const Blur& b) { return b.filter(); }, "The kernel, as it was given.")
      .def("__repr__", [](const Blur& b) {
        return c10::str("Blur(filter ", b.filter().sizes(), ", padding='", to_string(b.options().padding), "')");
      });
  py::class_<ChannelMixing, LinearPhysics, std::shared_ptr<ChannelMixing>>(
      m, "ChannelMixing", R"(y_m = Σ M_mn x_n over the channels of x, with a matrix M (m, n), real or complex.

x (B, n, …) gives (B, m, …): grey images from colours, spectra to bands. Parameter matrix.)")
      .def(py::init([](const TensorLike& matrix) { return std::make_shared<ChannelMixing>(matrix); }),
           py::arg("matrix"))
      .def_property_readonly("matrix", &ChannelMixing::matrix, "M (m, n).");
  py::class_<Diagonal, LinearPhysics, std::shared_ptr<Diagonal>>(
      m, "Diagonal", R"(y = w · x, entry by entry, with weights w that are broadcast to the shape of x.

A number (a scaling), a plane, an image. Pseudoinverse and norm are closed forms; stacks fuse. Parameter weights.)")
      .def(py::init<double>(), py::arg("factor"), "factor: the number that it multiplies by.")
      .def(py::init([](const TensorLike& weights) { return std::make_shared<Diagonal>(weights); }), py::arg("weights"))
      .def_property_readonly("weights", &Diagonal::weights, "The weights, as they were given.");
  py::class_<Downsampling, LinearPhysics, std::shared_ptr<Downsampling>>(
      m, "Downsampling", R"(Every factor-th pixel of each spatial axis of the filtered image.

`padding` and `filter` as of Blur, no filter takes the pixels as they are. `image_size` is the spatial size of the images,
which measurements do not tell: without it, A_adjoint(y) and A_dagger(y) raise, and what is given an image works.
Parameter filter.)")
      .def(py::init(
               [](const MaybeTensor& filter, std::int64_t factor, const std::string& padding, const Sizes& image_size) {
                 return std::make_shared<Downsampling>(
                     tensor_of(filter).value_or(at::Tensor()),
                     DownsamplingOptions{
                         .factor = factor, .padding = padding_from_string(padding), .image_size = image_size});
               }),
           py::arg("filter") = py::none(), py::arg("factor") = 2, py::arg("padding") = "circular",
           py::arg("image_size") = Sizes());
  py::class_<FilterBank, LinearPhysics, std::shared_ptr<FilterBank>>(
      m, "FilterBank", R"(Convolution with each kernel of a bank (K, 1, h, w) or (K, 1, d, h, w).

x (B, C, …) gives (B, K C, …), kernel k on channel c in channel k C + c. `padding` and `method` as of Blur. Circular
banks fuse. Parameter filters.)")
      .def(py::init([](const TensorLike& filters, const std::string& padding, const std::string& method) {
             return std::make_shared<FilterBank>(filters,
                                                 BlurOptions{.padding = padding_from_string(padding),
                                                             .method = convolution_method_from_string(method)});
           }),
           py::arg("filters"), py::arg("padding") = "circular", py::arg("method") = "auto")
      .def_property_readonly("filters", &FilterBank::filters, "The kernels (K, 1, …).");
  py::class_<Inpainting, Diagonal, std::shared_ptr<Inpainting>>(
      m, "Inpainting", R"(y = mask · x; the mask is broadcast to the shape of x. Or keeps pixels at random.

A mask, or the shape (C, H, W) of one whose pixels are kept with `probability`, drawn with `seed`; all channels of a
pixel together when `pixelwise`. Parameter mask.)")
      .def(py::init([](const TensorLike& mask) { return std::make_shared<Inpainting>(mask); }), py::arg("mask"))
      .def(py::init([](const Sizes& shape, double probability, std::uint64_t seed, bool pixelwise) {
             return std::make_shared<Inpainting>(shape, probability, seed, pixelwise);
           }),
           py::arg("shape"), py::arg("probability"), py::arg("seed"), py::arg("pixelwise") = true)
      .def_property_readonly("mask", &Inpainting::mask, "The mask, as it was given or drawn.");
  py::class_<Matrix, LinearPhysics, std::shared_ptr<Matrix>>(m, "Matrix",
                                                             R"(y = M x for a matrix M (m, n), real or complex.

Images (B, n), or (B, *image_shape) flattened, to measurements (B, m), all of M's dtype. Pseudoinverse and norm are
closed forms; stacks fuse. Parameter matrix.)")
      .def(py::init([](const TensorLike& matrix, Sizes image_shape) {
             return std::make_shared<Matrix>(matrix, std::move(image_shape));
           }),
           py::arg("matrix"), py::arg("image_shape") = Sizes())
      .def_property_readonly("matrix", &Matrix::matrix, "M (m, n).");
  py::class_<SampledProjection, LinearPhysics, std::shared_ptr<SampledProjection>>(
      m, "SampledProjection",
      R"(Sums of an image over the samples of lines, as those of a rotated image down its columns.

x (B, C, H, W) of `image_size` gives (B, C, lines, views). `grid` (views, samples, lines, 2) has the coordinates x and y
of the samples, as of torch's grid_sample with align_corners, which interpolates bilinearly, with zeros outside. They
refer to a `frame` (H, W) in which the image lies with so many pixels `before` it, by default the image itself. The image
is multiplied by `weights` (H, W) first, the sums by `factor`.)")
      .def(py::init([](const TensorLike& grid, const std::array<std::int64_t, 2>& image_size,
                       const std::array<std::int64_t, 2>& frame, const std::array<std::int64_t, 2>& before,
                       const MaybeTensor& weights, double factor) {
             return std::make_shared<SampledProjection>(
                 grid, image_size,
                 SampledProjectionOptions{.frame = frame,
                                          .before = before,
                                          .weights = tensor_of(weights).value_or(at::Tensor()),
                                          .factor = factor});
           }),
           py::arg("grid"), py::arg("image_size"), py::arg("frame") = std::array<std::int64_t, 2>{0, 0},
           py::arg("before") = std::array<std::int64_t, 2>{0, 0}, py::arg("weights") = py::none(),
           py::arg("factor") = 1.0)
      .def_property_readonly("grid", &SampledProjection::grid, "(views, samples, lines, 2).")
      .def_property_readonly("image_size", &SampledProjection::image_size, "(H, W).");
  py::class_<Tomography, LinearPhysics, std::shared_ptr<Tomography>>(
      m, "Tomography", R"(Line integrals along parallel rays at `angles` (degrees).

x (B, C, H, W) of `image_size` (H, W) gives sinograms (B, C, angles, detectors), and volumes (B, C, D, H, W) slice by
slice. `detectors` cells (0: as many as cover the diagonal), `spacing` pixels apart; the axis is `shift` cells off the
middle. `fbp` is filtered backprojection, `split(n)` gives n operators of some angles each.)")
      .def(py::init([](const TensorLike& angles, const std::array<std::int64_t, 2>& image_size, std::int64_t detectors,
                       double spacing, double shift) {
             return std::make_shared<Tomography>(
                 angles, image_size, TomographyOptions{.detectors = detectors, .spacing = spacing, .shift = shift});
           }),
           py::arg("angles"), py::arg("image_size"), py::arg("detectors") = 0, py::arg("spacing") = 1.0,
           py::arg("shift") = 0.0)
      .def_property_readonly("angles", &Tomography::angles, "In degrees.")
      .def_property_readonly("image_size", &Tomography::image_size, "(H, W).")
      .def(
          "fbp",
          [](const Tomography& t, const TensorLike& y, const std::string& filter, const std::string& padding) {
            const FbpOptions options{fbp_filter_from_string(filter), fbp_padding_from_string(padding)};
            return with_warnings([&] { return t.fbp(y, options); });
          },
          py::arg("y"), py::arg("filter") = "ramp", py::arg("padding") = "zeros",
          R"(Filtered backprojection. Angles may be uneven, repeated and of several turns.

:param y: sinograms (B, C, angles, detectors).
:param filter: "ramp", "shepp_logan", "cosine", "hamming" or "hann".
:param padding: "zeros", or "extrapolate", which continues projections that do not end within the detector as those of a
    cylinder.
:return: images (B, C, H, W). Warns where directions are missing or the detector is too short.
:raises adjoin.InvalidArgument: for sinograms of other sizes and names that are not known.)")
      .def(
          "split", [](const Tomography& whole, std::int64_t n) { return split(whole, n); }, py::arg("n"),
          R"(Operators of some of the angles each, whose stack is this operator.

:param n: how many operators.
:return: a list; operator i has angles i, i + n, ….)");
}

}  // namespace adjoin::python
