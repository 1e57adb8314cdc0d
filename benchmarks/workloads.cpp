// SPDX-License-Identifier: BSD-3-Clause
// The stacks that are timed: tiny ones, for the cost of a call, blurs, parallel MRI, tomography, and one of unequal
// operators.
#include "workloads.hpp"

#include <ATen/ATen.h>

#include <array>
#include <memory>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/operators/diagonal.hpp"
#include "adjoin/operators/function.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/physics/algebra.hpp"

namespace adjoin::benchmark {

namespace {

class Scaling : public LinearPhysics {
 public:
  explicit Scaling(double factor) : factor_(factor) {}

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return x * factor_; }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const override { return y * factor_; }

 private:
  double factor_;
};

template <class Operator>
Workload scalings(const char* name) {
  return {.name = name,
          .num_operators = 8,
          .factory = [](auto index, auto /*device*/, const auto& /*shared*/) -> LinearPhysicsPtr {
            return std::make_shared<Operator>(1.0 + 0.1 * static_cast<double>(index));
          },
          .x = at::rand({1, 1, 16, 16}),
          .solves = {{"cg20", Solver::CG, 20}, {"lsqr20", Solver::LSQR, 20}},
          .repetitions = 200,
          .solve_repetitions = 20};
}

LinearPhysicsPtr gaussian_blur(double index) {
  return std::make_shared<Blur>(gaussian_kernel({0.5 + 0.3 * index, 0.7 + 0.2 * index}, 20.0 * index),
                                BlurOptions{.padding = Padding::Circular});
}

}  // namespace

Workload tiny() { return scalings<Diagonal>("tiny"); }

Workload own() { return scalings<Scaling>("own"); }

Workload blur() {
  return {.name = "blur",
          .num_operators = 8,
          .factory = [](auto index, auto /*device*/,
                        const auto& /*shared*/) { return gaussian_blur(static_cast<double>(index)); },
          .x = at::rand({1, 3, 512, 512}),
          .solves = {{"cg10", Solver::CG, 10}, {"lsqr10", Solver::LSQR, 10}},
          .norm_iterations = 20};
}

Workload mri() {
  at::Tensor maps = at::randn({1, 12, 256, 256}, at::kComplexFloat);
  maps /= at::linalg_vector_norm(maps, 2, {1}, /*keepdim=*/true);
  const at::Tensor mask = at::rand({1, 1, 256, 256}).lt(0.3).to(at::kFloat);
  return {.name = "mri",
          .num_operators = 4,
          .factory = [maps, mask](auto index, auto /*device*/, const auto& /*shared*/) -> LinearPhysicsPtr {
            return std::make_shared<MultiCoilMRI>(mask, maps.narrow(1, 3 * index, 3));
          },
          .x = at::randn({1, 2, 256, 256}),
          .solves = {{"cg20", Solver::CG, 20}},
          .repetitions = 20,
          .solve_repetitions = 5};
}

Workload tomography() {
  constexpr std::int64_t angles = 77;
  return {.name = "tomography",
          .num_operators = angles,
          .factory = [](auto index, auto /*device*/, const auto& /*shared*/) -> LinearPhysicsPtr {
            const double degrees = -76.0 + 2.0 * static_cast<double>(index);
            return std::make_shared<Tomography>(at::full({1}, degrees, at::kDouble),
                                                std::array<std::int64_t, 2>{256, 256},
                                                TomographyOptions{.detectors = 256});
          },
          .x = at::rand({1, 1, 256, 256}),
          .solves = {{"cg10", Solver::CG, 10}},
          .repetitions = 20,
          .solve_repetitions = 5};
}

Workload unequal() {
  constexpr std::int64_t width = 1024;
  constexpr std::array<std::int64_t, 10> sizes = {64, 1024, 128, 896, 192, 768, 256, 640, 384, 512};
  return {.name = "unequal",
          .num_operators = sizes.size(),
          .factory =
              [sizes](auto index, auto /*device*/, const auto& /*shared*/) {
                const std::int64_t size = sizes.at(static_cast<std::size_t>(index));
                const std::int64_t border = (width - size) / 2;
                const auto crop = [border, size](const at::Tensor& x) {
                  return x.narrow(2, border, size).narrow(3, border, size).contiguous();
                };
                const auto pad = [border](const at::Tensor& y) {
                  return at::constant_pad_nd(y, {border, border, border, border});
                };
                return gaussian_blur(2.0) * make_function(crop, pad);
              },
          .x = at::rand({1, 1, width, width}),
          .repetitions = 9};
}

}  // namespace adjoin::benchmark
