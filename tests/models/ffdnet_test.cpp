// SPDX-License-Identifier: BSD-3-Clause
// FFDNet against PyTorch's own layers.
#include "adjoin/models/ffdnet.hpp"

#include "models/support.hpp"

namespace adjoin::test {
namespace {

/// Of twelve layers in single precision: PyTorch's own layers are up to 3.2e-6 from the exact result, depending on the
/// algorithms that oneDNN has for the processor.
constexpr double round_off = 5e-6;

TEST(FFDNet, EqualsTheReferenceOnOddImagesWithANoiseLevelEach) {
  const Safetensors expected = read_safetensors(reference("ffdnet.safetensors"));
  const FFDNet denoiser(read_safetensors(model("ffdnet_color")));
  expect_equal(denoiser(expected.at("x"), expected.at("sigma")), expected.at("denoised"), round_off);
  expect_equal(denoiser(expected.at("x").narrow(0, 1, 1), 0.2), expected.at("denoised").narrow(0, 1, 1), round_off);
}

TEST(FFDNet, AChangeReachesAsFarAsTheRadius) {
  const FFDNet denoiser(read_safetensors(model("ffdnet_color")));
  EXPECT_EQ(denoiser.channels(), 3);
  EXPECT_EQ(denoiser.radius(), 24);
  const at::Tensor x = at::rand({1, 3, 64, 64});
  at::Tensor changed = x.clone();
  changed.narrow(2, 0, 32 - 24).fill_(2.0);  // rows 0 to 7: row 32 and those below must not notice
  const at::Tensor rows = (denoiser(changed, 0.1) - denoiser(x, 0.1)).abs().amax({0, 1, 3});
  EXPECT_EQ(rows.narrow(0, 32, 32).max().item<double>(), 0.0);
  EXPECT_GT(rows[31].item<double>(), 0.0);
}

TEST(FFDNet, BadWeightsAndArgumentsAreRefused) {
  const Safetensors good = read_safetensors(model("ffdnet_color"));
  Safetensors weights = good;
  weights.tensors.erase("model.0.weight");
  EXPECT_TRUE(contains(refusal([&] { const FFDNet denoiser(weights); }), "'model.0.weight'"));
  weights = good;
  weights.tensors.erase("model.22.weight");
  weights.tensors.erase("model.22.bias");
  EXPECT_TRUE(contains(refusal([&] { const FFDNet denoiser(weights); }), "4 C"));
  const FFDNet denoiser(good);
  const at::Tensor x = at::rand({2, 3, 8, 8});
  EXPECT_THROW(denoiser(x.narrow(1, 0, 1), 0.1), InvalidArgument);
  EXPECT_THROW(denoiser(x, -0.1), InvalidArgument);
  EXPECT_THROW(denoiser(x, at::rand({2, 1, 8, 8})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test
