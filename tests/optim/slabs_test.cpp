// SPDX-License-Identifier: BSD-3-Clause
// Fidelities, priors and algorithms on sharded images equal those on replicated ones, with the messages that they must
// send; what is wrong is the same error on all ranks.
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "adjoin/operators/diagonal.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "optim/support.hpp"

namespace adjoin::test::optim_slabs_test {
namespace {

constexpr std::int64_t n = 5;
using Axis = std::optional<std::int64_t>;
std::map<std::string, std::shared_ptr<const Prior>> priors() {
  return {{"zero", std::make_shared<ZeroPrior>()},
          {"Tikhonov", std::make_shared<Tikhonov>()},
          {"L1", std::make_shared<L1Prior>()},
          {"box", std::make_shared<Box>(-0.3, 0.5)},
          {"positivity", std::make_shared<Positivity>()},
          {"total variation", std::make_shared<TotalVariation>(TotalVariationOptions{.max_iter = 30, .tol = 0.0})},
          {"bounded total variation",
           std::make_shared<TotalVariation>(TotalVariationOptions{.lower = 0.1, .upper = 0.6, .tol = 1e-5})},
          {"wavelets", std::make_shared<WaveletPrior>()},
          {"denoiser", std::make_shared<PnP>([](const at::Tensor& x, double sigma) { return x / (1.0 + sigma); })}};
}

double bound(at::ScalarType dtype) { return c10::toRealValueType(dtype) == at::kDouble ? 1e-12 : 1e-5; }

class OptimSlabs : public testing::Test {
 protected:
  ShardedImage cut(const at::Tensor& x, Axis axis) const { return stack.shard_image(x, axis); }
  at::Tensor whole(const ShardedImage& x) const { return stack.gather(x); }
  at::Tensor whole(const at::Tensor& local, const ShardedImage& like) const {
    return stack.gather(ShardedImage{local, like.space});
  }
  std::int64_t expected(std::int64_t collectives) const { return context.size() == 1 ? 0 : collectives; }
  TensorList measured(const at::Tensor& x) const {
    TensorList y = stack.A(x);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = y[i] + 0.1 * random_tensor(y[i].sizes(), y[i].scalar_type(), 50 + i);
    }
    return y;
  }

  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(at::kDouble)};
};

TEST_F(OptimSlabs, FidelitiesEqualThoseOnReplicatedImages) {
  for (const auto& [name, fidelity] : std::map<std::string, DataFidelityPtr>{{"L2", std::make_shared<L2>(0.7)},
                                                                             {"Huber", std::make_shared<Huber>(0.2)},
                                                                             {"L1", std::make_shared<L1>()}}) {
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      const DistributedDataFidelity f(stack, fidelity, {.reduction = reduction});
      const at::Tensor x = random_image(at::kDouble, 7, 3);
      const TensorList y = measured(random_image(at::kDouble, 8, 3));
      for (const Axis axis : {Axis(), Axis(0), Axis(1), Axis(2), Axis(-1)}) {
        const ShardedImage slab = cut(x, axis);
        expect_near(f.fn(slab, y), f.fn(x, y), 1e-12, name);
        expect_near(whole(f.grad(slab, y)), f.grad(x, y), 1e-12, name);
        const Subset half{.index = 1, .count = 2};
        expect_near(whole(f.grad(slab, y, half)), f.grad(x, y, half), 1e-12, name);
        const ItemValues both = f.item_values_and_grad(slab, y, 3);
        const ItemValues expected_both = f.item_values_and_grad(x, y, 3);
        for (std::size_t i = 0; i < 3; ++i) {
          EXPECT_NEAR(both.values[i], expected_both.values[i], 1e-12 * expected_both.values[i]);
          EXPECT_NEAR(f.item_values(slab, y, 3)[i], expected_both.values[i], 1e-12 * expected_both.values[i]);
        }
        expect_near(whole(both.grad, slab), expected_both.grad, 1e-12, name);
        EXPECT_EQ(f.items(slab, y), 3);
        TensorList u;
        TensorList u_of_slab;
        for (int step = 0; step < 2; ++step) {
          expect_near(whole(f.dual_step(u_of_slab, slab, y, 0.3)), f.dual_step(u, x, y, 0.3), 1e-12, name);
        }
        EXPECT_NEAR(f.sqnorm(slab), f.sqnorm(x), 1e-12 * f.sqnorm(x));
        if (name == "L2") {
          expect_near(whole(f.prox(slab, y, 0.6, {.max_iter = 5, .tol = 0.0})),
                      f.prox(x, y, 0.6, {.max_iter = 5, .tol = 0.0}), 1e-12);
        }
      }
    }
  }
}

