// SPDX-License-Identifier: BSD-3-Clause
// Convolutions by torch with each kind of padding, and checks that layers follow on each other.
#include "models/convolution.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

at::MemoryFormat channels_last_format(const at::Tensor& x) {
  return x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// The periodic continuation of every spatial dimension by `margin` at both ends. Written out, since at::pad takes as
// long as half a convolution in this memory format.
at::Tensor pad_circular(const at::Tensor& x, std::int64_t margin) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  for (std::size_t d = 2; d < sizes.size(); ++d) {
    check(sizes[d] >= margin, "x: dimension ", d, " is too short for circular padding by ", margin, ", got ",
          x.sizes());
    sizes[d] += 2 * margin;
  }
  at::Tensor padded = at::empty(sizes, x.options(), x.suggest_memory_format());
  at::Tensor inner = padded;
  for (std::int64_t d = 2; d < x.dim(); ++d) {
    inner = inner.narrow(d, margin, x.size(d));
  }
  inner.copy_(x);
  // Along one dimension after the other; rows of dimensions yet to come are not read before they are written.
  for (std::int64_t d = x.dim() - 1; d >= 2; --d) {
    at::Tensor done = padded;
    for (std::int64_t other = 2; other < d; ++other) {
      done = done.narrow(other, margin, x.size(other));
    }
    done.narrow(d, 0, margin).copy_(done.narrow(d, x.size(d), margin));
    done.narrow(d, margin + x.size(d), margin).copy_(done.narrow(d, margin, margin));
  }
  return padded;
}

}  // namespace

Convolution LayerReader::read(const std::string& layer) {
  const std::string name = layer + ".weight";
  const at::Tensor& weight = weights_.at(name);
  check((weight.dim() == 4 || weight.dim() == 5) && at::isFloatingType(weight.scalar_type()), weights_.source,
        ": tensor '", name, "' must be the floating-point weight of a convolution in 2 or 3 dimensions, got ",
        weight.scalar_type(), " ", weight.sizes());
  Convolution convolution{.weight = weight.to(device_).contiguous(channels_last_format(weight))};
  read_.tensors[name] = convolution.weight;
  if (weights_.contains(layer + ".bias")) {
    const at::Tensor& bias = weights_.at(layer + ".bias");
    check(bias.dim() == 1 && bias.scalar_type() == weight.scalar_type(), weights_.source, ": tensor '", layer,
          ".bias' must be a vector of ", weight.scalar_type(), ", got ", bias.scalar_type(), " ", bias.sizes());
    convolution.bias = bias.to(device_);
    read_.tensors[layer + ".bias"] = convolution.bias;
  }
  return convolution;
}

Safetensors LayerReader::finish() {
  for (const auto& [name, tensor] : weights_.tensors) {
    check(read_.contains(name), weights_.source, ": tensor '", name, "' does not belong to this architecture");
  }
  read_.metadata = weights_.metadata;
  read_.source = weights_.source;
  return std::move(read_);
}

void check_chain(const Safetensors& weights, const std::vector<Convolution>& layers) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const at::Tensor& before = layers[i == 0 ? 0 : i - 1].weight;
    const at::Tensor& weight = layers[i].weight;
    check((i == 0 || weight.size(1) == before.size(0)) && weight.dim() == before.dim() &&
              weight.scalar_type() == before.scalar_type() && weight.size(-1) % 2 == 1,
          weights.source, ": layer ", i, " with weight ", weight.scalar_type(), " ", weight.sizes(),
          " does not follow one with ", before.scalar_type(), " ", before.sizes());
  }
}

at::Tensor convolve(const at::Tensor& x, const Convolution& layer, Padding padding) {
  const auto dims = static_cast<std::size_t>(layer.weight.dim() - 2);
  const std::int64_t margin = layer.weight.size(-1) / 2;
  const bool circular = padding == Padding::circular && margin > 0;
  const std::vector<std::int64_t> ones(dims, 1);
  const std::vector<std::int64_t> zeros(dims, 0);
  const std::vector<std::int64_t> margins(dims, circular ? 0 : margin);
  return at::convolution(circular ? pad_circular(x, margin) : x, layer.weight, layer.bias, ones, margins, ones,
                         /*transposed=*/false, zeros, /*groups=*/1);
}

at::Tensor convolve_chain(at::Tensor x, const std::vector<Convolution>& layers, Padding padding) {
  x = channels_last(x);
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) {
    x = convolve(x, layers[i], padding).relu_();
  }
  return convolve(x, layers.back(), padding);
}

at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(channels_last_format(x)); }

at::Tensor pad_to_multiple(const at::Tensor& x, std::int64_t multiple) {
  at::Tensor padded = x;
  for (std::int64_t d = 2; d < x.dim(); ++d) {
    const std::int64_t missing = (multiple - x.size(d) % multiple) % multiple;
    if (missing > 0) {
      std::vector<std::int64_t> sizes = padded.sizes().vec();
      sizes[static_cast<std::size_t>(d)] = missing;
      padded = at::cat({padded, padded.narrow(d, x.size(d) - 1, 1).expand(sizes)}, d);
    }
  }
  return padded;
}

at::Tensor crop_like(at::Tensor x, const at::Tensor& like) {
  for (std::int64_t d = 2; d < x.dim(); ++d) {
    x = x.narrow(d, 0, like.size(d));
  }
  return x;
}

at::Tensor checked_image(const char* denoiser, const at::Tensor& x, const at::Tensor& weight) {
  check(x.defined() && at::isFloatingType(x.scalar_type()) && x.dim() == weight.dim() && x.numel() > 0, denoiser,
        ": x must be a real image of shape (B, C, ", weight.dim() == 5 ? "D, H, W" : "H, W", "), got ",
        x.defined() ? c10::str(x.scalar_type(), " ", x.sizes()) : "an undefined tensor");
  check(x.device() == weight.device(), denoiser, ": x must be on ", weight.device(), " as the weights are, got ",
        x.device());
  return x.to(weight.scalar_type());
}

at::Tensor checked_sigma(const char* denoiser, const at::Tensor& sigma, const at::Tensor& x) {
  check(sigma.defined(), denoiser, ": sigma must be a tensor, got an undefined one");
  std::vector<std::int64_t> per_item(static_cast<std::size_t>(x.dim()), 1);
  per_item[0] = x.size(0);
  std::vector<std::int64_t> map = x.sizes().vec();
  map[1] = 1;
  const bool one_each = sigma.dim() == 1 && sigma.size(0) == x.size(0);
  check(sigma.dim() == 0 || one_each || sigma.sizes() == per_item || sigma.sizes() == map, denoiser,
        ": sigma must have shape (), (B), (B, 1, …, 1) or ", at::IntArrayRef(map), ", got ", sigma.sizes());
  const at::Tensor level = sigma.to(x.options());
  return one_each ? level.view(per_item) : level;
}

}  // namespace adjoin
