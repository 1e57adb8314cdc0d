// SPDX-License-Identifier: BSD-3-Clause
// Stacks on sharded images equal those on replicated ones, through every way in which the ranks communicate.
#include <torch/csrc/autograd/autograd.h>
#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "distributed/support.hpp"
#include "distributed/ways.hpp"

namespace adjoin::test::slabs_test {
namespace {

constexpr std::int64_t n = 5;

// And by each use of a node's memory.
std::vector<Way> all_ways() {
  std::vector<Way> all = ways();
  all.push_back({"in_place", {.mpi = {.shared_memory = {.sharing = Sharing::in_place}}}});
  all.push_back({"in_pieces", {.mpi = {.shared_memory = {.sharing = Sharing::in_pieces}}}});
  return all;
}

class Slabs : public testing::TestWithParam<Way> {
 protected:
  DistributedContext context{GetParam().options};

  std::int64_t expected(std::int64_t collectives) const { return context.size() == 1 ? 0 : collectives; }
};

INSTANTIATE_TEST_SUITE_P(Ways, Slabs, testing::ValuesIn(all_ways()), name_of);

const std::vector<std::optional<std::int64_t>> axes = {std::nullopt, 0, 1, 2, -1};

TEST_P(Slabs, OperatorsEqualThoseOnReplicatedImages) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const DistributedStackedLinearPhysics stack(context, n, matrices(dtype), {.reduction = reduction});
      for (const std::int64_t batch : {1, 3}) {
        const at::Tensor x = random_image(dtype, 7, batch);
        const TensorList y = stack.A(x);
        for (const auto axis : axes) {
          const ShardedImage slab = stack.shard_image(x, axis);
          EXPECT_TRUE(at::equal(stack.gather(slab), x));
          for (int call = 0; call < 2; ++call) {
            expect_near(stack.A(slab), y, tolerance(dtype), "A");
            expect_near(stack.A_sharded(slab).local, part_of(y, stack.local_indices()), tolerance(dtype), "A_sharded");
            expect_near(stack.gather(stack.A_adjoint_sharded(y, axis)), stack.A_adjoint(y), tolerance(dtype));
            expect_near(stack.gather(stack.A_adjoint_A(slab)), stack.A_adjoint_A(x), tolerance(dtype));
          }
        }
      }
    }
  }
}

TEST_P(Slabs, LargeImagesGoThroughSharedMemory) {
  const DistributedStackedLinearPhysics stack(context, n, [](std::int64_t index, at::Device, const Params&) {
    const double sigma = 1.0 + 0.25 * static_cast<double>(index);
    return std::make_shared<Blur>(gaussian_kernel({sigma, sigma + 0.5}, 10.0), BlurOptions{.padding = Padding::Valid});
  });
  const at::Tensor x = random_tensor({1, 1, 411, 307}, at::kFloat, 3);
  const TensorList y = stack.A(x);
  for (const auto axis :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(2), std::optional<std::int64_t>(3)}) {
    ShardedImage slab = stack.shard_image(x, axis);
    const at::Tensor normal = stack.A_adjoint_A(x);
    for (int round = 0; round < 4; ++round) {  // results lie in turns where others still read
      expect_near(stack.A(slab), y, 1e-6);
      expect_near(stack.gather(stack.A_adjoint_A(slab)), normal, 1e-6);
      expect_near(stack.gather(stack.A_adjoint_sharded(y, axis)), stack.A_adjoint(y), 1e-6);
    }
  }
}

