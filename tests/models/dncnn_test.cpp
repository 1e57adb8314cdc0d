// SPDX-License-Identifier: BSD-3-Clause
// DnCNN against PyTorch's own layers, at noise levels that it was and was not trained for.
#include "adjoin/models/dncnn.hpp"

#include <torch/csrc/autograd/autograd.h>

#include "models/support.hpp"

namespace adjoin::test {
namespace {

DnCNN dncnn(const std::string& name) { return DnCNN(read_safetensors(model(name))); }

TEST(DnCNN, FoldedWeightsGiveWhatBatchNormalisationGives) {
  const Safetensors expected = read_safetensors(reference("dncnn.safetensors"));
  expect_equal(dncnn("dncnn6M")(expected.at("x"), 0.1), expected.at("6M"));
}

TEST(DnCNN, AnotherNoiseLevelScalesTheImageToTheTrainedOneAndBack) {
  const Safetensors expected = read_safetensors(reference("dncnn.safetensors"));
  const DnCNN denoiser = dncnn("dncnn6M");
  expect_equal(denoiser(expected.at("x"), 0.05), expected.at("6M at sigma 0.05"));
  const at::Tensor each = denoiser(expected.at("x"), at::tensor({0.05, 0.1}));
  expect_equal(each[0], expected.at("6M at sigma 0.05")[0]);
  expect_equal(each[1], expected.at("6M")[1]);
}

TEST(DnCNN, TheNoiseLevelIsAChannelWhereTheWeightsHaveOne) {
  const Safetensors expected = read_safetensors(reference("dncnn.safetensors"));
  const at::Tensor& x = expected.at("x");
  const DnCNN denoiser = dncnn("dncnn6N");
  expect_equal(denoiser(x, 0.07), expected.at("6N at sigma 0.07"));
  expect_equal(denoiser(x, at::full_like(x, 0.07)), expected.at("6N at sigma 0.07"));
}

TEST(DnCNN, ColourGoesChannelByChannelThroughAGreyNetwork) {
  const at::Tensor x = at::rand({2, 3, 16, 11});
  for (const char* name : {"dncnn6M", "dncnn6N"}) {
    const DnCNN denoiser = dncnn(name);
    const at::Tensor denoised = denoiser(x, at::tensor({0.1, 0.2}));
    for (std::int64_t c = 0; c < 3; ++c) {
      expect_equal(denoised.narrow(1, c, 1), denoiser(x.narrow(1, c, 1), at::tensor({0.1, 0.2})));
    }
  }
}

TEST(DnCNN, VolumesAndPlainNamesOfDeepinvAreDenoised) {
  const Safetensors expected = read_safetensors(reference("dncnn3d.safetensors"));
  const DnCNN denoiser(read_safetensors(reference("dncnn3d_weights.safetensors")));
  expect_equal(denoiser(expected.at("x"), 1.0), expected.at("denoised"));
  EXPECT_EQ(denoiser.radius(), 4);
}

TEST(DnCNN, CircularPaddingCommutesWithCircularShifts) {
  const at::Tensor x = at::rand({1, 1, 13, 17});
  const DnCNN denoiser = dncnn("dncnn6H");
  expect_equal(at::roll(denoiser(x, 0.2), {5, -4}, {2, 3}), denoiser(at::roll(x, {5, -4}, {2, 3}), 0.2));
}

TEST(DnCNN, AChangeReachesAsFarAsTheRadius) {
  const DnCNN denoiser = dncnn("dncnn6M");
  EXPECT_EQ(denoiser.radius(), 6);
  const at::Tensor x = at::rand({1, 1, 31, 31});
  at::Tensor changed = x.clone();
  changed.index({0, 0, 15, 15}).fill_(5.0);
  const at::Tensor rows = (denoiser(changed, 0.1) - denoiser(x, 0.1)).abs().amax({0, 1, 3});
  EXPECT_GT(rows[15 - 6].item<double>(), 0.0);
  EXPECT_EQ(rows[15 - 7].item<double>(), 0.0);
}

TEST(DnCNN, GradientsFlowToTheImage) {
  Safetensors weights = read_safetensors(model("dncnn6M"));
  for (auto& [name, tensor] : weights.tensors) {
    tensor = tensor.to(at::kDouble);
  }
  const DnCNN denoiser(weights);
  const at::Tensor x = at::rand({1, 1, 9, 8}, at::kDouble).requires_grad_();
  const at::Tensor v = at::randn_like(x);
  const at::Tensor direction = at::randn_like(x);
  const at::Tensor gradient = torch::autograd::grad({denoiser(x, 0.08)}, {x}, {v})[0];
  const double step = 1e-6;
  const at::Tensor difference =
      (denoiser(x.detach() + step * direction, 0.08) - denoiser(x.detach() - step * direction, 0.08)) / (2.0 * step);
  EXPECT_NEAR((difference * v).sum().item<double>(), (gradient * direction).sum().item<double>(), 1e-6);
}

TEST(DnCNN, DoubleImagesComeBackDouble) {
  const at::Tensor x = at::rand({1, 1, 16, 16});
  const DnCNN denoiser = dncnn("dncnn6M");
  const at::Tensor denoised = denoiser(x.to(at::kDouble), 0.1);
  EXPECT_EQ(denoised.scalar_type(), at::kDouble);
  expect_equal(denoised.to(at::kFloat), denoiser(x, 0.1));
}

TEST(DnCNN, BadWeightsNameFileAndTensor) {
  const Safetensors good = read_safetensors(model("dncnn6M"));
  const auto message = [&](const auto& spoil) {
    Safetensors weights = good;
    spoil(weights);
    std::string text = refusal([&] { const DnCNN denoiser(weights); });
    EXPECT_TRUE(contains(text, "dncnn6M.safetensors")) << text;
    return text;
  };
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors.erase("out_conv.weight"); }), "'out_conv.weight'"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors["conv.weight"] = at::zeros({1}); }), "'conv.weight'"));
  // A gap in the numbers leaves the layers behind it over.
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors.erase("conv_list.1.weight"); }), "'conv_list.1.bias'"));
  EXPECT_TRUE(
      contains(message([](Safetensors& w) { w.tensors["in_conv.weight"] = at::zeros({64, 1}); }), "'in_conv.weight'"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors["conv_list.0.weight"] = at::zeros({64, 63, 3, 3}); }),
                       "layer 1"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.metadata["padding"] = "mirror"; }), "'mirror'"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.metadata["sigma"] = "0.1x"; }), "'0.1x'"));
}

TEST(DnCNN, BadArgumentsAreRefused) {
  const DnCNN denoiser = dncnn("dncnn6M");
  const at::Tensor x = at::rand({1, 1, 8, 8});
  EXPECT_THROW(denoiser(x, 0.0), InvalidArgument);
  EXPECT_THROW(denoiser(x[0], 0.1), InvalidArgument);
  EXPECT_THROW(denoiser(at::Tensor(), 0.1), InvalidArgument);
  EXPECT_THROW(denoiser(x.to(at::kComplexFloat), 0.1), InvalidArgument);
  EXPECT_THROW(denoiser(x, at::full({3}, 0.1)), InvalidArgument);
  EXPECT_THROW(denoiser(x, at::full_like(x, 0.1)), InvalidArgument);  // a map, for weights without that channel
}

}  // namespace
}  // namespace adjoin::test
