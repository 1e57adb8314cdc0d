// SPDX-License-Identifier: BSD-3-Clause
// A processor in tiles gives what it gives on the whole image, at any number of ranks.
#include "adjoin/distributed/processing.hpp"

#include <torch/csrc/autograd/autograd.h>

#include "distributed/support.hpp"

namespace adjoin::test::processing_test {
namespace {

using Shape = std::vector<std::int64_t>;

// A small network of three convolutions of width 3 with tanh between them: its receptive field has radius 3.
constexpr std::int64_t radius = 3;

struct Net {
  std::string padding;  // as at::pad names it
  std::int64_t dims = 2;

  at::Tensor operator()(const at::Tensor& x) const {
    at::Tensor features = x;
    std::vector<std::int64_t> kernel(static_cast<std::size_t>(dims), 3);
    for (const auto& [in, out] : {std::pair{1, 4}, {4, 4}, {4, 1}}) {
      std::vector<std::int64_t> shape = {out, in};
      shape.insert(shape.end(), kernel.begin(), kernel.end());
      const at::Tensor weight =
          random_tensor(shape, x.scalar_type(), 10 * static_cast<std::uint64_t>(in) + static_cast<std::uint64_t>(out)) *
          0.4;
      const std::vector<std::int64_t> pads(2 * static_cast<std::size_t>(dims), 1);
      const at::Tensor padded = at::pad(features, pads, padding);
      features = at::tanh(dims == 2 ? at::conv2d(padded, weight) : at::conv3d(padded, weight));
    }
    return features;
  }
};

class Processing : public testing::Test {
 protected:
  template <class F>
  void expect_as_whole(const F& processor, const TilingOptions& options, at::IntArrayRef size) {
    const DistributedProcessing tiled(context, processor, options);
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const at::Tensor x = random_tensor(size, dtype, 1);
      expect_near(tiled(x), processor(x), tolerance(dtype), describe(options) + c10::str(" of ", size));
    }
  }

  std::int64_t expected(std::int64_t collectives) const { return context.size() == 1 ? 0 : collectives; }

  DistributedContext context;
};

TEST_F(Processing, TilesOfACircularNetworkGiveTheWholeResult) {
  for (const Shape& size : std::vector<Shape>{{1, 1, 32, 40}, {2, 1, 31, 45}, {1, 1, 9, 33}, {1, 1, 5, 6}}) {
    for (const auto batch : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{3}}) {
      expect_as_whole(Net{"circular"},
                      {.patch_size = {10}, .overlap = {radius}, .pad_mode = PadMode::circular, .max_batch_size = batch},
                      size);
      expect_as_whole(Net{"circular"},
                      {.patch_size = {8, 16},
                       .overlap = {5, radius},
                       .stride = {5},
                       .pad_mode = PadMode::circular,
                       .max_batch_size = batch},
                      size);
    }
  }
}

TEST_F(Processing, TilesOfVolumesToo) {
  expect_as_whole(Net{"circular", 3}, {.patch_size = {6}, .overlap = {radius}, .pad_mode = PadMode::circular},
                  {1, 1, 7, 12, 15});
  expect_as_whole(Net{"circular", 3},
                  {.tiling_dims = {2}, .patch_size = {4}, .overlap = {radius}, .pad_mode = PadMode::circular},
                  {2, 1, 11, 6, 5});
}

TEST_F(Processing, WithoutPaddingANetworkThatPadsByItselfMeetsTheTrueBorder) {
  for (const char* padding : {"constant", "reflect", "replicate"}) {
    expect_as_whole(Net{padding}, {.patch_size = {10}, .overlap = {radius}, .pad_mode = PadMode::none}, {1, 1, 31, 45});
    expect_as_whole(Net{padding}, {.patch_size = {10}, .overlap = {radius}, .pad_mode = PadMode::none}, {1, 1, 14, 45});
  }
}

TEST_F(Processing, PaddingAsTheProcessorPadsIsExact) {
  for (const PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::constant, PadMode::circular}) {
    const auto smooth = [mode](const at::Tensor& x) {
      const at::Tensor kernel = random_tensor({1, 1, 5, 5}, x.scalar_type(), 7);
      return at::conv2d(at::pad(x, {2, 2, 2, 2}, to_string(mode)), kernel);
    };
    expect_as_whole(smooth, {.patch_size = {10}, .overlap = {2}, .pad_mode = mode}, {1, 1, 31, 45});
  }
}

TEST_F(Processing, AnOverlapBelowTheRadiusShows) {
  const at::Tensor x = random_tensor({1, 1, 32, 32}, at::kDouble, 1);
  const Net net{"circular"};
  const DistributedProcessing tiled(context, net,
                                    {.patch_size = {10}, .overlap = {radius - 1}, .pad_mode = PadMode::circular});
  EXPECT_GT(adjoin::norm(tiled(x) - net(x)), 1e-6);
}

