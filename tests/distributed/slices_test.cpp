// SPDX-License-Identifier: BSD-3-Clause
// Ranks in a grid of slices and operators: slabs along the slices need no message, and sums go within a group.
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <memory>
#include <stdexcept>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "distributed/support.hpp"
#include "distributed/ways.hpp"

namespace adjoin::test::slices_test {
namespace {

using Sizes = std::vector<std::int64_t>;

class Slices : public testing::TestWithParam<Way> {
 protected:
  DistributedContext context{GetParam().options};
  // What one process computes.
  DistributedContext alone{{.engine = Engine::single}};

  // All grids of the ranks.
  std::vector<SliceGrid> grids(const Sizes& image, std::int64_t axis) const {
    std::vector<SliceGrid> all;
    for (int slices = 1; slices <= context.size(); ++slices) {
      if (context.size() % slices == 0) {
        all.push_back({.image = image, .axis = axis, .slices = slices, .operators = context.size() / slices});
      }
    }
    return all;
  }
  DistributedStackedLinearPhysics on_grid(const SliceGrid& grid, std::int64_t n, const PhysicsFactory& factory,
                                          Reduction reduction = Reduction::sum) {
    return {context, n, factory, {.reduction = reduction, .grid = grid}};
  }
  // The grid of two groups where the number of ranks is even.
  SliceGrid two_groups(const Sizes& image) const {
    const int slices = context.size() % 2 == 0 ? 2 : 1;
    return {.image = image, .slices = slices, .operators = context.size() / slices};
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, Slices, testing::ValuesIn(ways()), name_of);

// 77 angles in 7 operators, on images of 8 × 9.
constexpr std::int64_t n_angles = 7;
PhysicsPtr angles(std::int64_t index, at::Device, const Params&) {
  const at::Tensor degrees = at::arange(77, at::kDouble) * (180.0 / 77.0);
  return std::make_shared<Tomography>(degrees.slice(0, index, 77, n_angles), std::array<std::int64_t, 2>{8, 9});
}

PhysicsPtr blurs(std::int64_t index, at::Device, const Params&) {
  const double sigma = 1.0 + 0.25 * static_cast<double>(index);
  const Padding padding = index % 2 == 0 ? Padding::Valid : Padding::Circular;
  return std::make_shared<Blur>(gaussian_kernel({sigma, sigma + 0.5}, 10.0, {.size = {5, 5}}),
                                BlurOptions{.padding = padding});
}

PhysicsPtr circular_blurs(std::int64_t index, at::Device, const Params&) {
  const double sigma = 1.0 + 0.25 * static_cast<double>(index);
  return std::make_shared<Blur>(gaussian_kernel({sigma, sigma + 0.5}, 10.0, {.size = {5, 5}}),
                                BlurOptions{.padding = Padding::Circular});
}

// Coils whose maps and masks are others on each of 5 slices.
PhysicsPtr coils(std::int64_t index, at::Device, const Params&) {
  const auto seed = static_cast<std::uint64_t>(index);
  return std::make_shared<MultiCoilMRI>(random_tensor({5, 1, 8, 9}, at::kDouble, 40).gt(-0.5).to(at::kDouble),
                                        random_tensor({5, 2, 8, 9}, at::kComplexDouble, seed));
}

// A filter for each of 5 slices.
PhysicsPtr filters(std::int64_t index, at::Device, const Params&) {
  return std::make_shared<Blur>(random_tensor({5, 1, 3, 3}, at::kDouble, static_cast<std::uint64_t>(index)));
}

struct Case {
  std::string name;
  std::int64_t n;
  PhysicsFactory factory;
  Sizes image;
  std::int64_t axis;
  at::ScalarType dtype;
  std::vector<Solver> solvers = {Solver::CG, Solver::LSQR};
  bool in_all_ways = false;  // solves of the others are compared in one way alone, as they take their time
};

std::vector<Case> cases() {
  const std::vector<Solver> all = {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab, Solver::MINRES};
  return {{"tomography", n_angles, angles, {16, 1, 8, 9}, 0, at::kDouble, all, true},
          {"tomography of a volume", n_angles, angles, {2, 1, 16, 8, 9}, 2, at::kDouble, all},
          {"tomography of channels", n_angles, angles, {1, 5, 8, 9}, -3, at::kFloat},
          {"fewer slices than ranks", n_angles, angles, {1, 1, 8, 9}, 0, at::kDouble},
          {"blurs", 3, blurs, {5, 2, 12, 13}, 0, at::kDouble},
          {"circular blurs", 5, circular_blurs, {3, 1, 12, 13}, 0, at::kDouble},
          {"fewer operators than ranks", 1, circular_blurs, {2, 3, 12, 13}, 1, at::kDouble},
          {"coils of each slice", 3, coils, {5, 1, 8, 9}, 0, at::kComplexDouble},
          {"filters of each slice", 3, filters, {5, 2, 8, 9}, 0, at::kDouble}};
}

TEST_P(Slices, CallsEqualThoseOfOneProcess) {
  for (const Case& one : cases()) {
    const double bound = tolerance(one.dtype);
    for (const Reduction reduction :
         one.image[0] == 16 ? std::vector{Reduction::sum, Reduction::mean} : std::vector{Reduction::sum}) {
      const DistributedStackedLinearPhysics whole(alone, one.n, one.factory, {.reduction = reduction});
      const at::Tensor x = random_tensor(one.image, one.dtype, 7);
      const TensorList y = whole.A(x);
      for (const SliceGrid& grid : grids(one.image, one.axis)) {
        const std::string name = one.name + ", " + grid.text();
        const DistributedStackedLinearPhysics stack = on_grid(grid, one.n, one.factory, reduction);
        ASSERT_TRUE(stack.has_grid());
        EXPECT_EQ(stack.group().size(), grid.operators);
        const ShardedImage slab = stack.shard_image(x);
        EXPECT_EQ(slab.space->ranks(), grid.slices);
        EXPECT_TRUE(at::equal(stack.gather(slab), x)) << name;
        for (int call = 0; call < 2; ++call) {
          expect_near(stack.A(slab), y, bound, name);
          const ShardedTensorList own = stack.A_sharded(slab);
          expect_near(own.local, stack.shard(y).local, bound, name);
          expect_near(stack.gather(own), y, bound, name);
          const at::Tensor adjoint = whole.A_adjoint(y);
          expect_near(stack.gather(stack.A_adjoint_sharded(y)), adjoint, bound, name);
          expect_near(stack.gather(stack.A_adjoint_sharded(own, grid.axis)), adjoint, bound, name);
          expect_near(stack.gather(stack.A_adjoint_sharded(own.local)), adjoint, bound, name);
          expect_near(stack.gather(stack.A_adjoint_A(slab)), whole.A_adjoint_A(x), bound, name);
        }
        EXPECT_NEAR(adjoin::norm(slab), adjoin::norm(x), 1e-12 * adjoin::norm(x));
      }
    }
  }
}

TEST_P(Slices, SolversEqualThoseOfOneProcess) {
  for (const Case& one : cases()) {
    if (GetParam().name != "automatic" && !one.in_all_ways) {
      continue;
    }
    const double bound = c10::toRealValueType(one.dtype) == at::kDouble ? 1e-11 : 1e-4;
    const DistributedStackedLinearPhysics whole(alone, one.n, one.factory);
    const at::Tensor z = random_tensor(one.image, one.dtype, 9);
    TensorList y = whole.A(random_tensor(one.image, one.dtype, 7));
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = y[i] + 0.1 * random_tensor(y[i].sizes(), one.dtype, 50 + i);
    }
    for (const SliceGrid& grid : grids(one.image, one.axis)) {
      const DistributedStackedLinearPhysics stack = on_grid(grid, one.n, one.factory);
      const ShardedImage z_slab = stack.shard_image(z);
      for (const Solver solver : one.solvers) {
        const std::string name = one.name + ", " + grid.text() + ", " + std::string(to_string(solver));
        const int steps = 4;
        const DistributedDaggerOptions dagger{.solver = solver, .max_iter = steps, .tol = 0.0, .local_only = false};
        SolveInfo info;
        SlabDaggerOptions own{.solver = solver, .max_iter = steps, .tol = 0.0, .info = &info};
        expect_near(stack.gather(stack.A_dagger_sharded(y, own)), whole.A_dagger(y, dagger), bound, name);
        EXPECT_EQ(info.iterations, steps);
        expect_near(stack.gather(stack.A_dagger_sharded(stack.shard(y), own)), whole.A_dagger(y, dagger), bound, name);
        const DaggerOptions prox{.solver = solver, .max_iter = steps, .tol = 0.0};
        expect_near(stack.gather(stack.prox_l2(z_slab, y, 0.7, own)), whole.prox_l2(z, y, 0.7, prox), bound, name);
        DistributedDaggerOptions from_z = dagger;
        from_z.init = z;
        own.init = z_slab;
        expect_near(stack.gather(stack.A_dagger_sharded(y, own)), whole.A_dagger(y, from_z), bound, name);
      }
      // γ for each item of the batch, which may be what is shared out.
      const at::Tensor gammas = at::linspace(0.5, 2.0, one.image[0], at::kDouble);
      expect_near(stack.gather(stack.prox_l2(z_slab, y, gammas, {.max_iter = 4, .tol = 0.0})),
                  whole.prox_l2(z, y, gammas, {.max_iter = 4, .tol = 0.0}), bound, one.name);
      const double sqnorm = whole.compute_sqnorm(z, {.max_iter = 5, .tol = 0.0, .local_only = false});
      EXPECT_NEAR(stack.compute_sqnorm(z_slab, {.max_iter = 5, .tol = 0.0}), sqnorm, bound * sqnorm);
      const double guess = whole.guess_sqnorm(z);
      EXPECT_NEAR(stack.guess_sqnorm(z_slab), guess, bound * guess);
      EXPECT_NEAR(stack.guess_sqnorm(z_slab), guess, bound * guess);
    }
  }
}

TEST_P(Slices, ConvergesToTheImage) {
  const Sizes image = {5, 1, 8, 9};
  const at::Tensor x = random_tensor(image, at::kDouble, 7);
  for (const SliceGrid& grid : grids(image, 0)) {
    const DistributedStackedLinearPhysics stack = on_grid(grid, n_angles, angles);
    SolveInfo info;
    const TensorList y = stack.A(stack.shard_image(x));
    const ShardedImage found = stack.A_dagger_sharded(y, {.max_iter = 2000, .tol = 1e-13, .info = &info});
    EXPECT_EQ(info.reason, StopReason::converged);
    expect_near(stack.gather(found), x, 1e-8);
  }
}

TEST_P(Slices, AnImageNeedsNoMessageAndASumGoesWithinTheGroup) {
  const Sizes image = {16, 1, 8, 9};
  for (const SliceGrid& grid : grids(image, 0)) {
    const DistributedStackedLinearPhysics stack = on_grid(grid, n_angles, angles);
    const ShardedImage x = stack.shard_image(random_tensor(image, at::kDouble, 7));
    const ShardedTensorList y = stack.A_sharded(x);
    Communicator& everyone = context.communicator();
    Communicator& group = stack.group();
    const bool is_split = grid.slices > 1;
    const std::int64_t sums = grid.operators > 1 ? 1 : 0;
    const auto count = [&](const auto& call) {
      call();
      call();
      everyone.reset_counters();
      group.reset_counters();
      call();
    };
    count([&] { (void)stack.A_sharded(x); });
    EXPECT_EQ(everyone.counters().collectives, 0) << grid.text();
    EXPECT_EQ(group.counters().collectives, 0) << grid.text();
    const auto slab_bytes = static_cast<std::int64_t>(x.local.nbytes());
    for (const auto& call : std::vector<std::function<void()>>{[&] { (void)stack.A_adjoint_sharded(y); },
                                                               [&] { (void)stack.A_adjoint_A(x); }}) {
      count(call);
      EXPECT_EQ(group.counters().collectives, sums) << grid.text();
      EXPECT_EQ(group.counters().reductions, sums) << grid.text();
      EXPECT_LE(group.counters().bytes, sums * (slab_bytes + 64));
      EXPECT_GE(group.counters().bytes, sums * slab_bytes);
      if (is_split) {
        EXPECT_EQ(everyone.counters().collectives, 0) << grid.text();
        EXPECT_EQ(everyone.counters().announcements, 0) << grid.text();
      }
    }
    // An iteration of CG: the sum, and the inner products over all ranks.
    const auto solve = [&](int steps) {
      count([&] { (void)stack.A_dagger_sharded(y, {.max_iter = steps, .tol = 0.0}); });
      return std::pair(everyone.counters(), group.counters());
    };
    const auto few = solve(2);
    const auto many = solve(7);
    const std::int64_t products = context.size() > 1 ? 5 : 0;
    EXPECT_EQ(many.first.collectives - few.first.collectives, products + (is_split ? 0 : 5 * sums)) << grid.text();
    if (is_split) {
      EXPECT_EQ(many.first.bytes - few.first.bytes <= 5 * 2 * 4096, true) << grid.text();
      EXPECT_EQ(many.second.collectives - few.second.collectives, 5 * sums) << grid.text();
    }
  }
}

TEST_P(Slices, Differentiate) {
  const Sizes image = {5, 1, 8, 9};
  const DistributedStackedLinearPhysics whole(alone, n_angles, angles);
  const at::Tensor x = random_tensor(image, at::kDouble, 7).requires_grad_();
  const TensorList y = whole.A(x.detach());
  const auto cubes = [](const auto& list) {
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const at::Tensor& entry : list) {
      sum = sum + entry.pow(3).sum();
    }
    return sum;
  };
  const at::Tensor expected = torch::autograd::grad({cubes(whole.A(x)) + whole.A_adjoint_A(x).pow(3).sum()}, {x})[0];
  TensorList leaves;
  for (const at::Tensor& entry : y) {
    leaves.push_back(entry.clone().requires_grad_());
  }
  const std::vector<at::Tensor> of_y = torch::autograd::grad({whole.A_adjoint(leaves).pow(3).sum()}, leaves.tensors());
  for (const SliceGrid& grid : grids(image, 0)) {
    const DistributedStackedLinearPhysics stack = on_grid(grid, n_angles, angles);
    const ShardedImage slab = stack.shard_image(x);
    const at::Tensor value = cubes(stack.A(slab)) + stack.gather(stack.A_adjoint_A(slab)).pow(3).sum();
    expect_near(torch::autograd::grad({value}, {x})[0], expected, 1e-12, grid.text());
    const at::Tensor back = stack.gather(stack.A_adjoint_sharded(leaves)).pow(3).sum();
    expect_near(TensorList(torch::autograd::grad({back}, leaves.tensors())), TensorList(of_y), 1e-12, grid.text());
  }
}

// ---- What is wrong -----------------------------------------------------------------------------------------------

// Throws where it is told to.
class Flaky : public LinearPhysics {
 public:
  explicit Flaky(const bool* fails) : fails_(fails) {}
  std::string name() const override { return "Flaky"; }
  std::optional<SliceWise> on_slices(at::IntArrayRef, std::int64_t axis, std::int64_t, std::int64_t) const override {
    return SliceWise{axis};
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params&) const override { return x * (*fails_ ? fail() : 2.0); }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params&) const override { return y * (*fails_ ? fail() : 2.0); }

