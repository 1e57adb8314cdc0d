#include "adjoin/physics/linear_physics.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "adjoin/core/errors.hpp"
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

// The least-squares problem of A; an image known beforehand spares an application of the adjoint.
LeastSquaresProblem<at::Tensor> least_squares_problem(const LinearPhysics& physics, const at::Tensor& y,
                                                      const at::Tensor& image, const Params& params) {
  LeastSquaresProblem<at::Tensor> problem{
      .A = [&](const at::Tensor& x) { return physics.A(x, params); },
      .A_adjoint = [&](const at::Tensor& v) { return physics.A_adjoint(v, params); },
      .A_adjoint_A = [&](const at::Tensor& x) { return physics.A_adjoint_A(x, params); },
      .y = y,
      .items = 1,
      .A_adjoint_y = {}};
  if (!image.defined()) {
    const c10::NoGradGuard no_grad;
    problem.A_adjoint_y = physics.A_adjoint(y, params);
  }
  problem.items = common_items(image.defined() ? image : problem.A_adjoint_y, y);
  return problem;
}

}  // namespace

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
  ++calls_.A_adjoint;
  return A_adjoint_impl(y, params);
}

at::Tensor LinearPhysics::A_adjoint_A(const at::Tensor& x, const Params& params) const {
  check_tensor("A_adjoint_A", "x", x);
  ++calls_.A;
  ++calls_.A_adjoint;
  return A_adjoint_A_impl(x, params);
}

at::Tensor LinearPhysics::A_A_adjoint(const at::Tensor& y, const Params& params) const {
  check_tensor("A_A_adjoint", "y", y);
  ++calls_.A;
  ++calls_.A_adjoint;
  return A_A_adjoint_impl(y, params);
}

at::Tensor LinearPhysics::A_dagger(const at::Tensor& y, const DaggerOptions& options) const {
  check_tensor("A_dagger", "y", y);
  check_options(options);
  if (!options.init) {
    if (at::Tensor x = A_dagger_impl(y, options.params); x.defined()) {
      return x;
    }
  }
  const at::Tensor image = options.init ? *options.init : image_like(y);
  return solve_least_squares(least_squares_problem(*this, y, image, options.params), options);
}

at::Tensor LinearPhysics::prox_l2(const at::Tensor& z, const at::Tensor& y, double gamma,
                                  const DaggerOptions& options) const {
  check_tensor("prox_l2", "z", z);
  check_tensor("prox_l2", "y", y);
  return solve_prox_l2(least_squares_problem(*this, y, z, options.params), z, gamma, options);
}

double LinearPhysics::compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options) const {
  check_tensor("compute_sqnorm", "x0", x0);
  check_options(options);
  if (const auto exact = sqnorm_impl(x0, options.params)) {
    return *exact;
  }
  return estimate_sqnorm([&](const at::Tensor& x) { return A_adjoint_A(x, options.params); }, x0, options);
}

SqnormBounds LinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_tensor("sqnorm_bounds", "x0", x0);
  check_options(options);
  if (const auto exact = sqnorm_impl(x0, options.params)) {
    return {*exact, *exact};
  }
  return bound_sqnorm([&](const at::Tensor& x) { return A_adjoint_A(x, options.params); }, x0, options);
}

double LinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed, const Params& params) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor Au = A(u, params);
  const at::Tensor v = adjoin::randn_like(Au, seed);
  return adjoint_mismatch(u, Au, v, A_adjoint(v, params));
}

std::unique_ptr<FusedStack> LinearPhysics::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> /*operators*/) const {
  return nullptr;
}

at::Tensor LinearPhysics::image_like(const at::Tensor& /*y*/) const { return {}; }

at::Tensor LinearPhysics::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor image = image_like(y);
  if (!image.defined()) {
    throw InvalidArgument(
        c10::str(name(), "::A_adjoint: automatic differentiation needs the image's shape: give it, or the adjoint"));
  }
  return Physics::A_vjp_impl(image, y, params);
}

at::Tensor LinearPhysics::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  return A_adjoint_impl(A_impl(x, params), params);
}

at::Tensor LinearPhysics::A_A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return A_impl(A_adjoint_impl(y, params), params);
}

at::Tensor LinearPhysics::A_dagger_impl(const at::Tensor& /*y*/, const Params& /*params*/) const { return {}; }

std::optional<double> LinearPhysics::sqnorm_impl(const at::Tensor& /*x0*/, const Params& /*params*/) const {
  return {};
}

at::Tensor LinearPhysics::A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const {
  const at::Tensor image = A_adjoint_impl(v, params);
  return image.is_complex() && !x.is_complex() ? at::real(image) : image;
}

}  // namespace adjoin