TEST_F(OptimSlabs, PriorsEqualThoseOnReplicatedImages) {
  for (const auto& [name, prior] : priors()) {
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const at::Tensor x = random_image(dtype, 7, 2) + 0.3;
      for (const Axis axis : {Axis(), Axis(0), Axis(1), Axis(2), Axis(-1)}) {
        const ShardedImage slab = cut(x, axis);
        expect_near(whole(prior->prox(slab, 0.4)), prior->prox(x, 0.4), 3 * bound(dtype), name);
        if (prior->explicit_prior()) {
          const at::Tensor inside = prior->prox(x, 0.4);
          for (const at::Tensor& image : {x, inside}) {
            const double value = prior->fn(image).item<double>();
            const double of_slab = prior->fn(cut(image, axis)).item<double>();
            EXPECT_TRUE(of_slab == value || std::abs(of_slab - value) <= bound(dtype) * std::abs(value))
                << name << ": " << of_slab << " for " << value;
          }
        }
        if (name == "Tikhonov" || name == "L1" || name == "zero") {
          EXPECT_TRUE(at::equal(whole(prior->grad(slab)), prior->grad(x))) << name;
        }
      }
    }
  }
}

// Images and volumes of which some ranks have nothing, or one plane; of any scale.
TEST_F(OptimSlabs, TotalVariationNeedsThePlanesAtTheCuts) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kComplexDouble}) {
    for (const std::int64_t dims : {2, 3}) {
      const TotalVariation g({.dims = dims, .max_iter = 40, .tol = 1e-9});
      for (const auto& sizes : {std::vector<std::int64_t>{2, 2, 9, 7, 5}, std::vector<std::int64_t>{1, 1, 2, 6, 8}}) {
        for (const double scale : {1.0, 1e-25}) {
          const at::Tensor x = scale * random_tensor(sizes, dtype, 5);
          const at::Tensor expected_prox = g.prox(x, 0.3 * scale);
          const auto inner = g.inner();
          for (std::int64_t axis = 0; axis < 5; ++axis) {
            const ShardedImage slab = cut(x, axis);
            expect_near(whole(g.prox(slab, 0.3 * scale)), expected_prox, bound(dtype), c10::str(dims, " axis ", axis));
            if (axis > 0) {
              EXPECT_EQ(g.inner().iterations, inner.iterations);
            }
            const double value = g.fn(x).item<double>();
            EXPECT_NEAR(g.fn(slab).item<double>(), value, 1e-6 * value);
          }
        }
      }
    }
  }
}