 private:
  static double fail() { throw std::runtime_error("out of order"); }
  const bool* fails_;
};

// Operators that fail on one rank.
class FailingSlices : public Slices {
 protected:
  const int failing = context.size() - 1;
  bool fails = false;
  const Sizes image = {4, 1, 2, 3};
  const SliceGrid grid = two_groups(image);
  const DistributedStackedLinearPhysics stack =
      on_grid(grid, 4, [&](std::int64_t, at::Device, const Params&) { return std::make_shared<Flaky>(&fails); });
  const at::Tensor x = random_tensor(image, at::kDouble, 1);
  const ShardedImage slab = stack.shard_image(x);
};

INSTANTIATE_TEST_SUITE_P(Ways, FailingSlices, testing::ValuesIn(ways()), name_of);

TEST_P(FailingSlices, InASolveAreThrownByAll) {
  const TensorList y = stack.A(slab);
  for (const Solver solver : {Solver::CG, Solver::LSQR}) {
    for (int call = 0; call < 2; ++call) {
      fails = context.rank() == failing;
      const RankFailure failure =
          expect_failure_everywhere(context, [&] { (void)stack.A_dagger_sharded(y, {.solver = solver}); });
      EXPECT_EQ(failure.rank, failing);
      EXPECT_EQ(failure.operator_index, stack.sharding().items_of(grid.operators - 1).front());
      EXPECT_NE(failure.reason.find("out of order"), std::string::npos);
      fails = false;
      expect_near(stack.gather(stack.A_dagger_sharded(y, {.solver = solver})), x, 1e-10);
    }
  }
  fails = context.rank() == failing;
  (void)expect_failure_everywhere(context, [&] { (void)stack.A(slab); });
  (void)expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(slab); });
  fails = false;
  expect_near(stack.A(slab), y, 1e-14);
}

