// SPDX-License-Identifier: BSD-3-Clause
// Trained denoisers reach the quality that their authors' code reaches on the same photographs.
#include "adjoin/models/denoiser.hpp"

#include "adjoin/core/psnr.hpp"
#include "adjoin/io/image.hpp"
#include "io/temporary_folder.hpp"
#include "models/support.hpp"

namespace adjoin::test {
namespace {

struct Quality {
  double noisy;
  double denoised;
};

Quality quality(const std::string& name, const at::Tensor& clean, double sigma) {
  at::manual_seed(0);
  const at::Tensor noisy = clean + sigma * at::randn_like(clean);
  return {psnr(noisy, clean), psnr(load_denoiser(model(name))(noisy, sigma), clean)};
}

// Luminance of linear primaries, ITU-R BT.709.
at::Tensor grey(const at::Tensor& colour) {
  return (colour * at::tensor({0.2125, 0.7154, 0.0721}, colour.options()).view({1, 3, 1, 1})).sum(1, /*keepdim=*/true);
}

TEST(Denoiser, DnCNN17ReachesItsQualityOnGreyPhotographs) {
  const Quality camera = quality("dncnn17M", read_png(reference("camera.png")), 0.10);
  EXPECT_NEAR(camera.noisy, 20.0, 0.1);
  EXPECT_NEAR(camera.denoised, 29.8, 0.1);
  const Quality kodim23 = quality("dncnn17L", grey(read_png(reference("kodim23.png"))), 0.06);
  EXPECT_NEAR(kodim23.noisy, 24.4, 0.1);
  EXPECT_NEAR(kodim23.denoised, 35.4, 0.1);
}

TEST(Denoiser, FFDNetReachesItsQualityOnAColourPhotograph) {
  const at::Tensor kodim23 = read_png(reference("kodim23.png"));
  EXPECT_NEAR(quality("ffdnet_color", kodim23, 15.0 / 255.0).denoised, 37.6, 0.1);
  EXPECT_NEAR(quality("ffdnet_color", kodim23, 25.0 / 255.0).denoised, 35.5, 0.1);
  EXPECT_NEAR(quality("ffdnet_color", kodim23, 50.0 / 255.0).denoised, 32.3, 0.1);
}

TEST(Denoiser, EveryConvertedVariantImprovesAPhotograph) {
  const at::Tensor camera = read_png(reference("camera.png")).narrow(2, 64, 128).narrow(3, 192, 128);
  for (const std::string depth : {"6", "17"}) {
    for (const auto& [variant, sigma] : {std::pair{"L", 0.06}, {"M", 0.10}, {"H", 0.20}, {"N", 0.13}}) {
      const Quality result = quality("dncnn" + depth + variant, camera, sigma);
      EXPECT_GT(result.denoised, result.noisy + 6.0) << depth << variant;
    }
  }
}

TEST(Denoiser, FilesOfOtherArchitecturesAreRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "weights.safetensors";
  write_safetensors(path, {.metadata = {{"architecture", "VGG"}}});
  EXPECT_TRUE(contains(refusal([&] { load_denoiser(path); }), "'VGG'"));
  write_safetensors(path, {});
  EXPECT_TRUE(contains(refusal([&] { load_denoiser(path); }), "weights.safetensors"));
  std::filesystem::copy_file(model("dncnn6M"), path, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::resize_file(path, 1000);
  EXPECT_TRUE(contains(refusal([&] { load_denoiser(path); }), "cut off"));
  EXPECT_TRUE(contains(refusal([&] { load_denoiser(folder / "none.safetensors"); }), "none.safetensors"));
}

}  // namespace
}  // namespace adjoin::test
