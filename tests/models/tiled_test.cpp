// SPDX-License-Identifier: BSD-3-Clause
// Trained denoisers in tiles give what they give on the whole image.
#include "adjoin/distributed/processing.hpp"
#include "adjoin/models/denoiser.hpp"
#include "adjoin/models/dncnn.hpp"
#include "adjoin/models/ffdnet.hpp"
#include "models/support.hpp"

namespace adjoin::test {
namespace {

using Shape = std::vector<std::int64_t>;

TEST(Tiled, DnCNNPaddedCircularlyIsExactOnOddSizesToo) {
  DistributedContext context;
  const DnCNN denoiser(read_safetensors(model("dncnn6M")));
  const std::int64_t radius = denoiser.radius();
  for (const std::int64_t overlap : {radius, radius + 3}) {
    for (const std::int64_t patch : {16, 25}) {
      const DistributedProcessing tiled(context, denoiser,
                                        {.patch_size = {patch}, .overlap = {overlap}, .pad_mode = PadMode::circular});
      for (const Shape& size : std::vector<Shape>{{1, 1, 61, 47}, {2, 3, 40, 33}, {1, 1, 7, 90}}) {
        const at::Tensor x = at::rand(size);
        expect_equal(tiled(x, 0.1), denoiser(x, 0.1), 1e-5);
      }
    }
  }
  const at::Tensor x = at::rand({1, 1, 61, 47});
  const DistributedProcessing narrow(context, denoiser,
                                     {.patch_size = {16}, .overlap = {radius - 2}, .pad_mode = PadMode::circular});
  EXPECT_GT((narrow(x, 0.1) - denoiser(x, 0.1)).abs().max().item<double>(), 1e-5);
}

TEST(Tiled, FFDNetWithoutPaddingIsExactForTilesThatBeginAtEvenPixels) {
  DistributedContext context;
  const FFDNet denoiser(read_safetensors(model("ffdnet_color")));
  const DistributedProcessing tiled(context, denoiser,
                                    {.patch_size = {32}, .overlap = {denoiser.radius()}, .pad_mode = PadMode::none});
  const at::Tensor x = at::rand({1, 3, 90, 122});
  expect_equal(tiled(x, 0.1), denoiser(x, 0.1), 1e-5);
}

TEST(Tiled, ALoadedDenoiserIsAProcessor) {
  DistributedContext context;
  const Denoiser denoiser = load_denoiser(model("dncnn6H"));
  const DistributedProcessing tiled(context, denoiser,
                                    {.patch_size = {32}, .overlap = {6}, .pad_mode = PadMode::circular});
  const at::Tensor x = at::rand({1, 1, 50, 70});
  expect_equal(tiled(x, 0.15), denoiser(x, 0.15), 1e-5);
}

}  // namespace
}  // namespace adjoin::test