TEST_P(FailingSlices, InASumAreThrownByTheirGroup) {
  const ShardedTensorList y = stack.A_sharded(slab);
  fails = context.rank() == failing;
  if (context.rank() / grid.operators == failing / grid.operators) {
    try {
      (void)stack.A_adjoint_sharded(y);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const RankFailure& failure) {
      EXPECT_EQ(failure.rank, failing);
    }
  } else {
    (void)stack.A_adjoint_sharded(y);
  }
  fails = false;
  expect_near(stack.gather(stack.A_adjoint_sharded(y)), 16 * x, 1e-14);
}

TEST_P(Slices, WhatIsNoGridIsRefusedByAll) {
  const auto making = [&](const SliceGrid& grid, const PhysicsFactory& factory) {
    return expect_failure_everywhere(context, [&] { (void)on_grid(grid, n_angles, factory); }).reason;
  };
  const Sizes image = {16, 1, 8, 9};
  const int ranks = context.size();
  const std::string many = making({.image = image, .slices = ranks, .operators = 2}, angles);
  EXPECT_NE(many.find("grid: slices times operators must be the number of ranks"), std::string::npos) << many;
  EXPECT_NE(making({.image = image, .slices = -1, .operators = -ranks}, angles).find("grid"), std::string::npos);
  EXPECT_NE(making({.image = image, .axis = 4, .slices = ranks}, angles).find("grid: axis"), std::string::npos);
  EXPECT_NE(making({.image = {}, .slices = ranks}, angles).find("grid: image"), std::string::npos);
  const std::string not_local = making({.image = image, .axis = 2, .slices = ranks}, angles);
  EXPECT_NE(not_local.find("grid: every operator must act slice by slice along axis 2"), std::string::npos)
      << not_local;
  // One operator of one rank.
  const std::string one = making({.image = image, .slices = 1, .operators = ranks},
                                 [&](std::int64_t index, at::Device device, const Params& shared) -> PhysicsPtr {
                                   return index == n_angles - 1
                                              ? std::make_shared<Matrix>(at::ones({2, 72}), Sizes{1, 8, 9})
                                              : angles(index, device, shared);
                                 });
  EXPECT_NE(one.find("a Matrix does not"), std::string::npos) << one;
  EXPECT_NE(making({.image = {4, 1, 8, 9}, .slices = ranks}, coils).find("MultiCoilMRI"), std::string::npos);
  if (ranks > 1) {
    const SliceGrid own = context.rank() == 0 ? SliceGrid{.image = image, .slices = ranks}
                                              : SliceGrid{.image = image, .operators = ranks};
    EXPECT_NE(making(own, angles).find("grid"), std::string::npos);
    std::optional<SliceGrid> given;
    if (context.rank() > 0) {
      given = SliceGrid{.image = image, .slices = ranks};
    }
    const RankFailure failure = expect_failure_everywhere(
        context, [&] { const DistributedStackedLinearPhysics stack(context, n_angles, angles, {.grid = given}); });
    EXPECT_NE(failure.reason.find("grid: options must be equal on every rank"), std::string::npos) << failure.reason;
  }
  EXPECT_THROW(
      DistributedStackedPhysics(context, n_angles, angles, {.grid = SliceGrid{.image = image, .slices = ranks}}),
      RankFailure);
}

