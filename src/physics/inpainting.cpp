#include "adjoin/physics/inpainting.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ExpandUtils.h>

#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {
namespace {

at::Tensor checked(const at::Tensor& mask) {
  check(mask.defined() && mask.numel() > 0, "Inpainting: mask must be a tensor with entries");
  return mask;
}

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

Inpainting::Inpainting(const at::Tensor& mask) : mask_(checked(mask).detach()) {}

Inpainting::Inpainting(at::IntArrayRef shape, double probability, std::uint64_t seed, bool pixelwise)
    : mask_(random_mask(shape, probability, seed, pixelwise)) {}

void Inpainting::update_impl(const Params& params) {
  if (params.contains("mask")) {
    mask_ = checked(params.get<at::Tensor>("mask")).detach();
    converted_.reset();
  }
}

at::Tensor Inpainting::mask_for(const at::Tensor& like, const Params& params) const {
  const bool given = !params.empty() && params.contains("mask");
  const at::Tensor mask = given ? checked(params.get<at::Tensor>("mask")) : mask_;
  check(at::is_expandable_to(mask.sizes(), like.sizes()), "Inpainting: mask must broadcast to the image ", like.sizes(),
        ", got ", mask.sizes());
  check(like.is_complex() || !mask.is_complex(), "Inpainting: a complex mask needs a complex image, got ",
        like.scalar_type());
  if (given) {
    return mask.to(like.device(), like.scalar_type());
  }
  if (!converted_.defined() || converted_.scalar_type() != like.scalar_type() || converted_.device() != like.device()) {
    converted_ = mask.to(like.device(), like.scalar_type());
  }
  return converted_;
}

at::Tensor Inpainting::A_impl(const at::Tensor& x, const Params& params) const { return x * mask_for(x, params); }

at::Tensor Inpainting::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return y * mask_for(y, params).conj();
}

at::Tensor Inpainting::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor mask = mask_for(x, params);
  return x * mask * mask.conj();
}

at::Tensor Inpainting::A_A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return A_adjoint_A_impl(y, params);
}

at::Tensor Inpainting::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor mask = mask_for(y, params);
  return y * at::where(mask == 0, at::zeros_like(mask), mask.reciprocal());
}

std::optional<double> Inpainting::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  const double largest = mask_for(x0, params).abs().max().item<double>();
  return largest * largest;
}

at::Tensor Inpainting::noise_impl(const at::Tensor& y, const Params& params) const {
  return Physics::noise_impl(y, params) * (mask_for(y, params) != 0);
}

at::Tensor Inpainting::image_like(const at::Tensor& y) const { return at::zeros_like(y); }

}  // namespace adjoin
