// SPDX-License-Identifier: BSD-3-Clause
// Angles of several operators on images of one size, computed together.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/physics/fused_of.hpp"
#include "kernels/arrays.hpp"
#include "operators/tomography/beam.hpp"

namespace adjoin {

using parallel_beam::Measured;
using parallel_beam::Size;

class FusedAngles final : public FusedOf<Tomography> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    const auto [height, width] = (*this)[0].image_size_;
    if (!takes(x) || !tomography::has_kernels(x) || (x.dim() != 4 && x.dim() != 5) || x.size(-2) != height ||
        x.size(-1) != width) {
      return {};
    }
    const at::Tensor source = x.contiguous();
    TensorList y;
    y.reserve(size());
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<Measured<T>> measured;
      for (const auto& op : operators()) {
        const Beam& beam = *op->line_integrals_;
        at::Tensor sinogram = fit_or_empty(out, y.size(), beam.result_sizes(x, Beam::Direction::project), x.options());
        tomography::append_measured<T>(beam.views(), static_cast<T*>(sinogram.data_ptr()), measured);
        y.push_back(std::move(sinogram));
      }
      tomography::project<T>(source, image(), measured);
    });
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    if (!takes(y) || !tomography::has_kernels(y[0]) || y[0].dim() < 3) {
      return {};
    }
    const std::vector<std::int64_t> sizes = tomography::with_last_two(y[0], image().height, image().width);
    TensorList sources;
    sources.reserve(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const at::Tensor& own = y[i];
      const Tomography& op = (*this)[i];
      if (own.scalar_type() != y[0].scalar_type() || own.device() != y[0].device() || own.dim() != y[0].dim() ||
          (own.dim() != 4 && own.dim() != 5) ||
          tomography::with_last_two(own, image().height, image().width) != sizes ||
          own.size(-2) != static_cast<std::int64_t>(op.angles_.size()) || own.size(-1) != op.options_.detectors) {
        return {};
      }
      sources.push_back(own.contiguous());
    }
    const at::Tensor x = fits(out, sizes, y[0].options()) ? out : at::empty(sizes, y[0].options());
    kernels::with_precision_of(x.scalar_type(), [&]<class T>(T) {
      std::vector<Measured<const T>> measured;
      for (std::size_t i = 0; i < y.size(); ++i) {
        tomography::append_measured<const T>((*this)[i].line_integrals_->views(),
                                             static_cast<const T*>(sources[i].const_data_ptr()), measured);
      }
      tomography::backproject<T>(measured, x, image());
    });
    return x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const TensorList y = A(x, {});
    return y.empty() ? at::Tensor() : A_adjoint(y, out);
  }

 private:
  using Beam = Tomography::Beam;

  Size image() const { return (*this)[0].line_integrals_->image(); }
};

std::unique_ptr<FusedStack> Tomography::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto angles = all_of_class<Tomography>(operators);
  const auto alike = [&](const auto& one) { return one->image_size_ == image_size_; };
  return angles.empty() || !std::ranges::all_of(angles, alike) ? nullptr
                                                               : std::make_unique<FusedAngles>(std::move(angles));
}

}  // namespace adjoin
