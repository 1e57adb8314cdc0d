// SPDX-License-Identifier: BSD-3-Clause
// The layers that the denoisers are made of, and how their weights are read.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "adjoin/io/safetensors.hpp"

namespace adjoin {

/// A convolution: weight (out, in, k, k), or (out, in, k, k, k) for volumes, and bias, undefined where there is none.
struct Convolution {
  at::Tensor weight = {};
  at::Tensor bias = {};
};

/// Reads layers, and remembers which tensors it has read.
class LayerReader {
 public:
  LayerReader(const Safetensors& weights, at::Device device) : weights_(weights), device_(device) {}

  bool has(const std::string& layer) const { return weights_.contains(layer + ".weight"); }
  /// `layer`.weight, laid out to convolve fastest, and `layer`.bias if there is one. Throws InvalidArgument, naming the
  /// tensor, unless they belong to a floating-point convolution in two or three dimensions.
  Convolution read(const std::string& layer);
  /// What was read, in the memory of the layers, with the file's metadata. Throws InvalidArgument, naming one, if the
  /// file holds tensors that were not read.
  Safetensors finish();

 private:
  const Safetensors& weights_;
  at::Device device_;
  Safetensors read_;
};

/// Throws InvalidArgument unless every layer takes as many channels as the one before it gives, in as many dimensions
/// and one dtype.
void check_chain(const Safetensors& weights, const std::vector<Convolution>& layers);

enum class Padding : std::uint8_t { zeros, circular };

/// Convolution with an odd kernel that keeps the spatial shape.
at::Tensor convolve(const at::Tensor& x, const Convolution& layer, Padding padding = Padding::zeros);
/// The layers in turn, with ReLU between them.
at::Tensor convolve_chain(at::Tensor x, const std::vector<Convolution>& layers, Padding padding = Padding::zeros);

/// x in channels-last memory format, in which convolutions on the CPU are about 1.7 times as quick.
at::Tensor channels_last(const at::Tensor& x);
/// Repeats the last row, column … of (B, C, …) until its spatial sizes are multiples of `multiple`.
at::Tensor pad_to_multiple(const at::Tensor& x, std::int64_t multiple);
/// The first entries along each spatial dimension: as many as `like` has.
at::Tensor crop_like(at::Tensor x, const at::Tensor& like);

/// x as a denoiser with these weights wants it: in their precision. Throws InvalidArgument, naming `denoiser`, unless x
/// is real, floating-point, of shape (B, C, …) with as many spatial dimensions as the weights, and on their device.
at::Tensor checked_image(const char* denoiser, const at::Tensor& x, const at::Tensor& weight);
/// The noise level as a tensor of x's precision and device that broadcasts over (B, 1, …). `sigma` has shape (), (B),
/// (B, 1, …, 1) or, as a map, (B, 1, spatial shape of x). Throws InvalidArgument for another shape.
at::Tensor checked_sigma(const char* denoiser, const at::Tensor& sigma, const at::Tensor& x);

}  // namespace adjoin
