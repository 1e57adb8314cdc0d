// Images with missing pixels.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <optional>
#include <string>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// y = m · x, entry by entry, with a mask m that is broadcast to the shape of x; usually of zeros and ones, but any
/// weights of a real, integer, boolean or (for complex x) complex dtype will do. It is converted to the dtype and
/// device of x. Parameter "mask". Throws InvalidArgument when the mask cannot be broadcast to x without enlarging it.
class Inpainting final : public LinearPhysics {
 public:
  explicit Inpainting(const at::Tensor& mask);
  /// A mask of `shape` = (C, H, W), or any other, whose pixels are kept with `probability` in [0, 1], drawn with `seed`
  /// on the CPU; the channels of a pixel are kept or lost together when `pixelwise`.
  Inpainting(at::IntArrayRef shape, double probability, std::uint64_t seed, bool pixelwise = true);

  std::string name() const override { return "Inpainting"; }
  const at::Tensor& mask() const { return mask_; }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override;
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override;
  /// y / m where m is not zero, and zero elsewhere.
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override;
  /// max |m|².
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override;
  /// Missing pixels stay free of noise.
  at::Tensor noise_impl(const at::Tensor& y, const Params& params) const override;
  at::Tensor image_like(const at::Tensor& y) const override;
  void update_impl(const Params& params) override;

 private:
  /// The mask in the dtype and on the device of `like`; that of the own one is kept.
  at::Tensor mask_for(const at::Tensor& like, const Params& params) const;

  at::Tensor mask_;
  /// `mask_` as the last call needed it.
  mutable at::Tensor converted_;
};

}  // namespace adjoin
