// SPDX-License-Identifier: BSD-3-Clause
// Parallel MRI, Cartesian and along trajectories: its operators, Fourier sums, coil maps and weights.
#include "adjoin/operators/mri/coil_compression.hpp"
#include "adjoin/operators/mri/coil_maps.hpp"
#include "adjoin/operators/mri/modulated_mri.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/density_compensation.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "adjoin/operators/split.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

using Sizes = std::vector<std::int64_t>;

void bind_coils(py::module_& m) {
  m.def(
      "espirit_maps",
      [](const TensorLike& kspace, std::int64_t calibration, std::int64_t kernel, double threshold, double crop,
         std::int64_t sets, std::int64_t power_iterations) {
        return espirit_maps(kspace, {.calibration = calibration,
                                     .kernel = kernel,
                                     .threshold = threshold,
                                     .crop = crop,
                                     .sets = sets,
                                     .power_iterations = power_iterations});
      },
      py::arg("kspace"), py::arg("calibration") = 24, py::arg("kernel") = 6, py::arg("threshold") = 0.02,
      py::arg("crop") = 0.8, py::arg("sets") = 1, py::arg("power_iterations") = 0, Unlocked(),
      R"(Coil maps by ESPIRiT (Uecker et al., Magn. Reson. Med. 71, 2014).

:param kspace: complex (N, H, W) or (N, D, H, W) whose centre is fully sampled.
:param calibration: how many samples of that centre along each axis.
:param kernel: the size of kernels, in samples.
:param threshold: of the kernels those count whose singular value is above so many times the largest.
:param crop: maps are zero where their eigenvalue is below; elsewhere Σ |s|² = 1 over the coils.
:param sets: 2 where the field of view folds.
:param power_iterations: 0 for the eigenvectors themselves; 30 for what BART's ecalib makes of them by as many steps of
    the power iteration.
:return: (sets, N, H, W) or (sets, N, D, H, W), of the dtype of k-space.
:raises adjoin.InvalidArgument: for k-space that is real, or smaller than the centre.)");
  m.def(
      "adaptive_maps",
      [](const TensorLike& coil_images, std::int64_t block) { return adaptive_maps(coil_images, block); },
      py::arg("coil_images"), py::arg("block") = 7, Unlocked(),
      R"(Coil maps by adaptive combination (Walsh et al., Magn. Reson. Med. 43, 2000).

:param coil_images: complex images of the coils (N, H, W) or (N, D, H, W).
:param block: the covariance is that over blocks of so many pixels along each axis.
:return: maps of the shape of coil_images.
:raises adjoin.InvalidArgument: for real images.)");
  m.def(
      "prewhitening_matrix", [](const TensorLike& noise) { return prewhitening_matrix(noise); }, py::arg("noise"),
      R"(What makes the noise of coils white, by mix_coils of k-space and of maps.

:param noise: samples of noise, complex (N, …).
:return: a matrix (N, N).
:raises adjoin.InvalidArgument: for fewer samples than coils.)");
  m.def(
      "compression_matrix", [](const TensorLike& data, std::int64_t coils) { return compression_matrix(data, coils); },
      py::arg("data"), py::arg("coils"),
      R"(What keeps the most of the energy of data in fewer coils, by mix_coils of k-space and of maps.

:param data: complex (N, …).
:param coils: how many virtual coils.
:return: a matrix (coils, N) with orthonormal rows.
:raises adjoin.InvalidArgument: for more coils than there are.)");
  m.def(
      "mix_coils", [](const TensorLike& matrix, const TensorLike& data) { return mix_coils(matrix, data); },
      py::arg("matrix"), py::arg("data"), R"(Virtual coils.

:param matrix: (M, N), of compression_matrix or prewhitening_matrix.
:param data: of coils (N, …), k-space, images or maps.
:return: (M, …), the matrix times the coils.
:raises adjoin.InvalidArgument: where the numbers of coils differ.)");
  m.def(
      "geometric_compression",
      [](const TensorLike& kspace, std::int64_t coils, std::int64_t axis) {
        return geometric_compression(kspace, coils, axis);
      },
      py::arg("kspace"), py::arg("coils"), py::arg("axis") = -1, Unlocked(),
      R"(What keeps the most of the energy at each place along the readout in fewer coils, by mix_coils_along of k-space and
of maps (Zhang et al., Magn. Reson. Med. 69, 2013).

:param kspace: complex (N, H, W) or (N, D, H, W), fully sampled along an axis.
:param coils: how many virtual coils.
:param axis: that axis of the image, by default the last one.
:return: matrices (n, coils, N) with orthonormal rows, one for each place; neighbours are alike.
:raises adjoin.InvalidArgument: for more coils than there are, and an axis that is none.)");
  m.def(
      "mix_coils_along",
      [](const TensorLike& matrices, const TensorLike& data, std::int64_t axis, bool kspace) {
        return mix_coils_along(matrices, data, axis, kspace);
      },
      py::arg("matrices"), py::arg("data"), py::arg("axis") = -1, py::arg("kspace") = false, Unlocked(),
      R"(Virtual coils that differ from place to place along an axis.

:param matrices: (n, M, N), of geometric_compression.
:param data: complex (N, …): coil images, maps, or k-space.
:param axis: the axis of the image along which the matrices are.
:param kspace: whether the data are k-space, which is transformed along the axis and back.
:return: (M, …).
:raises adjoin.InvalidArgument: where sizes do not fit.)");
  m.def(
      "root_sum_of_squares", [](const TensorLike& coil_images) { return root_sum_of_squares(coil_images); },
      py::arg("coil_images"), R"(One image of those of the coils.

:param coil_images: (N, …).
:return: √Σ |x|² over the coils, real (…).
:raises adjoin.InvalidArgument: for a tensor without axes.)");
}