TEST_P(Slabs, SolversEqualThoseOnReplicatedImages) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    const DistributedStackedLinearPhysics stack(context, n, matrices(dtype));
    const double bound = c10::toRealValueType(dtype) == at::kDouble ? 1e-12 : 1e-5;
    for (const std::int64_t batch :
         dtype == at::kDouble ? std::vector<std::int64_t>{1, 3} : std::vector<std::int64_t>{1}) {
      TensorList y = stack.A(random_image(dtype, 7, batch));
      for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = y[i] + 0.1 * random_tensor(y[i].sizes(), dtype, 50 + i);
      }
      const at::Tensor z = random_image(dtype, 9, batch);
      for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab, Solver::MINRES}) {
        const std::string name(to_string(solver));
        const int steps = 6;
        const at::Tensor dagger = stack.A_dagger(
            y,
            {.solver = solver, .max_iter = steps, .tol = 0.0, .local_only = false, .layout = ImageLayout::replicated});
        const at::Tensor from_z = stack.A_dagger(y, {.solver = solver,
                                                     .max_iter = steps,
                                                     .tol = 0.0,
                                                     .init = z,
                                                     .local_only = false,
                                                     .layout = ImageLayout::replicated});
        const DaggerOptions options{.solver = solver, .max_iter = steps, .tol = 0.0};
        const at::Tensor prox = stack.prox_l2(z, y, 0.7, options, ImageLayout::replicated);
        expect_near(
            stack.A_dagger(
                y,
                {.solver = solver, .max_iter = steps, .tol = 0.0, .local_only = false, .layout = ImageLayout::sharded}),
            dagger, bound, name);
        expect_near(stack.prox_l2(z, y, 0.7, options, ImageLayout::sharded), prox, bound, name);
        for (const auto axis : {std::optional<std::int64_t>(), std::optional<std::int64_t>(2)}) {
          SolveInfo info;
          const SlabDaggerOptions own{.solver = solver, .max_iter = steps, .tol = 0.0, .axis = axis, .info = &info};
          const ShardedImage x = stack.A_dagger_sharded(y, own);
          EXPECT_EQ(x.space->axis.has_value(), axis.has_value());
          expect_near(stack.gather(x), dagger, bound, name);
          EXPECT_EQ(info.iterations, steps);
          const ShardedImage z_slab = stack.shard_image(z, axis);
          expect_near(stack.gather(stack.prox_l2(z_slab, y, 0.7, own)), prox, bound, name + " prox");
          SlabDaggerOptions started = own;
          started.init = z_slab;
          expect_near(stack.gather(stack.A_dagger_sharded(y, started)), from_z, bound, name + " init");
        }
      }
      // γ for each item.
      const at::Tensor gammas = at::linspace(0.5, 2.0, batch, at::kDouble);
      expect_near(stack.gather(stack.prox_l2(stack.shard_image(z), y, gammas, {.max_iter = 6, .tol = 0.0})),
                  stack.prox_l2(z, y, gammas, {.max_iter = 6, .tol = 0.0}, ImageLayout::replicated), bound);
    }
  }
}

TEST_P(Slabs, ConvergedSolutionsAreTheSame) {
  const DistributedStackedLinearPhysics stack(context, 7, matrices(at::kDouble));
  const at::Tensor x = random_image(at::kDouble, 7);
  SolveInfo info;
  const ShardedImage found = stack.A_dagger_sharded(stack.A(x), {.max_iter = 500, .tol = 1e-13, .info = &info});
  EXPECT_EQ(info.reason, StopReason::converged);
  expect_near(stack.gather(found), x, 1e-9);
}

TEST_P(Slabs, NormsEqualThoseOnReplicatedImages) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    const DistributedStackedLinearPhysics stack(context, n, matrices(dtype));
    const at::Tensor x0 = random_image(dtype, 1);
    const DistributedSqnormOptions options{
        .max_iter = 12, .tol = 0.0, .local_only = false, .layout = ImageLayout::replicated};
    DistributedSqnormOptions on_slabs = options;
    on_slabs.layout = ImageLayout::sharded;
    const double norm = stack.compute_sqnorm(x0, options);
    EXPECT_NEAR(stack.compute_sqnorm(x0, on_slabs), norm, tolerance(dtype) * norm);
    for (const auto axis : axes) {
      EXPECT_NEAR(stack.compute_sqnorm(stack.shard_image(x0, axis), {.max_iter = 12, .tol = 0.0}), norm,
                  tolerance(dtype) * norm);
    }
  }
}