TEST_F(OptimSlabs, AlgorithmsEqualThoseOnReplicatedImages) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const DistributedStackedLinearPhysics own(context, n, matrices(dtype));
    const DistributedDataFidelity f(own, std::make_shared<L2>(0.7));
    for (const std::int64_t batch : {1, 3}) {
      const at::Tensor truth = random_image(dtype, 2, batch);
      TensorList y = own.A(truth);
      const at::Tensor x0 = random_image(dtype, 3, batch);
      const DataTermOptions inner{.prox = {.max_iter = 8, .tol = 0.0}};
      for (const auto& [name, solve] : algorithms({0.5, 0.2})) {
        for (const bool backtracking : {false, true}) {
          const bool has_steps = name != "HQS" && name != "ADMM" && name != "primal-dual" && name != "ordered subsets";
          if (backtracking && !has_steps) {
            continue;
          }
          const L1Prior prior;
          OptimOptions options{
              .max_iter = 6, .tol = 0.0, .lambda = 0.1, .backtracking = backtracking, .objective = true};
          options.step = backtracking || name == "gradient descent" ? std::optional<double>(0.05) : std::nullopt;
          options.truth = truth;
          const OptimResult replicated = solve(data_term(f, y, inner), prior, x0, options);
          for (const Axis axis : batch == 1 ? std::vector<Axis>{{}, 0, 2} : std::vector<Axis>{1, -1}) {
            const ShardedImage slab = own.shard_image(x0, axis);
            options.truth = own.shard_image(truth, axis).local;
            const OptimResult result = solve(slab_data_term(f, y, slab.space, inner), prior, slab.local, options);
            const std::string what = c10::str(name, " batch ", batch, " axis ", axis ? *axis : -9);
            expect_near(own.gather(ShardedImage{result.x, slab.space}), replicated.x, 3 * bound(dtype), what);
            EXPECT_NEAR(result.history.back().psnr, replicated.history.back().psnr, 1e-3) << what;
            EXPECT_NEAR(result.history.back().objective, replicated.history.back().objective,
                        10 * bound(dtype) * std::abs(replicated.history.back().objective))
                << what;
          }
        }
      }
    }
  }
}

TEST_F(OptimSlabs, TotalVariationInAnAlgorithmStartsWhereItEnded) {
  const DistributedDataFidelity f(stack, std::make_shared<L2>());
  const TensorList y = measured(random_image(at::kDouble, 2, 2));
  const TotalVariation g({.max_iter = 5, .tol = 0.0});
  const at::Tensor x0 = at::zeros({2, 2, 3, 4}, at::kDouble);
  const OptimOptions options{.max_iter = 6, .tol = 0.0, .lambda = 0.2};
  const at::Tensor replicated = fista(data_term(f, y), g, x0, options).x;
  const ShardedImage slab = cut(x0, 2);
  expect_near(whole(fista(slab_data_term(f, y, slab.space), g, slab.local, options).x, slab), replicated, 1e-12);
}

TEST_F(OptimSlabs, LayoutsGiveOneImage) {
  const DistributedDataFidelity f(stack, std::make_shared<L2>(0.7));
  for (const std::int64_t batch : {1, 3}) {
    const at::Tensor truth = random_image(at::kDouble, 2, batch);
    const TensorList y = measured(truth);
    const at::Tensor x0 = random_image(at::kDouble, 3, batch);
    const DataTerm term = data_term(f, y, {.prox = {.max_iter = 5, .tol = 0.0}});
    for (const auto& [name, solve] : algorithms({0.5, 0.2})) {
      OptimOptions options{.max_iter = 4, .tol = 0.0, .lambda = 0.1, .truth = truth};
      options.step = name == "gradient descent" ? std::optional<double>(0.02) : std::nullopt;
      const OptimResult replicated = solve(term, L1Prior(), x0, options);
      options.layout = ImageLayout::sharded;
      context.communicator().reset_counters();
      const OptimResult sharded = solve(term, L1Prior(), x0, options);
      EXPECT_EQ(context.communicator().counters().scatters > 0, context.size() > 1) << name;
      expect_near(sharded.x, replicated.x, 1e-11, name);
      EXPECT_NEAR(sharded.history.back().psnr, replicated.history.back().psnr, 1e-6) << name;
    }
  }
}

