// SPDX-License-Identifier: BSD-3-Clause
// Masks drawn at random, and noise that spares missing pixels.
#include "adjoin/operators/inpainting.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

at::Tensor random_mask(at::IntArrayRef shape, double probability, std::uint64_t seed, bool pixelwise) {
  check(!shape.empty(), "Inpainting: shape must have at least one axis");
  check(probability >= 0.0 && probability <= 1.0, "Inpainting: probability must be in [0, 1], got ", probability);
  std::vector<std::int64_t> drawn = shape.vec();
  if (pixelwise && drawn.size() > 2) {
    drawn[drawn.size() - 3] = 1;
  }
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  return (at::rand(drawn, generator, at::kDouble) < probability).to(at::kFloat).expand(shape);
}

}  // namespace

Inpainting::Inpainting(const at::Tensor& mask) : Diagonal("Inpainting", "mask", mask) {}

Inpainting::Inpainting(at::IntArrayRef shape, double probability, std::uint64_t seed, bool pixelwise)
    : Inpainting(random_mask(shape, probability, seed, pixelwise)) {}

at::Tensor Inpainting::noise_impl(const at::Tensor& y, const Params& params) const {
  return Physics::noise_impl(y, params) * (weights_for(y, params) != 0);
}

}  // namespace adjoin