// Circular blurs, whose normal operators add up to one that every rank applies to its own images.
class Blurs : public Slabs {
 protected:
  static PhysicsPtr blur(std::int64_t index) {
    const double sigma = 1.0 + 0.25 * static_cast<double>(index);
    return std::make_shared<Blur>(gaussian_kernel({sigma, sigma + 0.5}, 10.0),
                                  BlurOptions{.padding = Padding::Circular, .method = ConvolutionMethod::Fft});
  }
  DistributedStackedLinearPhysics stack{context, 5,
                                        [](std::int64_t index, at::Device, const Params&) { return blur(index); }};
};

INSTANTIATE_TEST_SUITE_P(Ways, Blurs, testing::ValuesIn(all_ways()), name_of);

TEST_P(Blurs, WholeImagesNeedNoSum) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{2, 3, 32, 40}, {1, 1, 32, 40}, {1, 3, 32, 40}}) {
    const at::Tensor x = random_tensor(sizes, at::kDouble, 3);
    const TensorList y = stack.A(x);
    const at::Tensor normal = stack.A_adjoint_A(x);
    const ShardedImage b = stack.A_adjoint_sharded(y);
    expect_near(stack.gather(b), stack.A_adjoint(y), 1e-13);
    const ShardedImage slab = stack.shard_image(x);
    EXPECT_TRUE(same_space(*slab.space, *b.space));
    for (const auto axis : {std::optional<std::int64_t>(), std::optional<std::int64_t>(2)}) {
      const ShardedImage own = stack.shard_image(x, axis);
      for (int call = 0; call < 2; ++call) {
        expect_near(stack.gather(stack.A_adjoint_A(own)), normal, 1e-13);
      }
    }
    context.communicator().reset_counters();
    (void)stack.A_adjoint_A(slab);
    const MessageCounters counted = context.communicator().counters();
    if (context.size() > 1 && sizes[0] * sizes[1] >= context.size() && context.size() <= 5) {
      EXPECT_EQ(counted.collectives, 1);
      EXPECT_LE(counted.bytes, 64);
    }
    const at::Tensor solution =
        stack.A_dagger(y, {.max_iter = 6, .tol = 0.0, .local_only = false, .layout = ImageLayout::replicated});
    expect_near(stack.gather(stack.A_dagger_sharded(y, {.max_iter = 6, .tol = 0.0})), solution, 1e-12);
  }
}

TEST_P(Blurs, FollowAnUpdateOnOneRankOnly) {
  const at::Tensor x = random_tensor({2, 3, 32, 40}, at::kDouble, 3);
  const ShardedImage slab = stack.shard_image(x);
  (void)stack.A_adjoint_A(slab);
  if (context.rank() == 0) {
    stack.local_operators()[0].update({{"filter", gaussian_kernel({3.0, 1.0}).to(at::kDouble)}});
  }
  const ShardedImage image = stack.A_adjoint_A(slab);
  expect_near(stack.gather(image), stack.A_adjoint_A(x), 1e-13);
}

// ---- Gradients ---------------------------------------------------------------------------------------------------