void bind_nonuniform(py::module_& m) {
  py::class_<NonuniformFourier, LinearPhysics, std::shared_ptr<NonuniformFourier>>(
      m, "NonuniformFourier",
      R"(Fourier sums at any frequencies: y_j = Σ_n x_n exp(−2πi k_j·(n − N // 2)) / √ΠN. By FINUFFT (pip install finufft).

x (B, C, H, W) or (B, C, D, H, W) of `image_size`, real or complex, gives complex y (B, C, …) with the leading axes of
`trajectory` (…, axes), whose last axis is in the order of the image's axes. `units` of the trajectory as given:
"cycles_per_pixel" (−½ … ½), "radians_per_pixel" or "cycles_per_fov"; `eps` is the relative accuracy. Stacks fuse.
Parameter trajectory, in cycles a pixel, which has gradients.)")
      .def(py::init([](const TensorLike& trajectory, Sizes image_size, const std::string& units, double eps) {
             return std::make_shared<NonuniformFourier>(
                 trajectory, std::move(image_size),
                 NonuniformFourierOptions{.units = frequency_units_from_string(units), .eps = eps});
           }),
           py::arg("trajectory"), py::arg("image_size"), py::arg("units") = "cycles_per_pixel", py::arg("eps") = 1e-6)
      .def_property_readonly("trajectory", &NonuniformFourier::trajectory, "(…, axes), in cycles a pixel.")
      .def_property_readonly("image_size", &NonuniformFourier::image_size, "(H, W) or (D, H, W).")
      .def(
          "split", [](const NonuniformFourier& whole, std::int64_t n) { return split(whole, n); }, py::arg("n"),
          R"(Operators of some of the shots each, whose stack is this operator.

:param n: how many operators.
:return: a list; operator i has shots i, i + n, …, along the first axis of the trajectory.)");
  py::class_<NonCartesianMRI, LinearPhysics, std::shared_ptr<NonCartesianMRI>>(
      m, "NonCartesianMRI",
      R"(Parallel MRI along a trajectory: y_n = weights · F(s_n · x) with coil maps s_n and Fourier sums F.

F, `trajectory` (…, axes), `units` and `eps` as of NonuniformFourier. Coil maps are complex (b, N, H, W) or
(b, N, D, H, W). x complex (B, 1, H, W) gives y complex (B, N, …), real (B, 2, H, W) gives real (B, 2, N, …), with the
leading axes of the trajectory, to which `weights` broadcast, such as the roots of density_compensation. The normal
operator is a convolution, with `normal_spectrum` where that was kept (None: computed). Stacks of coils, and of shots with
common maps, fuse. Parameters trajectory, coil_maps and weights, which all have gradients.)")
      .def(py::init([](const TensorLike& trajectory, const TensorLike& coil_maps, const MaybeTensor& weights,
                       const std::string& units, double eps, const MaybeTensor& normal_spectrum) {
             return std::make_shared<NonCartesianMRI>(
                 trajectory, coil_maps,
                 NonCartesianMRIOptions{.units = frequency_units_from_string(units),
                                        .eps = eps,
                                        .weights = tensor_of(weights).value_or(at::Tensor()),
                                        .normal_spectrum = tensor_of(normal_spectrum).value_or(at::Tensor())});
           }),
           py::arg("trajectory"), py::arg("coil_maps"), py::arg("weights") = py::none(),
           py::arg("units") = "cycles_per_pixel", py::arg("eps") = 1e-6, py::arg("normal_spectrum") = py::none())
      .def(
          "normal_spectrum", &NonCartesianMRI::normal_spectrum, Unlocked(),
          R"(The spectrum of the normal operator, which it takes time to compute: the constructor takes one that was kept.

:return: double (2, …, 2, image), which belongs to the trajectory and the weights.)")
      .def_property_readonly("trajectory", &NonCartesianMRI::trajectory, "(…, axes), in cycles a pixel.")
      .def_property_readonly("coil_maps", &NonCartesianMRI::coil_maps, "The coil maps (b, N, …).")
      .def_property_readonly(
          "weights",
          [](const NonCartesianMRI& op) { return op.weights().defined() ? std::optional(op.weights()) : std::nullopt; },
          "The weights of the samples, or None.")
      .def(
          "split",
          [](const NonCartesianMRI& whole, std::int64_t n, const std::string& by) {
            return split(whole, n, split_by_from_string(by));
          },
          py::arg("n"), py::arg("by") = "coil",
          R"(Operators of some of the coils or shots each, whose stack is this operator.

:param n: how many operators.
:param by: "coil", neighbouring ones, or "shot", every n-th.
:return: a list.)");
  const auto options_of = [](const MaybeTensor& weights, const std::string& units, double eps) {
    return NonCartesianMRIOptions{
        .units = frequency_units_from_string(units), .eps = eps, .weights = tensor_of(weights).value_or(at::Tensor())};
  };
  m.def(
      "off_resonance_mri",
      [options_of](const TensorLike& trajectory, const TensorLike& coil_maps, const TensorLike& field_map,
                   const TensorLike& times, double accuracy, const MaybeTensor& weights, const std::string& units,
                   double eps) {
        return off_resonance_mri(trajectory, coil_maps, field_map, times, accuracy, options_of(weights, units, eps));
      },
      py::arg("trajectory"), py::arg("coil_maps"), py::arg("field_map"), py::arg("times"), py::arg("accuracy") = 1e-3,
      py::arg("weights") = py::none(), py::arg("units") = "cycles_per_pixel", py::arg("eps") = 1e-6,
      R"(NonCartesianMRI of an image whose pixels are off resonance: a factor exp(−2πi f t) in the sums.

By time segmentation (Sutton, Noll and Fessler 2003). x complex or real (B, 1, image).

:param trajectory: (…, axes).
:param coil_maps: complex (b, N, image).
:param field_map: f, the frequencies of the pixels (image), in hertz.
:param times: t of the samples, in seconds, which broadcast to the samples.
:param accuracy: there are as many segments as make the factor right to it; each costs a NonCartesianMRI.
:param weights: of the samples, as of NonCartesianMRI, as are units and eps.
:return: a LinearPhysics, whose measurements are those of NonCartesianMRI.
:raises adjoin.InvalidArgument: naming the argument, where shapes do not fit.)");
  m.def(
      "subspace_mri",
      [options_of](const TensorLike& trajectory, const TensorLike& coil_maps, const TensorLike& basis,
                   const MaybeTensor& weights, const std::string& units,
                   double eps) { return subspace_mri(trajectory, coil_maps, basis, options_of(weights, units, eps)); },
      py::arg("trajectory"), py::arg("coil_maps"), py::arg("basis"), py::arg("weights") = py::none(),
      py::arg("units") = "cycles_per_pixel", py::arg("eps") = 1e-6,
      R"(NonCartesianMRI of images that change from shot to shot, in the span of K coefficient images (Tamir et al. 2017).

x complex or real (B, K, image); shots are the first axis of the trajectory.

:param trajectory: (…, axes).
:param coil_maps: complex (b, N, image).
:param basis: (shots, K).
:param weights: of the samples, as of NonCartesianMRI, as are units and eps.
:return: a LinearPhysics, whose measurements are those of NonCartesianMRI.
:raises adjoin.InvalidArgument: naming the argument, where shapes do not fit.)");
  m.def("has_finufft", &has_finufft,
        R"(Whether FINUFFT is found, which NonuniformFourier, NonCartesianMRI and density_compensation need.

:return: True or False.)");
  m.def(
      "density_compensation",
      [](const TensorLike& trajectory, const Sizes& image_size, const std::string& units, int iterations) {
        return density_compensation(trajectory, image_size,
                                    {.units = frequency_units_from_string(units), .iterations = iterations});
      },
      py::arg("trajectory"), py::arg("image_size"), py::arg("units") = "cycles_per_pixel", py::arg("iterations") = 30,
      R"(The area of k-space around each sample, by Pipe and Menon's iteration (Magn. Reson. Med. 41, 1999).

With it, A_adjoint(w · y) is near the image; its roots are weights of NonCartesianMRI.

:param trajectory: (…, axes).
:param image_size: (H, W) or (D, H, W).
:param units: of the trajectory, as of NonuniformFourier.
:param iterations: how many.
:return: w (…), in pixels of the image's grid.
:raises adjoin.InvalidArgument: where trajectory and image_size have different numbers of axes.)");
}

}  // namespace

