// SPDX-License-Identifier: BSD-3-Clause
// Images in the format that a name ends in, sets of maps joined by their magnitude where the format has no axis for
// them.
#include "results.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/cfl.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/io/nifti.hpp"
#include "adjoin/io/npy.hpp"
#include "adjoin/io/report.hpp"
#include "adjoin/operators/mri/coil_maps.hpp"

namespace adjoin {

namespace {

/// The magnitude, of a volume in its middle slice, (1, H, W) from 0 to 1.
at::Tensor as_picture(const at::Tensor& image) {
  const at::Tensor size = root_sum_of_squares(image);
  const at::Tensor plane = size.dim() == 3 ? size.select(0, size.size(0) / 2) : size;
  return (plane / plane.max().clamp_min(1e-30)).unsqueeze(0);
}

void write_image(const ReconOptions& options, const at::Tensor& image, const Scan& scan) {
  const std::string& file = options.out;
  const auto ends_with = [&](const char* extension) { return file.ends_with(extension); };
  if (ends_with(".png")) {
    write_png(file, as_picture(image));
  } else if (ends_with(".npy")) {
    write_npy(file, (image.size(0) == 1 ? image[0] : image).contiguous());
  } else if (ends_with(".nii") || ends_with(".nii.gz")) {
    NiftiOptions own{.voxel_size = scan.voxel_size, .affine = scan.affine};
    if (!options.voxel_size.empty()) {
      std::ranges::reverse_copy(options.voxel_size, own.voxel_size.begin());
      own.affine.reset();
    }
    write_nifti(file, root_sum_of_squares(image), own);
  } else {
    // (x, y, z, coils, sets)
    const at::Tensor volume = image.dim() == 3 ? image.unsqueeze(1) : image;
    write_cfl(file, volume.permute({3, 2, 1, 0}).unsqueeze(3));
  }
}

void write_table(const std::string& file, const nlohmann::ordered_json& table) {
  std::ofstream stream(file);
  stream << table.dump(2) << "\n";
  if (!stream) {
    throw Error(c10::str("recon: cannot write ", file));
  }
}

void write_report(const ReconOptions& options, const Results& results) {
  Table table{.header = {"", ""}};
  for (const auto& [name, value] : results.table.items()) {
    table.rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  Report report("Reconstruction of " + options.kspace);
  report.table(table).pictures(
      {{"gridding", as_picture(results.gridded)}, {options.method, as_picture(results.image)}});
  if (!results.history.empty()) {
    Curve change{"relative change", {}};
    for (const IterationRecord& record : results.history) {
      change.y.push_back(record.change);
    }
    report.curves({change}, {.log_y = true});
  }
  report.write(options.report);
}

}  // namespace

void write_results(const ReconOptions& options, const Scan& scan, const Results& results) {
  write_image(options, results.image, scan);
  if (!options.json.empty()) {
    write_table(options.json, results.table);
  }
  if (!options.report.empty()) {
    write_report(options, results);
  }
}

}  // namespace adjoin
