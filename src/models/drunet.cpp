// SPDX-License-Identifier: BSD-3-Clause
// DRUNet's residual blocks, down three scales and up again.
#include "adjoin/models/drunet.hpp"

#include <ATen/ATen.h>

#include <array>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "models/convolution.hpp"

namespace adjoin {

namespace {

constexpr std::size_t scales = 3;  // below the full resolution

// x + conv(relu(conv(x)))
using ResidualBlock = std::array<Convolution, 2>;

at::Tensor apply(const std::vector<ResidualBlock>& blocks, at::Tensor x) {
  for (const auto& [first, second] : blocks) {
    x = convolve(convolve(x, first).relu_(), second).add_(x);
  }
  return x;
}

// Kernels of 2 with stride 2, or their transposes.
at::Tensor resample(const at::Tensor& x, const Convolution& layer, bool transposed) {
  const auto dims = static_cast<std::size_t>(layer.weight.dim() - 2);
  const std::vector<std::int64_t> twos(dims, 2);
  const std::vector<std::int64_t> ones(dims, 1);
  const std::vector<std::int64_t> zeros(dims, 0);
  return at::convolution(x, layer.weight, layer.bias, twos, zeros, ones, transposed, zeros, /*groups=*/1);
}

// The blocks `stage`.B with B from `first` on.
std::vector<ResidualBlock> read_blocks(LayerReader& reader, const std::string& stage, int first = 0) {
  std::vector<ResidualBlock> blocks;
  for (int i = first; reader.has(c10::str(stage, ".", i, ".res.0")); ++i) {
    blocks.push_back({reader.read(c10::str(stage, ".", i, ".res.0")), reader.read(c10::str(stage, ".", i, ".res.2"))});
  }
  return blocks;
}

void check_sizes(const Safetensors& weights, const std::string& layer, const Convolution& convolution,
                 std::int64_t dims, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  std::vector<std::int64_t> expected(static_cast<std::size_t>(dims + 2), kernel);
  expected[0] = out;
  expected[1] = in;
  check(convolution.weight.sizes() == expected, weights.source, ": tensor '", layer, ".weight' must have shape ",
        at::IntArrayRef(expected), ", got ", convolution.weight.sizes());
}

}  // namespace

struct DRUNet::Network {
  Safetensors weights = {};
  struct Stage {
    std::vector<ResidualBlock> blocks;
    Convolution resampling;
  };
  Convolution head;
  std::array<Stage, scales> down;
  std::vector<ResidualBlock> body;
  std::array<Stage, scales> up;
  Convolution tail;
};

DRUNet::DRUNet(const Safetensors& weights, at::Device device) {
  Network network;
  LayerReader reader(weights, device);
  network.head = reader.read("m_head");
  network.tail = reader.read("m_tail");
  const std::int64_t dims = network.head.weight.dim() - 2;
  const std::int64_t kernel = network.head.weight.size(-1);
  std::int64_t width = network.head.weight.size(0);
  check(kernel % 2 == 1, weights.source, ": tensor 'm_head.weight' must have an odd kernel, got ",
        network.head.weight.sizes());
  const std::int64_t image_channels = network.tail.weight.size(0);
  check_sizes(weights, "m_head", network.head, dims, image_channels + 1, width, kernel);
  check_sizes(weights, "m_tail", network.tail, dims, width, image_channels, kernel);
  const auto check_blocks = [&](const std::string& stage, const std::vector<ResidualBlock>& blocks) {
    for (const ResidualBlock& block : blocks) {
      check_sizes(weights, stage + ".*.res.0", block[0], dims, width, width, kernel);
      check_sizes(weights, stage + ".*.res.2", block[1], dims, width, width, kernel);
    }
  };
  for (std::size_t s = 0; s < scales; ++s) {
    const std::string down = c10::str("m_down", s + 1);
    const std::string up = c10::str("m_up", s + 1);
    network.down[s].blocks = read_blocks(reader, down);
    const std::string halving = c10::str(down, ".", network.down[s].blocks.size());
    network.down[s].resampling = reader.read(halving);
    network.up[s].resampling = reader.read(up + ".0");
    network.up[s].blocks = read_blocks(reader, up, 1);
    check_blocks(down, network.down[s].blocks);
    check_blocks(up, network.up[s].blocks);
    const std::int64_t next = network.down[s].resampling.weight.size(0);
    check_sizes(weights, halving, network.down[s].resampling, dims, width, next, 2);
    check_sizes(weights, up + ".0", network.up[s].resampling, dims, width, next, 2);
    width = next;
  }
  network.body = read_blocks(reader, "m_body");
  check_blocks("m_body", network.body);
  network.weights = reader.finish();
  network_ = std::make_shared<const Network>(std::move(network));
}

const Safetensors& DRUNet::weights() const { return network_->weights; }

at::Tensor DRUNet::operator()(const at::Tensor& x, double sigma) const {
  check(sigma >= 0.0, "DRUNet: sigma must not be negative, got ", sigma);
  return (*this)(x, at::scalar_tensor(sigma, at::kDouble));
}

at::Tensor DRUNet::operator()(const at::Tensor& x, const at::Tensor& sigma) const {
  const Network& network = *network_;
  const at::Tensor image = checked_image("DRUNet", x, network.head.weight);
  check(x.size(1) == channels(), "DRUNet: x must have ", channels(), " channels, got ", x.sizes());
  std::vector<std::int64_t> map = x.sizes().vec();
  map[1] = 1;
  const at::Tensor level = checked_sigma("DRUNet", sigma, image).expand(map);
  std::array<at::Tensor, scales> skipped;
  at::Tensor features = convolve(channels_last(pad_to_multiple(at::cat({image, level}, 1), 1 << scales)), network.head);
  for (std::size_t s = 0; s < scales; ++s) {
    skipped[s] = features;
    features = resample(apply(network.down[s].blocks, features), network.down[s].resampling, /*transposed=*/false);
  }
  features = apply(network.body, features) + features;
  for (std::size_t s = scales; s-- > 0;) {
    features = apply(network.up[s].blocks, resample(features, network.up[s].resampling, /*transposed=*/true));
    features = features + skipped[s];
  }
  return crop_like(convolve(features, network.tail), x).to(x.options()).contiguous();
}

std::int64_t DRUNet::channels() const { return network_->tail.weight.size(0); }

}  // namespace adjoin