void bind_mri(py::module_& m) {
  py::class_<MultiCoilMRI, LinearPhysics, std::shared_ptr<MultiCoilMRI>>(
      m, "MultiCoilMRI",
      R"(Parallel MRI: y_n = mask · F(s_n · x) with coil maps s_n and the centred Fourier transform F.

Coil maps are complex (b, N, H, W) or (b, N, D, H, W), F is orthonormal. x real (B, 2, H, W) gives y (B, 2, N, H, W),
complex (B, 1, H, W) gives (B, N, H, W); with `three_d` images are volumes, with `dynamic` sequences (T, H, W). The mask,
None for all, has the image's shape, or axes of length 1. `split(n)` gives n operators of some coils each. Parameters
mask and coil_maps.)")
      .def(py::init([](const MaybeTensor& mask, const TensorLike& coil_maps, bool three_d, bool dynamic) {
             return std::make_shared<MultiCoilMRI>(tensor_of(mask).value_or(at::Tensor()), coil_maps,
                                                   MultiCoilMRIOptions{.three_d = three_d, .dynamic = dynamic});
           }),
           py::arg("mask"), py::arg("coil_maps"), py::arg("three_d") = false, py::arg("dynamic") = false)
      .def_property_readonly("mask", &MultiCoilMRI::mask, "The mask, as it was given; ones for None.")
      .def_property_readonly("coil_maps", &MultiCoilMRI::coil_maps, "The coil maps (b, N, …).")
      .def(
          "split", [](const MultiCoilMRI& whole, std::int64_t n) { return split(whole, n); }, py::arg("n"),
          R"(Operators of some of the coils each, whose stack is this operator.

:param n: how many operators.
:return: a list; each has neighbouring coils.)");
  bind_coils(m);
  bind_nonuniform(m);
}

}  // namespace adjoin::python