TEST_F(Processing, BasicBlocksAreExactForPixelwiseFunctions) {
  const auto square = [](const at::Tensor& x) { return x * x; };
  expect_as_whole(square, {.strategy = Tiling::basic, .patch_size = {10}}, {1, 2, 31, 45});
  expect_as_whole(square, {.strategy = Tiling::basic, .num_splits = {3, 2}, .max_batch_size = 4}, {2, 2, 31, 45});
}

TEST_F(Processing, ShapesMayChangeFromCallToCall) {
  const Net net{"circular"};
  const DistributedProcessing tiled(context, net,
                                    {.patch_size = {10}, .overlap = {radius}, .pad_mode = PadMode::circular});
  for (int round = 0; round < 2; ++round) {
    for (const Shape& size : std::vector<Shape>{{1, 1, 32, 40}, {2, 1, 11, 8}, {1, 1, 3, 3}}) {
      const at::Tensor x = random_tensor(size, at::kDouble, 1);
      expect_near(tiled(x), net(x), 1e-12);
    }
  }
}

TEST_F(Processing, RanksWithoutTilesTakePart) {
  const at::Tensor x = random_tensor({1, 1, 6, 8}, at::kDouble, 1);
  const DistributedProcessing tiled(context, Net{"reflect"}, {});
  expect_near(tiled(x), Net{"reflect"}(x), 1e-12);
  EXPECT_EQ(tiled.num_patches(), 1);
  EXPECT_EQ(tiled.local_indices().size(), context.rank() == 0 ? 1U : 0U);
}

TEST_F(Processing, WithoutGatherARankHasItsTilesAlone) {
  const at::Tensor x = random_tensor({1, 1, 32, 40}, at::kDouble, 1);
  const DistributedProcessing tiled(context, Net{"circular"},
                                    {.patch_size = {10}, .overlap = {radius}, .pad_mode = PadMode::circular});
  context.communicator().reset_counters();
  const at::Tensor mine = tiled(x, {.gather = false});
  EXPECT_EQ(context.communicator().counters().collectives, 0);
  expect_near(sum_over_ranks(context.communicator(), mine, x), tiled(x), 1e-12);
}

TEST_F(Processing, ACallIsOneReductionOfTheImagesSize) {
  const at::Tensor x = random_tensor({1, 1, 32, 40}, at::kDouble, 1);
  const DistributedProcessing tiled(context, Net{"circular"}, {.patch_size = {10}, .overlap = {radius}});
  (void)tiled(x);
  (void)tiled(x);
  context.communicator().reset_counters();
  (void)tiled(x);
  const MessageCounters& counted = context.communicator().counters();
  EXPECT_EQ(counted.collectives, expected(1));
  EXPECT_EQ(counted.reductions, expected(1));
  EXPECT_LE(counted.bytes, static_cast<std::int64_t>(x.nbytes()) + 64);
}

TEST_F(Processing, ParametersReachTheProcessor) {
  const at::Tensor x = random_tensor({1, 1, 20, 20}, at::kDouble, 1);
  const TilingOptions options{.patch_size = {8}, .overlap = {2}};
  const DistributedProcessing scaled(context, [](const at::Tensor& t, double sigma) { return t * sigma; }, options);
  expect_near(scaled(x, 0.25), 0.25 * x, 1e-12);
  expect_near(scaled(x, 0.5), 0.5 * x, 1e-12);
  const DistributedProcessing shifted(
      context, [](const at::Tensor& t, const Params& params) { return t + params.get<double>("by"); }, options);
  expect_near(shifted(x, {.params = {{"by", 3.0}}}), x + 3.0, 1e-12);
}

TEST_F(Processing, ComplexImagesAreProcessed) {
  const at::Tensor x = random_tensor({1, 1, 20, 20}, at::kComplexDouble, 1);
  const DistributedProcessing tiled(context, [](const at::Tensor& t) { return t * t; },
                                    {.patch_size = {8}, .overlap = {2}});
  expect_near(tiled(x), x * x, 1e-12);
}

// Strips of two rows that overlap by one; each contributes half of what both see.
class BlendedStrips : public DistributedSignalStrategy {
 public:
  using DistributedSignalStrategy::DistributedSignalStrategy;
  std::int64_t get_num_patches() const override { return img_size()[2]; }
  std::vector<at::Tensor> get_local_patches(const at::Tensor& x,
                                            const std::vector<std::int64_t>& indices) const override {
    std::vector<at::Tensor> patches;
    for (const std::int64_t i : indices) {
      patches.push_back(at::roll(x, -i, 2).narrow(2, 0, 2));
    }
    return patches;
  }
  void reduce_patches(at::Tensor& out, const std::vector<std::int64_t>& indices,
                      const std::vector<at::Tensor>& patches) const override {
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const std::int64_t next = (indices[k] + 1) % img_size()[2];
      out.narrow(2, indices[k], 1).add_(patches[k].narrow(2, 0, 1), 0.5);
      out.narrow(2, next, 1).add_(patches[k].narrow(2, 1, 1), 0.5);
    }
  }
};

