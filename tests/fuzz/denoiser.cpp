// SPDX-License-Identifier: BSD-3-Clause
// Weights of small denoisers to begin with.
#include "adjoin/models/denoiser.hpp"

#include <ATen/ATen.h>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/safetensors.hpp"
#include "target.hpp"

namespace adjoin::fuzz {

namespace {

std::string with(const Safetensors& weights) {
  return written([&](const auto& path) { write_safetensors(path, weights); });
}

Safetensors chain(const std::string& architecture, const std::vector<std::string>& layers, std::int64_t in,
                  std::int64_t out) {
  Safetensors weights{.metadata = {{"architecture", architecture}}};
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::int64_t to = i + 1 == layers.size() ? out : 3;
    weights.tensors[layers[i] + ".weight"] = at::rand({to, i == 0 ? in : 3, 3, 3});
    weights.tensors[layers[i] + ".bias"] = at::rand({to});
  }
  return weights;
}

Safetensors drunet() {
  Safetensors weights{.metadata = {{"architecture", "DRUNet"}}};
  const auto put = [&](const std::string& layer, std::int64_t out, std::int64_t in, std::int64_t kernel) {
    weights.tensors[layer + ".weight"] = at::rand({out, in, kernel, kernel});
  };
  put("m_head", 2, 2, 3);
  put("m_tail", 1, 2, 3);
  for (const char* scale : {"1", "2", "3"}) {
    put(std::string("m_down") + scale + ".0", 2, 2, 2);
    put(std::string("m_up") + scale + ".0", 2, 2, 2);
  }
  put("m_body.0.res.0", 2, 2, 3);
  put("m_body.0.res.2", 2, 2, 3);
  return weights;
}

}  // namespace

std::vector<std::string> seeds() {
  Safetensors scaled = chain("DnCNN", {"in_conv", "conv_list.0", "out_conv"}, 1, 1);
  scaled.metadata["sigma"] = "0.1";
  scaled.metadata["padding"] = "circular";
  scaled.metadata["clamp"] = "true";
  return {with(scaled), with(chain("DnCNN", {"in_conv", "out_conv"}, 2, 1)),
          with(chain("FFDNet", {"model.0", "model.2", "model.4"}, 5, 4)), with(drunet())};
}

void load(const std::filesystem::path& path) {
  const Denoiser denoiser = load_denoiser(path);
  for (const std::int64_t channels : {1, 3}) {
    try {
      denoiser(at::full({1, channels, 8, 8}, 0.5), 0.1);
    } catch (const Error&) {
    }
  }
}

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
