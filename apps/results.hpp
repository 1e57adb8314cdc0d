// SPDX-License-Identifier: BSD-3-Clause
// What `adjoin recon` writes: the image, a table of settings and times, and a report of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "adjoin/optim/optimise.hpp"
#include "scan.hpp"

namespace adjoin {

/// Images are (sets, image), of a scan of several slices (sets, slices, H, W).
struct Results {
  at::Tensor image;
  at::Tensor gridded;  // before the first iteration
  std::vector<IterationRecord> history;
  nlohmann::ordered_json table;
};

/// Writes the files that the options name; `scan` says where the image lies. Throws Error where one cannot be written.
void write_results(const ReconOptions& options, const Scan& scan, const Results& results);

}  // namespace adjoin