// A number of replicated images and measurements, through every call on slabs, and what one process makes of it.
TEST_P(Slabs, GradientsEqualThoseOfOneProcess) {
  for (const auto dtype : {at::kDouble, at::kComplexDouble}) {
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const auto shared = std::make_shared<DistributedStackedLinearPhysics>(context, n, matrices(dtype),
                                                                            DistributedOptions{.reduction = reduction});
      const DistributedStackedLinearPhysics& stack = *shared;
      const StackedLinearPhysics one = twin(n, dtype, reduction);
      const at::Tensor x = random_image(dtype, 7);
      const TensorList y = one.A(x);
      const at::Tensor w = random_image(dtype, 8);
      const auto number = [](const at::Tensor& t) { return at::real(t * t.conj()).sum() + at::real(t).sum(); };
      for (const auto axis : axes) {
        const auto on_slabs = [&](const at::Tensor& image, const TensorList& list) {
          const ShardedImage slab = stack.shard_image(image, axis);
          at::Tensor sum = number(stack.gather(stack.A_adjoint_A(slab)) * w);
          for (const at::Tensor& entry : stack.A(slab)) {
            sum = sum + number(entry);
          }
          return sum + number(stack.gather(stack.A_adjoint_sharded(list, axis)));
        };
        const auto in_one = [&](const at::Tensor& image, const TensorList& list) {
          at::Tensor sum = number(one.A_adjoint_A(image) * w);
          for (const at::Tensor& entry : one.A(image)) {
            sum = sum + number(entry);
          }
          return sum + number(one.A_adjoint(list));
        };
        const auto gradients = [&](const auto& f, bool twice) {
          const at::Tensor image = x.detach().clone().requires_grad_();
          TensorList list;
          std::vector<at::Tensor> inputs = {image};
          for (const at::Tensor& entry : y) {
            list.push_back(entry.detach().clone().requires_grad_());
            inputs.push_back(list[list.size() - 1]);
          }
          auto first = torch::autograd::grad({f(image, list)}, inputs, {}, twice, twice);
          if (!twice) {
            return TensorList(first);
          }
          at::Tensor sum = number(first[0]);
          for (std::size_t i = 1; i < first.size(); ++i) {
            sum = sum + number(first[i]);
          }
          return TensorList(torch::autograd::grad({sum}, inputs));
        };
        expect_near(gradients(on_slabs, false), gradients(in_one, false), 1e-12, "gradient");
        expect_near(gradients(on_slabs, true), gradients(in_one, true), 1e-12, "gradient of the gradient");
      }
    }
  }
}

// ---- Messages ----------------------------------------------------------------------------------------------------

TEST_P(Slabs, AnIterationOfConjugateGradientsIsOneGatherOneScatterAndOneSmallReduction) {
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kDouble));
  TensorList y = stack.A(random_image(at::kDouble, 1));
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = y[i] + random_tensor(y[i].sizes(), at::kDouble, 50 + i);
  }
  const auto solve = [&](int iterations) {
    for (int call = 0; call < 2; ++call) {
      (void)stack.A_dagger_sharded(y, {.max_iter = iterations, .tol = 0.0});
    }
    context.communicator().reset_counters();
    (void)stack.A_dagger_sharded(y, {.max_iter = iterations, .tol = 0.0});
    return context.communicator().counters();
  };
  const MessageCounters few = solve(3);
  const MessageCounters many = solve(8);
  EXPECT_EQ(many.gathers - few.gathers, expected(5));
  EXPECT_EQ(many.scatters - few.scatters, expected(5));
  EXPECT_EQ(many.reductions - few.reductions, expected(10));
  EXPECT_EQ(many.collectives - few.collectives, expected(15));
  const auto image_bytes = static_cast<std::int64_t>(image_size * sizeof(double));
  EXPECT_LE(many.bytes - few.bytes, 5 * (2 * (image_bytes + 24) + 80));
}

// ---- What is wrong is wrong everywhere ---------------------------------------------------------------------------

