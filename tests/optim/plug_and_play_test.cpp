// SPDX-License-Identifier: BSD-3-Clause
// Plug-and-play with a denoiser in tiles: equal to one process, with one message for the physics and one for the tiles.
#include <functional>

#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "optim/support.hpp"

namespace adjoin::test {
namespace {

// A smoothing of 3 x 3 pixels, as strong as the noise, with replicated borders.
at::Tensor smooth(const at::Tensor& x, double sigma) {
  const Blur blur(at::ones({1, 1, 3, 3}, x.options()) / 9.0, {.padding = Padding::Replicate});
  return at::lerp(x, blur.A(x), sigma);
}

class PlugAndPlay : public testing::Test {
 protected:
  static std::vector<LinearPhysicsPtr> blurs() {
    std::vector<LinearPhysicsPtr> operators;
    for (const double sigma : {0.6, 0.8, 1.0}) {
      operators.push_back(std::make_shared<Blur>(gaussian_kernel({sigma, sigma}, 0.0, {.dtype = at::kDouble}),
                                                 BlurOptions{.padding = Padding::Circular}));
    }
    return operators;
  }

  DistributedContext context;
  StackedLinearPhysics single{blurs()};
  at::Tensor truth = random_tensor({1, 3, 24, 32}, at::kDouble, 1);
  TensorList y = single.A(truth);
  at::Tensor x0 = at::zeros_like(truth);

  DistributedStackedLinearPhysics stack = distribute(blurs(), context);
  DistributedDataFidelity f = distribute(L2(), stack);
  DistributedProcessing tiled =
      distribute(smooth, context, {.patch_size = {8}, .overlap = {1}, .pad_mode = PadMode::replicate});
};

TEST_F(PlugAndPlay, EqualsTheSingleProcess) {
  const StackedDataFidelity alone(single, std::make_shared<L2>());
  const OptimOptions options{.max_iter = 10, .tol = 0.0, .step = 0.5};
  const PnP prior(std::cref(tiled), 0.3);
  const PnP whole(smooth, 0.3);
  expect_near(proximal_gradient(data_term(f, y), prior, x0, options).x,
              proximal_gradient(data_term(alone, y), whole, x0, options).x, 1e-12);
  const DataTermOptions inner{.prox = {.max_iter = 5, .tol = 0.0}};
  expect_near(admm(data_term(f, y, inner), prior, x0, 0.5, options).x,
              admm(data_term(alone, y, inner), whole, x0, 0.5, options).x, 1e-11);
}

TEST_F(PlugAndPlay, OnSlabsItGathersTheImageForTheTiles) {
  const PnP prior(std::cref(tiled), 0.3);
  const OptimOptions options{.max_iter = 6, .tol = 0.0, .step = 0.5};
  const at::Tensor expected = proximal_gradient(data_term(f, y), prior, x0, options).x;
  for (const auto axis : {std::optional<std::int64_t>(), std::optional<std::int64_t>(2)}) {
    const ShardedImage start = stack.shard_image(x0, axis);
    const at::Tensor found = proximal_gradient(slab_data_term(f, y, start.space), prior, start.local, options).x;
    expect_near(stack.gather(ShardedImage{found, start.space}), expected, 1e-12);
  }
}

TEST_F(PlugAndPlay, AnIterationIsOneMessageForThePhysicsAndOneForTheTiles) {
  const auto count = [&](int iterations) {
    const auto run = [&] {
      return proximal_gradient(data_term(f, y), PnP(std::cref(tiled), 0.3), x0,
                               {.max_iter = iterations, .tol = 0.0, .step = 0.5});
    };
    (void)run();
    context.communicator().reset_counters();
    (void)run();
    return context.communicator().counters();
  };
  const MessageCounters few = count(5);
  const MessageCounters many = count(15);
  const std::int64_t ten = context.size() == 1 ? 0 : 10;
  EXPECT_EQ(many.collectives - few.collectives, 2 * ten);
  EXPECT_EQ(many.reductions - few.reductions, 2 * ten);
  const auto image_bytes = static_cast<std::int64_t>(truth.nbytes());
  EXPECT_GE(many.bytes - few.bytes, 2 * ten * image_bytes);
  EXPECT_LE(many.bytes - few.bytes, 2 * ten * (image_bytes + 64));
}

TEST_F(PlugAndPlay, ATileThatFailsIsNamedAsItFailed) {
  const auto fragile = distribute(
      [&](const at::Tensor& tiles, double) {
        check(context.rank() + 1 != context.size(), "the denoiser gave up");
        return tiles;
      },
      context, {.patch_size = {8}, .overlap = {1}});
  const auto run = [&] {
    (void)proximal_gradient(data_term(f, y), PnP(std::cref(fragile), 0.3), x0, {.max_iter = 3, .step = 0.5});
  };
  const RankFailure failure = expect_failure_everywhere(context, run);
  EXPECT_EQ(failure.rank, context.size() - 1);
  EXPECT_EQ(failure.reason, "the denoiser gave up");
}

}  // namespace
}  // namespace adjoin::test
