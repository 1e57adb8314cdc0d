// SPDX-License-Identifier: BSD-3-Clause
// FFDNet's layers on four interleaved subimages and a map of the noise.
#include "adjoin/models/ffdnet.hpp"

#include <ATen/ATen.h>

#include <vector>

#include "adjoin/core/errors.hpp"
#include "models/convolution.hpp"

namespace adjoin {

struct FFDNet::Network {
  Safetensors weights = {};
  std::vector<Convolution> layers;
};

FFDNet::FFDNet(const Safetensors& weights, at::Device device) {
  Network network;
  LayerReader reader(weights, device);
  for (int i = 0; i == 0 || reader.has(c10::str("model.", i)); i += 2) {
    network.layers.push_back(reader.read(c10::str("model.", i)));
  }
  network.weights = reader.finish();
  check_chain(weights, network.layers);
  const at::Tensor& first = network.layers.front().weight;
  const at::Tensor& last = network.layers.back().weight;
  check(first.dim() == 4 && last.size(0) % 4 == 0 && first.size(1) == last.size(0) + 1, weights.source,
        ": FFDNet for C channels must have 4 C + 1 inputs and 4 C outputs, got ", first.size(1), " and ", last.size(0));
  network_ = std::make_shared<const Network>(std::move(network));
}

const Safetensors& FFDNet::weights() const { return network_->weights; }

at::Tensor FFDNet::operator()(const at::Tensor& x, double sigma) const {
  check(sigma >= 0.0, "FFDNet: sigma must not be negative, got ", sigma);
  return (*this)(x, at::scalar_tensor(sigma, at::kDouble));
}

at::Tensor FFDNet::operator()(const at::Tensor& x, const at::Tensor& sigma) const {
  const std::vector<Convolution>& layers = network_->layers;
  const at::Tensor image = checked_image("FFDNet", x, layers.front().weight);
  check(x.size(1) == channels(), "FFDNet: x must have ", channels(), " channels, got ", x.sizes());
  const at::Tensor level = checked_sigma("FFDNet", sigma, image);
  check(level.dim() == 0 || level.numel() == level.size(0), "FFDNet: sigma must be one level an item, got ",
        sigma.sizes());
  const at::Tensor pixels = at::pixel_unshuffle(pad_to_multiple(image, 2), 2);
  const at::Tensor input = at::cat({pixels, level.expand({pixels.size(0), 1, pixels.size(2), pixels.size(3)})}, 1);
  const at::Tensor output = convolve_chain(input, layers);
  return crop_like(at::pixel_shuffle(output, 2), x).to(x.options()).contiguous();
}

std::int64_t FFDNet::channels() const { return network_->layers.back().weight.size(0) / 4; }

std::int64_t FFDNet::radius() const {
  std::int64_t radius = 0;
  for (const Convolution& layer : network_->layers) {
    radius += 2 * (layer.weight.size(-1) / 2);
  }
  return radius;
}

}  // namespace adjoin
