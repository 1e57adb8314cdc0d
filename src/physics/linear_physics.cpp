// SPDX-License-Identifier: BSD-3-Clause
// Adjoints that are given or found by differentiation, and what follows from them: normal operators, norms,
// pseudoinverses.
#include "adjoin/physics/linear_physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/modes.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/adjointness.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/least_squares_problem.hpp"
#include "adjoin/physics/sqnorm.hpp"

namespace adjoin {

namespace {

constexpr std::array<std::pair<Solver, std::string_view>, 5> solver_names = {{{Solver::CG, "CG"},
                                                                              {Solver::LSQR, "LSQR"},
                                                                              {Solver::LSMR, "LSMR"},
                                                                              {Solver::BiCGStab, "BiCGStab"},
                                                                              {Solver::MINRES, "MINRES"}}};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char p, unsigned char q) { return std::tolower(p) == std::tolower(q); });
}

// An operator, whose owner it keeps where that shares it, and the parameters of a call.
struct Kept {
  const LinearPhysics& physics;
  std::shared_ptr<const LinearPhysics> owner;
  Params params;
};

// The least-squares problem of A among images like `image`; one known beforehand spares an application of the adjoint.
LeastSquaresProblem<at::Tensor> least_squares_problem(const LinearPhysics& physics, const at::Tensor& y,
                                                      at::Tensor image, const DaggerOptions& options) {
  const Params& params = options.params;
  const TensorList roots = roots_of(options.weights);
  check(roots.size() <= 1, "weights must hold one tensor, got ", roots.size());
  const auto whitened = [roots](const at::Tensor& v) { return roots.empty() ? v : weighed(v, roots[0]); };
  at::Tensor A_adjoint_y;
  if (!image.defined()) {
    A_adjoint_y = physics.A_adjoint(whitened(whitened(primal_of(y).detach())), params);
    image = A_adjoint_y.detach();
  }
  const Kept kept{physics, physics.weak_from_this().lock(), params};
  const auto A = [kept, whitened](const at::Tensor& x) { return whitened(kept.physics.A(x, kept.params)); };
  const auto A_adjoint = [kept, whitened, like = image.detach()](const at::Tensor& v) {
    return in_space_of(like, kept.physics.A_adjoint_for(whitened(v), like, kept.params));
  };
  const auto normal = [kept](const at::Tensor& x) { return in_space_of(x, kept.physics.A_adjoint_A(x, kept.params)); };
  LeastSquaresProblem<at::Tensor> problem{.A = A,
                                          .A_adjoint = A_adjoint,
                                          .A_adjoint_A = normal,
                                          .y = whitened(y),
                                          .items = common_items(image, y),
                                          .A_adjoint_y = A_adjoint_y};
  if (!roots.empty()) {
    problem.A_adjoint_A = [A, A_adjoint](const at::Tensor& x) { return A_adjoint(A(x)); };
  }
  return problem;
}

}  // namespace

at::Tensor in_space_of(const at::Tensor& like, const at::Tensor& image) {
  return image.is_complex() && !like.is_complex() ? at::real(image).contiguous() : image;
}

Solver solver_from_string(std::string_view name) {
  for (const auto& [solver, known] : solver_names) {
    if (equal_ignoring_case(name, known)) {
      return solver;
    }
  }
  throw InvalidArgument(c10::str("solver: must be CG, LSQR, LSMR, BiCGStab or MINRES, got '", name, "'"));
}

std::string_view to_string(Solver solver) { return solver_names[static_cast<std::size_t>(solver)].second; }

at::Tensor LinearPhysics::A_adjoint(const at::Tensor& y, const Params& params) const {
  check_tensor("A_adjoint", "y", y);
  check_params("A_adjoint", params);
  count_A_adjoint();
  return without_autocast([&](const at::Tensor& v) { return adjoint_from(v, params); }, y);
}

at::Tensor LinearPhysics::adjoint_if_known(const LinearPhysics& other, const at::Tensor& y, const Params& params) {
  other.count_A_adjoint();
  return other.adjoint_or_undefined(y, params);
}

at::Tensor LinearPhysics::adjoint_or_undefined(const at::Tensor& y, const Params& params) const {
  const at::Tensor adjoint = A_adjoint_impl(y, params);
  if (adjoint.defined()) {
    return adjoint;
  }
  const at::Tensor image = image_like(y);
  return image.defined() ? A_adjoint_for_impl(y, image, params) : image;
}

at::Tensor LinearPhysics::adjoint_from(const at::Tensor& y, const Params& params) const {
  const at::Tensor adjoint = adjoint_or_undefined(y, params);
  if (!adjoint.defined()) [[unlikely]] {
    const std::string missing = missing_image();
    throw InvalidArgument(c10::str(
        name(), "::A_adjoint: ",
        missing.empty() ? "automatic differentiation needs the image's shape: override image_like or A_adjoint_impl"
                        : missing,
        "; A_adjoint_A, A_vjp, A_adjoint_for, and A_dagger with init, are given an image"));
  }
  return adjoint;
}

