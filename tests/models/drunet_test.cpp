// SPDX-License-Identifier: BSD-3-Clause
// DRUNet against PyTorch's own layers.
#include "adjoin/models/drunet.hpp"

#include "models/support.hpp"

namespace adjoin::test {
namespace {

TEST(DRUNet, EqualsTheReferenceOnPicturesAndVolumesOfAnySize) {
  for (const std::string dims : {"2d", "3d"}) {
    const Safetensors expected = read_safetensors(reference("drunet" + dims + ".safetensors"));
    const DRUNet denoiser(read_safetensors(reference("drunet" + dims + "_weights.safetensors")));
    expect_equal(denoiser(expected.at("x"), expected.at("sigma")), expected.at("denoised"));
  }
}

TEST(DRUNet, ANumberIsAnEvenMapOfNoise) {
  const DRUNet denoiser(read_safetensors(reference("drunet2d_weights.safetensors")));
  const at::Tensor x = at::rand({2, 3, 16, 16});
  expect_equal(denoiser(x, 0.3), denoiser(x, at::full({2, 1, 16, 16}, 0.3)));
  expect_equal(denoiser(x, at::tensor({0.3, 0.1}))[1], denoiser(x, 0.1)[1]);
}

TEST(DRUNet, BadWeightsAndArgumentsAreRefused) {
  const Safetensors good = read_safetensors(reference("drunet2d_weights.safetensors"));
  const auto message = [&](const auto& spoil) {
    Safetensors weights = good;
    spoil(weights);
    return refusal([&] { const DRUNet denoiser(weights); });
  };
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors.erase("m_up2.0.weight"); }), "'m_up2.0.weight'"));
  EXPECT_TRUE(
      contains(message([](Safetensors& w) { w.tensors.erase("m_body.1.res.2.weight"); }), "'m_body.1.res.2.weight'"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors["m_tail.bias2"] = at::zeros({3}); }), "'m_tail.bias2'"));
  EXPECT_TRUE(contains(message([](Safetensors& w) { w.tensors["m_down1.2.weight"] = at::zeros({6, 4, 3, 3}); }),
                       "'m_down1.2.weight'"));
  const DRUNet denoiser(good);
  EXPECT_EQ(denoiser.channels(), 3);
  EXPECT_THROW(denoiser(at::rand({1, 2, 8, 8}), 0.1), InvalidArgument);
  EXPECT_THROW(denoiser(at::rand({1, 3, 8, 8}), -0.1), InvalidArgument);
  EXPECT_THROW(denoiser(at::rand({1, 3, 8, 8}), at::rand({1, 1, 8, 7})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test
