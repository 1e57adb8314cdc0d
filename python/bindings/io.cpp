// SPDX-License-Identifier: BSD-3-Clause
// Pictures, arrays and weights in files.
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "adjoin/core/psnr.hpp"
#include "adjoin/io/cfl.hpp"
#include "adjoin/io/hdf5.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/io/mrd.hpp"
#include "adjoin/io/nifti.hpp"
#include "adjoin/io/npy.hpp"
#include "adjoin/io/report.hpp"
#include "adjoin/io/safetensors.hpp"
#include "casters.hpp"
#include "copies.hpp"

namespace adjoin::python {

namespace {

// A picture with its caption, a curve with its name.
using CaptionedImage = std::pair<std::string, TensorLike>;
using NamedCurve = std::pair<std::string, std::vector<double>>;

void bind_report(py::module_& m) {
  const auto self = py::return_value_policy::reference_internal;
  py::class_<Report>(m, "Report", R"(What a run found, as one HTML file that needs nothing else.

What is added comes in that order; every method that adds returns the report. In Jupyter it shows itself.

:param title: the heading of the page.
:raises adjoin.InvalidArgument: where rows, pictures or curves do not fit; adjoin.Error where a file cannot be written.)")
      .def(py::init<const std::string&>(), py::arg("title"))
      .def("text", &Report::text, py::arg("paragraph"), self,
           "Adds text.\n\n:param paragraph: plain text.\n:return: the report.")
      .def(
          "table",
          [](Report& report, std::vector<std::string> header, std::vector<std::vector<std::string>> rows) -> Report& {
            return report.table({.header = std::move(header), .rows = std::move(rows)});
          },
          py::arg("header"), py::arg("rows"), self,
          "Adds a table.\n\n:param header: the texts above the columns.\n:param rows: lists of texts, each as long as "
          "the header.\n"
          ":return: the report.")
      .def(
          "pictures",
          [](Report& report, const std::vector<CaptionedImage>& pictures) -> Report& {
            std::vector<Picture> all;
            for (const auto& [caption, image] : pictures) {
              all.push_back({.caption = caption, .image = image.tensor});
            }
            return report.pictures(all);
          },
          py::arg("pictures"), self,
          "Adds pictures side by side.\n\n:param pictures: pairs of a caption and an image as write_png takes "
          "it.\n:return: the "
          "report.")
      .def(
          "curves",
          [](Report& report, const std::vector<NamedCurve>& curves, std::string title, std::string x_label,
             std::string y_label, bool log_y) -> Report& {
            std::vector<Curve> all;
            for (const auto& [name, values] : curves) {
              all.push_back({.name = name, .y = values});
            }
            return report.curves(all, {.title = std::move(title),
                                       .x_label = std::move(x_label),
                                       .y_label = std::move(y_label),
                                       .log_y = log_y});
          },
          py::arg("curves"), py::arg("title") = "", py::arg("x_label") = "iteration", py::arg("y_label") = "",
          py::arg("log_y") = false, self,
          R"(Adds curves in one diagram.

:param curves: pairs of a name and the values at 1, 2, …; those that are not finite are left out.
:param title: above the diagram.
:param x_label: below the horizontal axis.
:param y_label: beside the vertical axis.
:param log_y: whether the vertical axis is logarithmic.
:return: the report.)")
      .def("html", &Report::html, "The page.\n\n:return: the whole file as text.")
      .def("write", &Report::write, py::arg("path"), "Writes the file.\n\n:param path: its name.")
      .def("append", &Report::append, py::arg("path"),
           "Puts this report behind those in the file, or writes it where there is none.\n\n:param path: the file's "
           "name.")
      .def("_repr_html_", [](const py::object& report) { return notebook("report_html")(report); });
}

void bind_mrd(py::module_& m) {
  py::class_<MrdScan>(m, "MrdScan", "What an ISMRMRD file has measured of one image.")
      .def_readonly("kspace", &MrdScan::kspace,
                    "On the grid (coils, H, W) or (coils, D, H, W), the mean of the lines measured in one place, zero "
                    "where there are none; along a trajectory (coils, lines, samples). complex64.")
      .def_readonly("weights", &MrdScan::weights,
                    "On the grid (H, W) or (D, H, W): the roots of how many lines were averaged, the most being 1, and "
                    "0 where nothing was measured: the mask of MultiCoilMRI, which weighs k-space by its noise.")
      .def_readonly("trajectory", &MrdScan::trajectory,
                    "(lines, samples, axes), its last axis (row, column) or (slice, row, column), as the file has it: "
                    "by custom in cycles a pixel, from -1/2 to 1/2. None on the grid.")
      .def_readonly("image_size", &MrdScan::image_size, "Of the image that k-space has.")
      .def_readonly("shown_size", &MrdScan::shown_size,
                    "Of its middle that the scanner's own images show, without oversampling.")
      .def_readonly("voxel_size", &MrdScan::voxel_size, "Millimetres, (D, H, W).")
      .def_readonly("position", &MrdScan::position,
                    "Where pixel n // 2 of each axis lies: millimetres to the patient's left, back and head.")
      .def_readonly("directions", &MrdScan::directions,
                    "Unit vectors of the patient along the axes (D, H, W) of the image; zeros where the file has "
                    "none.");
  py::class_<MrdFile>(
      m, "MrdFile",
      "An open ISMRMRD file: the lines of k-space that an MRI scanner measured. Their samples are read "
      "when they are asked for.\n\n:param path: the file's name.\n:param group: where in it the measurement is.\n"
      ":raises adjoin.Error: naming the file, for one that is not such a file, and by read and noise, "
      "for numbers that it does not have.")
      .def(py::init([](const std::filesystem::path& path, const std::string& group) {
             const py::gil_scoped_release unlocked;
             return std::make_unique<MrdFile>(path, group);
           }),
           py::arg("path"), py::arg("group") = "dataset")
      .def_property_readonly("header", &MrdFile::header, "XML, as ISMRMRD describes it.")
      .def_property_readonly("trajectory", &MrdFile::trajectory, "\"cartesian\", \"radial\", \"spiral\" ...")
      .def_property_readonly("coils", &MrdFile::coils, "How many coils measured.")
      .def_property_readonly("slices", &MrdFile::slices,
                             "How many slices there are; likewise contrasts, phases, repetitions, sets and averages.")
      .def_property_readonly("contrasts", &MrdFile::contrasts, "How many contrasts, such as echoes, there are.")
      .def_property_readonly("phases", &MrdFile::phases, "How many phases, as of the heart, there are.")
      .def_property_readonly("repetitions", &MrdFile::repetitions, "How many repetitions there are.")
      .def_property_readonly("sets", &MrdFile::sets, "How many sets, as of flow encodings, there are.")
      .def_property_readonly("averages", &MrdFile::averages,
                             "How often each line was measured at most, to be averaged.")
      .def_property_readonly("has_calibration", &MrdFile::has_calibration,
                             "Whether lines were measured to calibrate alone.")
      .def(
          "read",
          [](const MrdFile& file, const std::vector<std::int64_t>& coils, std::int64_t slice, std::int64_t contrast,
             std::int64_t phase, std::int64_t repetition, std::int64_t set, bool calibration) {
            return file.read({.coils = coils,
                              .slice = slice,
                              .contrast = contrast,
                              .phase = phase,
                              .repetition = repetition,
                              .set = set,
                              .calibration = calibration});
          },
          py::kw_only(), py::arg("coils") = std::vector<std::int64_t>{}, py::arg("slice") = 0, py::arg("contrast") = 0,
          py::arg("phase") = 0, py::arg("repetition") = 0, py::arg("set") = 0, py::arg("calibration") = false,
          Unlocked(),
          R"(What was measured of one image.

:param coils: the numbers of coils, ascending, whose samples alone are read; empty for all.
:param slice: the number of the slice, as are contrast, phase, repetition and set.
:param calibration: the lines that calibrate parallel imaging, in place of the image's.
:return: an MrdScan.)")
      .def("noise", &MrdFile::noise, Unlocked(),
           "Samples of noise.\n\n:return: (coils, samples), for prewhitening_matrix; None where the file has none.");
}

}  // namespace

void bind_io(py::module_& m) {
  bind_mrd(m);
  // Paths come as text, which pathlib's paths turn into in the package.
  m.def("read_png", [](const std::string& path) { return read_png(path); }, py::arg("path"), Unlocked());
  m.def(
      "write_png", [](const std::string& path, const TensorLike& image) { write_png(path, image); }, py::arg("path"),
      py::arg("image"), Unlocked());
  m.def("read_npy", [](const std::string& path) { return read_npy(path); }, py::arg("path"), Unlocked());
  m.def(
      "write_npy", [](const std::string& path, const TensorLike& array) { write_npy(path, array); }, py::arg("path"),
      py::arg("array"), Unlocked());
  m.def(
      "write_nifti",
      [](const std::string& path, const TensorLike& image, const std::array<double, 3>& voxel_size,
         const std::optional<std::array<std::array<double, 4>, 3>>& affine) {
        write_nifti(path, image, {.voxel_size = voxel_size, .affine = affine});
      },
      py::arg("path"), py::arg("image"), py::arg("voxel_size") = std::array<double, 3>{1.0, 1.0, 1.0},
      py::arg("affine") = py::none(), Unlocked());
  m.def(
      "read_cfl",
      [](const std::string& path, std::int64_t axis, const std::optional<std::vector<std::int64_t>>& indices) {
        return indices ? read_cfl(path, CflPart{.axis = axis, .indices = *indices}) : read_cfl(path);
      },
      py::arg("path"), py::arg("axis") = 3, py::arg("indices") = py::none(), Unlocked());
  m.def(
      "write_cfl", [](const std::string& path, const TensorLike& array) { write_cfl(path, array); }, py::arg("path"),
      py::arg("array"), Unlocked());
  m.def(
      "read_hdf5",
      [](const std::string& path, const std::string& dataset, bool trusted) {
        return read_hdf5(path, dataset, {.trusted = trusted});
      },
      py::arg("path"), py::arg("dataset"), py::arg("trusted") = false, Unlocked());
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
      [](const std::string& path, const std::map<std::string, TensorLike>& tensors,
         const std::map<std::string, std::string>& metadata) {
        Safetensors content;
        for (const auto& [name, tensor] : tensors) {
          content.tensors.emplace(name, tensor.tensor);
        }
        content.metadata.insert(metadata.begin(), metadata.end());
        write_safetensors(path, content);
      },
      py::arg("path"), py::arg("tensors"), py::arg("metadata") = std::map<std::string, std::string>(), Unlocked());
  m.def(
      "psnr", [](const TensorLike& a, const TensorLike& b, double peak) { return psnr(a, b, peak); }, py::arg("a"),
      py::arg("b"), py::arg("peak") = 1.0, Unlocked(),
      R"(The peak signal-to-noise ratio.

:param a: an image.
:param b: another, of the same shape.
:param peak: the largest value that images may have.
:return: 10 log10(peak² / mean square of a − b), in decibels.
:raises adjoin.InvalidArgument: for images of different shapes.)");
  bind_report(m);
}

}  // namespace adjoin::python
