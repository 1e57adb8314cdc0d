// SPDX-License-Identifier: BSD-3-Clause
// The denoiser that the metadata of a weights file name.
#include "adjoin/models/denoiser.hpp"

#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/models/dncnn.hpp"
#include "adjoin/models/drunet.hpp"
#include "adjoin/models/ffdnet.hpp"

namespace adjoin {

Denoiser load_denoiser(const std::filesystem::path& path, at::Device device) {
  const Safetensors weights = read_safetensors(path);
  const std::string architecture = weights.metadata_or("architecture", "");
  if (architecture == "DnCNN") {
    return DnCNN(weights, device);
  }
  if (architecture == "FFDNet") {
    return FFDNet(weights, device);
  }
  if (architecture == "DRUNet") {
    return DRUNet(weights, device);
  }
  throw InvalidArgument(c10::str("load_denoiser: ", path,
                                 ": the metadata's architecture must be DnCNN, FFDNet or DRUNet, got '", architecture,
                                 "'"));
}

}  // namespace adjoin