at::Tensor LinearPhysics::A_adjoint_for(const at::Tensor& y, const at::Tensor& image, const Params& params) const {
  check_tensor("A_adjoint_for", "y", y);
  check_tensor("A_adjoint_for", "image", image);
  check_params("A_adjoint_for", params);
  count_A_adjoint();
  return without_autocast(
      [&](const at::Tensor& v, const at::Tensor& like) { return A_adjoint_for_impl(v, like, params); }, y, image);
}

at::Tensor LinearPhysics::A_adjoint_A(const at::Tensor& x, const Params& params) const {
  check_tensor("A_adjoint_A", "x", x);
  check_params("A_adjoint_A", params);
  count_A();
  count_A_adjoint();
  return without_autocast([&](const at::Tensor& image) { return A_adjoint_A_impl(image, params); }, x);
}

at::Tensor LinearPhysics::A_A_adjoint(const at::Tensor& y, const Params& params) const {
  check_tensor("A_A_adjoint", "y", y);
  check_params("A_A_adjoint", params);
  count_A();
  count_A_adjoint();
  return without_autocast([&](const at::Tensor& v) { return A_A_adjoint_impl(v, params); }, y);
}

at::Tensor LinearPhysics::A_dagger(const at::Tensor& y, const DaggerOptions& options) const {
  check_tensor("A_dagger", "y", y);
  check_params("A_dagger", options.params);
  check_options(options);
  if (!options.init && options.weights.empty()) {
    const auto closed = [&](const at::Tensor& v) { return A_dagger_impl(v, options.params); };
    if (at::Tensor x = without_autocast(closed, y); x.defined()) {
      if (options.info != nullptr) {
        *options.info = {};
      }
      return x;
    }
  }
  const at::Tensor image = options.init ? *options.init : image_like(y);
  return solve_least_squares(least_squares_problem(*this, y, image, options), options);
}

at::Tensor LinearPhysics::prox_l2(const at::Tensor& z, const at::Tensor& y, const Gamma& gamma,
                                  const DaggerOptions& options) const {
  check_tensor("prox_l2", "z", z);
  check_tensor("prox_l2", "y", y);
  check_params("prox_l2", options.params);
  return solve_prox_l2(least_squares_problem(*this, y, z, options), z, gamma, options);
}

double LinearPhysics::compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options) const {
  check_tensor("compute_sqnorm", "x0", x0);
  check_params("compute_sqnorm", options.params);
  check_options(options);
  if (const auto exact = sqnorm_impl(x0, options.params)) {
    return *exact;
  }
  return estimate_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, options.params)); }, x0,
                         options);
}

SqnormBounds LinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_tensor("sqnorm_bounds", "x0", x0);
  check_params("sqnorm_bounds", options.params);
  check_options(options);
  if (const auto exact = sqnorm_impl(x0, options.params)) {
    return {*exact, *exact};
  }
  return bound_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, options.params)); }, x0, options);
}

double LinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed, const Params& params) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor Au = A(u, params);
  const at::Tensor v = adjoin::randn_like(Au, seed);
  return adjoint_mismatch(u, Au, v, A_adjoint_for(v, u, params));
}

std::unique_ptr<FusedStack> LinearPhysics::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> /*operators*/) const {
  return nullptr;
}

std::optional<SliceWise> LinearPhysics::on_slices(at::IntArrayRef /*image*/, std::int64_t /*axis*/,
                                                  std::int64_t /*begin*/, std::int64_t /*end*/) const {
  return std::nullopt;
}

at::Tensor LinearPhysics::image_like(const at::Tensor& /*y*/) const { return {}; }

at::Tensor LinearPhysics::A_adjoint_impl(const at::Tensor& /*y*/, const Params& /*params*/) const { return {}; }

at::Tensor LinearPhysics::A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const {
  const at::Tensor adjoint = A_adjoint_impl(y, params);
  return adjoint.defined() ? adjoint : Physics::A_vjp_impl(image, y, params);
}

at::Tensor LinearPhysics::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  return A_adjoint_for_impl(A_impl(x, params), x, params);
}

at::Tensor LinearPhysics::A_A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return A_impl(adjoint_from(y, params), params);
}

at::Tensor LinearPhysics::A_dagger_impl(const at::Tensor& /*y*/, const Params& /*params*/) const { return {}; }

std::optional<double> LinearPhysics::sqnorm_impl(const at::Tensor& /*x0*/, const Params& /*params*/) const {
  return {};
}

at::Tensor LinearPhysics::A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const {
  return in_space_of(x, A_adjoint_for_impl(v, x, params));
}

}  // namespace adjoin