TEST_F(OptimSlabs, AutomaticLayoutsAreSlabsForLargeImagesThatAPriorLeavesApart) {
  const DistributedStackedLinearPhysics weights(context, 4, [](std::int64_t index, at::Device, const Params&) {
    return std::make_shared<Diagonal>(1.0 + static_cast<double>(index));
  });
  const DistributedDataFidelity f(weights, std::make_shared<L2>());
  const auto scatters = [&](std::int64_t size, const Prior& g, bool watched) {
    const at::Tensor x0 = at::zeros({1, 1, size, size});
    OptimOptions options{.max_iter = 2, .tol = 0.0, .layout = ImageLayout::automatic};
    if (watched) {
      options.monitor = [](const IterationRecord&, const at::Tensor&) { return true; };
    }
    context.communicator().reset_counters();
    (void)proximal_gradient(data_term(f, weights.A(x0 + 1.0)), g, x0, options);
    return context.communicator().counters().scatters > 0;
  };
  const bool among_ranks = context.size() > 1;
  EXPECT_FALSE(scatters(64, L1Prior(), false));
  EXPECT_EQ(scatters(600, L1Prior(), false), among_ranks);
  EXPECT_EQ(scatters(600, TotalVariation({.max_iter = 2}), false), among_ranks);
  EXPECT_FALSE(scatters(600, WaveletPrior(), false));
  EXPECT_FALSE(scatters(600, L1Prior(), true));
}

// A gather of the image and a scatter of the gradient; then one small sum for the stop rule.
TEST_F(OptimSlabs, AnIterationIsOneGatherOneScatterAndFewNumbers) {
  const DistributedDataFidelity f(stack, std::make_shared<L2>());
  const TensorList y = measured(random_image(at::kDouble, 2));
  const ShardedImage slab = cut(at::zeros({1, 2, 3, 4}, at::kDouble), {});
  const auto count = [&](int iterations) {
    for (int round = 0; round < 2; ++round) {
      context.communicator().reset_counters();
      (void)proximal_gradient(slab_data_term(f, y, slab.space), Positivity(), slab.local,
                              {.max_iter = iterations, .tol = 0.0, .step = 0.01});
    }
    return context.communicator().counters();
  };
  const MessageCounters few = count(8);
  const MessageCounters many = count(12);
  EXPECT_EQ(many.gathers - few.gathers, expected(4));
  EXPECT_EQ(many.scatters - few.scatters, expected(4));
  EXPECT_LE(many.collectives - few.collectives, expected(4 * 4 + 1));
}

TEST_F(OptimSlabs, WhatIsWrongIsSaidOnAllRanks) {
  const DistributedDataFidelity f(stack, std::make_shared<L2>());
  const at::Tensor x0 = random_image(at::kDouble, 3, 3);
  const TensorList y = measured(x0);
  const ShardedImage flat = cut(x0, {});
  const auto message_of = [&](const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto expect_error = [&](const std::string& part, const std::function<void()>& call) {
    const std::string message = message_of(call);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    expect_near(whole(f.grad(flat, y)), f.grad(x0, y), 1e-12);  // the next call is right
  };
  expect_error("items", [&] { (void)fista(slab_data_term(f, y, flat.space), L1Prior(), flat.local, {.max_iter = 2}); });
  expect_error("x0", [&] {
    (void)fista(slab_data_term(f, y, flat.space), L1Prior(), at::zeros({1000}, at::kDouble), {.max_iter = 2});
  });
  expect_error("slab", [&] { (void)f.grad(ShardedImage{at::zeros({1000}, at::kDouble), flat.space}, y); });
  expect_error("slab", [&] { (void)L1Prior().prox(ShardedImage{at::zeros({1000}, at::kDouble), flat.space}, 1.0); });
  if (context.size() > 1) {
    const PnP broken([&](const at::Tensor& x, double) -> at::Tensor {
      if (context.rank() == 1) {
        throw std::runtime_error("no denoiser here");
      }
      return x;
    });
    expect_error("no denoiser here", [&] { (void)broken.prox(flat, 1.0); });
    expect_error("no denoiser here", [&] {
      (void)fista(slab_data_term(f, y, flat.space), broken, flat.local, {.max_iter = 2, .items = 1});
    });
  }
}

}  // namespace
}  // namespace adjoin::test::optim_slabs_test