TEST_P(Slices, OtherImagesAndMeasurementsAreRefusedByAll) {
  const Sizes image = {16, 1, 8, 9};
  const SliceGrid grid = two_groups(image);
  const DistributedStackedLinearPhysics stack = on_grid(grid, n_angles, angles);
  const at::Tensor x = random_tensor(image, at::kDouble, 7);
  const ShardedImage slab = stack.shard_image(x);
  const TensorList y = stack.A(slab);
  EXPECT_THROW((void)stack.A(x), InvalidArgument);
  EXPECT_THROW((void)stack.A_adjoint(y), InvalidArgument);
  EXPECT_THROW((void)stack.A_adjoint_A(x), InvalidArgument);
  EXPECT_THROW((void)stack.A_dagger(y, {.local_only = false}), InvalidArgument);
  EXPECT_THROW((void)stack.prox_l2(x, y, 1.0), InvalidArgument);
  EXPECT_THROW((void)stack.compute_sqnorm(x), InvalidArgument);
  EXPECT_THROW((void)stack.shard_image(random_tensor({15, 1, 8, 9}, at::kDouble, 7)), InvalidArgument);
  EXPECT_THROW((void)stack.shard_image(x, 1), InvalidArgument);
  (void)expect_failure_everywhere(context, [&] { (void)stack.A_dagger_sharded(y, {.axis = 1}); });
  TensorList wrong = y;
  wrong[0] = wrong[0].narrow(0, 0, 7);
  const RankFailure failure = expect_failure_everywhere(context, [&] { (void)stack.A_dagger_sharded(wrong); });
  EXPECT_NE(failure.reason.find("operator 0 must have the 16 slices of the image along axis 0"), std::string::npos)
      << failure.reason;
  if (context.size() > 1) {
    // Slabs of other grids, of no grid, and of other images.
    const DistributedStackedLinearPhysics plain(context, n_angles, angles);
    const DistributedStackedLinearPhysics other =
        on_grid({.image = image, .slices = grid.operators, .operators = grid.slices}, n_angles, angles);
    const DistributedStackedLinearPhysics shorter = on_grid(two_groups({12, 1, 8, 9}), n_angles, angles);
    std::vector<ShardedImage> strangers = {plain.shard_image(x, 0),
                                           shorter.shard_image(random_tensor({12, 1, 8, 9}, at::kDouble, 7))};
    if (grid.slices != grid.operators) {
      strangers.push_back(other.shard_image(x));
    }
    for (const ShardedImage& stranger : strangers) {
      const RankFailure refused = expect_failure_everywhere(context, [&] { (void)stack.compute_sqnorm(stranger); });
      EXPECT_NE(refused.reason.find("must be a sharded image of the stack's grid"), std::string::npos);
      EXPECT_THROW((void)stack.A_sharded(stranger), InvalidArgument);
      EXPECT_THROW((void)stack.A_adjoint_A(stranger), RankFailure);
    }
    (void)expect_failure_everywhere(context, [&] { (void)plain.A_adjoint_A(slab); });
  }
  expect_near(stack.A(slab), y, 1e-14);
}

}  // namespace
}  // namespace adjoin::test::slices_test