TEST_P(Slabs, BadImagesAreOneErrorOnAllRanks) {
  if (context.size() == 1) {
    return;
  }
  const DistributedStackedLinearPhysics stack(context, n, matrices(at::kDouble));
  const at::Tensor x = random_image(at::kDouble, 1);
  const TensorList y = stack.A(x);
  const ShardedImage slab = stack.shard_image(x);
  const auto expect_words = [&](const std::string& words, const auto& call) {
    const RankFailure failure = expect_failure_everywhere(context, call);
    EXPECT_NE(std::string(failure.what()).find(words), std::string::npos) << failure.what();
    expect_near(stack.gather(stack.A_adjoint_A(slab)), stack.A_adjoint_A(x), 1e-12);
  };
  expect_words("axis", [&] { (void)stack.A_adjoint_sharded(y, 4); });
  expect_words("axis", [&] { (void)stack.A_adjoint_sharded(y, context.rank() == 1 ? 1 : 0); });
  expect_words("x: options must be equal on every rank",
               [&] { (void)stack.A_adjoint_A(stack.shard_image(x, context.rank() == 1 ? 1 : 0)); });
  // Of another stack: images of another shape.
  const DistributedStackedLinearPhysics other(context, n, [](std::int64_t, at::Device, const Params&) {
    return std::make_shared<Matrix>(at::ones({3, 10}, at::kDouble), std::vector<std::int64_t>{10});
  });
  expect_words("shape", [&] { (void)stack.A_adjoint_A(other.shard_image(at::ones({1, 10}, at::kDouble))); });
  // Of another context.
  DistributedContext second(GetParam().options);
  const DistributedStackedLinearPhysics elsewhere(second, n, matrices(at::kDouble));
  expect_words("context", [&] { (void)stack.A(elsewhere.shard_image(x)); });
  // One rank alone has lost its slab, or has one of another shape or dtype.
  const auto on_rank_1 = [&](const at::Tensor& local) {
    return context.rank() == 1 ? ShardedImage{local, slab.space} : slab;
  };
  expect_words("slab", [&] { (void)stack.A_adjoint_A(on_rank_1(at::zeros({1000}, at::kDouble))); });
  expect_words("x", [&] { (void)stack.A(on_rank_1(at::Tensor())); });
  expect_words("x", [&] { (void)stack.A_sharded(on_rank_1(slab.local.to(at::kFloat))); });
  // Gradients do not pass through solves.
  expect_words("gradients", [&] {
    (void)stack.prox_l2(ShardedImage{slab.local.detach().clone().requires_grad_(), slab.space}, y, 0.5);
  });
}

class Failing : public LinearPhysics {
 public:
  explicit Failing(const bool& fails) : fails_(fails) {}

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return worked(x); }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const override { return worked(y); }

 private:
  at::Tensor worked(const at::Tensor& t) const {
    if (fails_) {
      throw std::runtime_error("out of order");
    }
    return 2 * t;
  }
  const bool& fails_;
};

TEST_P(Slabs, AFailingOperatorFailsOnAllRanks) {
  bool fails = false;
  const DistributedStackedLinearPhysics stack(
      context, n, [&](std::int64_t, at::Device, const Params&) { return std::make_shared<Failing>(fails); });
  const at::Tensor x = random_image(at::kDouble, 1);
  const TensorList y = stack.A(x);
  const ShardedImage slab = stack.shard_image(x);
  const std::vector<std::function<void()>> calls = {[&] { (void)stack.A(slab); },
                                                    [&] { (void)stack.A_sharded(slab); },
                                                    [&] { (void)stack.A_adjoint_sharded(y); },
                                                    [&] { (void)stack.A_adjoint_A(slab); },
                                                    [&] { (void)stack.A_dagger_sharded(y); },
                                                    [&] { (void)stack.A_dagger_sharded(y, {.solver = Solver::LSQR}); },
                                                    [&] { (void)stack.prox_l2(slab, y, 0.5); },
                                                    [&] { (void)stack.compute_sqnorm(slab); }};
  for (const auto& call : calls) {
    fails = context.rank() == std::min<int>(context.size(), n) - 1;
    const RankFailure failure = expect_failure_everywhere(context, call);
    EXPECT_NE(std::string(failure.what()).find("out of order"), std::string::npos) << failure.what();
    fails = false;
    call();
  }
  expect_near(stack.gather(stack.A_adjoint_A(slab)), 4.0 * n * x, 1e-12);
}

}  // namespace
}  // namespace adjoin::test::slabs_test
