// SPDX-License-Identifier: BSD-3-Clause
// y = x moved by some pixels, circularly: an operator of one's own, its fused form and its binding.
#include <ATen/ATen.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "adjoin/physics/fused_of.hpp"

class Shift : public adjoin::LinearPhysics {
 public:
  Shift(std::int64_t rows, std::int64_t columns) : rows_(rows), columns_(columns) {}
  std::string name() const override { return "Shift"; }
  std::unique_ptr<adjoin::FusedStack> fuse(
      std::span<const std::shared_ptr<const LinearPhysics>> operators) const override;

 protected:
  at::Tensor A_impl(const at::Tensor& x, const adjoin::Params& /*params*/) const override {
    return x.roll({rows_, columns_}, {-2, -1});
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const adjoin::Params& /*params*/) const override {
    return y.roll({-rows_, -columns_}, {-2, -1});
  }

 private:
  std::int64_t rows_, columns_;
};

/// A shift keeps inner products, so that the normal operator of n of them is n.
class FusedShifts : public adjoin::FusedOf<Shift> {
 public:
  using FusedOf::FusedOf;
  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    at::Tensor product = adjoin::fit_or_empty(out, x.sizes(), x.options());
    return at::mul_out(product, x, at::scalar_tensor(static_cast<double>(size()), x.options()));
  }
};

std::unique_ptr<adjoin::FusedStack> Shift::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto shifts = adjoin::all_of_class<Shift>(operators);
  return shifts.empty() ? nullptr : std::make_unique<FusedShifts>(std::move(shifts));
}

PYBIND11_MODULE(shift, module) {
  pybind11::module_::import("adjoin");  // which has the class that Shift is derived from
  pybind11::class_<Shift, adjoin::LinearPhysics, std::shared_ptr<Shift>>(
      module, "Shift", "y = x moved by so many rows and columns, circularly, for images (B, C, H, W) of any dtype.")
      .def(pybind11::init<std::int64_t, std::int64_t>(), pybind11::arg("rows"), pybind11::arg("columns"));
}