TEST_F(Processing, AStrategyOfOnesOwnMayBlend) {
  const auto square = [](const at::Tensor& x) { return x * x; };
  expect_as_whole(square, {.custom = [](at::IntArrayRef size) { return std::make_unique<BlendedStrips>(size); }},
                  {2, 1, 9, 5});
}

TEST_F(Processing, GradientsAreThoseOfTheWhole) {
  const Net net{"circular"};
  const DistributedProcessing tiled(context, net,
                                    {.patch_size = {6}, .overlap = {radius}, .pad_mode = PadMode::circular});
  for (const Shape& size : std::vector<Shape>{{2, 1, 15, 20}, {1, 1, 5, 5}}) {
    const at::Tensor x = random_tensor(size, at::kDouble, 1).requires_grad_();
    const at::Tensor weights = random_tensor(size, at::kDouble, 2);
    const auto gradient = [&](const at::Tensor& y) { return torch::autograd::grad({(y * y * weights).sum()}, {x})[0]; };
    for (int round = 0; round < 2; ++round) {
      expect_near(gradient(tiled(x)), gradient(net(x)), 1e-12);
    }
  }
}

TEST_F(Processing, FailuresAreTheSameOnEveryRankAndTheNextCallWorks) {
  const at::Tensor x = random_tensor({1, 1, 20, 20}, at::kDouble, 1);
  const TilingOptions options{.patch_size = {8}, .overlap = {2}};
  int mode = 0;
  const DistributedProcessing tiled(
      context,
      [&](const at::Tensor& t) {
        if (mode == 1) {
          return t.narrow(-1, 0, 3);
        }
        if (mode == 2) {
          return t.to(at::kFloat);
        }
        if (mode == 3 && context.rank() == context.size() - 1) {
          throw std::runtime_error("the weights are lost");
        }
        return t * 2.0;
      },
      options);
  for (int round = 0; round < 2; ++round) {
    mode = 1;
    const RankFailure shape = expect_failure_everywhere(context, [&] { (void)tiled(x); });
    EXPECT_NE(shape.reason.find("processor: must keep the shape and dtype of its tiles, Double [1, 1, 12, 12]"),
              std::string::npos)
        << shape.reason;
    mode = 2;
    EXPECT_NE(expect_failure_everywhere(context, [&] { (void)tiled(x); }).reason.find("Float"), std::string::npos);
    mode = 3;
    const RankFailure lost = expect_failure_everywhere(context, [&] { (void)tiled(x); });
    EXPECT_EQ(lost.rank, context.size() - 1);
    EXPECT_EQ(lost.reason, "the weights are lost");
    mode = 0;
    expect_failure_everywhere(context, [&] { (void)tiled(at::Tensor()); });
    expect_failure_everywhere(context, [&] { (void)tiled(x.to(at::kLong)); });
    expect_failure_everywhere(context, [&] { (void)tiled(x[0][0]); });  // no dimension is left to cut
    expect_near(tiled(x), 2.0 * x, 1e-12);
  }
  if (context.size() > 1) {
    expect_failure_everywhere(context, [&] { (void)tiled(context.rank() == 0 ? x : x.narrow(2, 0, 18)); });
    expect_near(tiled(x), 2.0 * x, 1e-12);
  }
}

TEST_F(Processing, BadOptionsAreTheSameErrorOnEveryRank) {
  const auto refused = [&](const TilingOptions& options) {
    return expect_failure_everywhere(context,
                                     [&] { const DistributedProcessing tiled(context, Net{"reflect"}, options); })
        .reason;
  };
  EXPECT_NE(refused({.patch_size = {8}, .overlap = {8}}).find("overlap"), std::string::npos);
  EXPECT_NE(refused({.patch_size = {8}, .overlap = {1}, .stride = {9}}).find("stride"), std::string::npos);
  if (context.size() > 1) {
    refused({.patch_size = {64 + context.rank()}});
  }
  expect_failure_everywhere(context, [&] { const DistributedProcessing tiled(context, Processor(), {}); });
  const DistributedProcessing strange(
      context, Net{"reflect"},
      {.custom = [](at::IntArrayRef) -> std::unique_ptr<DistributedSignalStrategy> { return nullptr; }});
  expect_failure_everywhere(context, [&] { (void)strange(at::rand({1, 1, 8, 8})); });
}

}  // namespace
}  // namespace adjoin::test::processing_test
