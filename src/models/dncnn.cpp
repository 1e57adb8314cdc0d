// SPDX-License-Identifier: BSD-3-Clause
// DnCNN's layers, and the scaling that serves noise levels it was not trained for.
#include "adjoin/models/dncnn.hpp"

#include <ATen/ATen.h>

#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "models/convolution.hpp"

namespace adjoin {

struct DnCNN::Network {
  Safetensors weights = {};
  std::vector<Convolution> layers = {};
  Padding padding = Padding::zeros;
  std::optional<double> trained_sigma = {};
  bool clamp = false;

  std::int64_t in_channels() const { return layers.front().weight.size(1); }
  std::int64_t out_channels() const { return layers.back().weight.size(0); }
  bool takes_sigma() const { return in_channels() == out_channels() + 1; }
};

namespace {

Padding padding_of(const Safetensors& weights) {
  const std::string name = weights.metadata_or("padding", "zeros");
  check(name == "zeros" || name == "circular", weights.source, ": padding must be zeros or circular, got '", name, "'");
  return name == "zeros" ? Padding::zeros : Padding::circular;
}

std::optional<double> sigma_of(const Safetensors& weights) {
  const std::string text = weights.metadata_or("sigma", "");
  if (text.empty()) {
    return {};
  }
  double sigma = 0.0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), sigma);
  check(parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && sigma > 0.0, weights.source,
        ": sigma must be a positive number, got '", text, "'");
  return sigma;
}

}  // namespace

DnCNN::DnCNN(const Safetensors& weights, at::Device device) {
  Network network{.padding = padding_of(weights),
                  .trained_sigma = sigma_of(weights),
                  .clamp = weights.metadata_or("clamp", "false") == "true"};
  LayerReader reader(weights, device);
  network.layers.push_back(reader.read("in_conv"));
  for (int i = 0; reader.has(c10::str("conv_list.", i)); ++i) {
    network.layers.push_back(reader.read(c10::str("conv_list.", i)));
  }
  network.layers.push_back(reader.read("out_conv"));
  network.weights = reader.finish();
  check_chain(weights, network.layers);
  check(network.takes_sigma() || network.in_channels() == network.out_channels(), weights.source,
        ": DnCNN must have as many inputs as outputs, or one more, got ", network.in_channels(), " and ",
        network.out_channels());
  network_ = std::make_shared<const Network>(std::move(network));
}

const Safetensors& DnCNN::weights() const { return network_->weights; }

at::Tensor DnCNN::operator()(const at::Tensor& x, double sigma) const {
  check(sigma > 0.0, "DnCNN: sigma must be positive, got ", sigma);
  return (*this)(x, at::scalar_tensor(sigma, at::kDouble));
}

at::Tensor DnCNN::operator()(const at::Tensor& x, const at::Tensor& sigma) const {
  const Network& network = *network_;
  at::Tensor image = checked_image("DnCNN", x, network.layers.front().weight);
  const at::Tensor level = checked_sigma("DnCNN", sigma, image);
  const std::int64_t channels = network.out_channels();
  check(channels == 1 || x.size(1) == channels, "DnCNN: x must have ", channels, " channels, got ", x.sizes());
  const bool by_channel = channels == 1 && x.size(1) > 1;

  std::optional<at::Tensor> scale;
  if (network.trained_sigma && !network.takes_sigma()) {
    check(level.dim() == 0 || level.numel() == level.size(0), "DnCNN: these weights take no map of noise levels");
    scale = *network.trained_sigma / level;
    image = image * *scale;
  }
  if (network.clamp) {
    image = image.clamp(0.0, 1.0);
  }
  const auto fold_channels = [&](const at::Tensor& t) { return by_channel ? t.flatten(0, 1).unsqueeze(1) : t; };
  at::Tensor input = fold_channels(image);
  if (network.takes_sigma()) {
    std::vector<std::int64_t> sizes = image.sizes().vec();
    sizes[1] = by_channel ? image.size(1) : 1;
    input = at::cat({input, fold_channels(level.expand(sizes))}, 1);
  }
  at::Tensor denoised = convolve_chain(input, network.layers, network.padding).reshape_as(image).add_(image);
  if (scale) {
    denoised.div_(*scale);
  }
  return denoised.to(x.options()).contiguous();
}

std::int64_t DnCNN::radius() const {
  std::int64_t radius = 0;
  for (const Convolution& layer : network_->layers) {
    radius += layer.weight.size(-1) / 2;
  }
  return radius;
}

}  // namespace adjoin
