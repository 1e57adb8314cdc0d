// SPDX-License-Identifier: BSD-3-Clause
// Pictures written and read, with the precision and the order that tensors promise.
#include "adjoin/io/image.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "adjoin/core/errors.hpp"
#include "temporary_folder.hpp"

namespace adjoin::image_test {
namespace {

// A 2 x 2 grey picture of 16 bits a sample, (0, 257; 32896, 65535), as another program wrote it.
constexpr unsigned char kWideGrey[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0x02, 0x10, 0x00, 0x00, 0x00, 0x00, 0x07, 0x4d, 0x8e, 0xbb, 0x00, 0x00, 0x00, 0x12, 0x49,
    0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x60, 0x60, 0x64, 0x64, 0x68, 0x68, 0xf8, 0xff, 0x1f, 0x00, 0x06, 0x94,
    0x03, 0x01, 0x20, 0x0f, 0x2f, 0x71, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Png, RoundTripKeepsEightBitValues) {
  const TemporaryFolder folder;
  for (const std::int64_t channels : {1, 3}) {
    const at::Tensor image = at::randint(0, 256, {1, channels, 13, 7}).to(at::kFloat) / 255.0;
    write_png(folder / "image.png", image);
    const at::Tensor read = read_png(folder / "image.png");
    EXPECT_EQ(read.sizes(), image.sizes());
    EXPECT_EQ(read.scalar_type(), at::kFloat);
    EXPECT_LT((read - image).abs().max().item<double>(), 1e-6);
  }
}

TEST(Png, RowsAreImageRowsAndChannelsAreRedGreenBlue) {
  const TemporaryFolder folder;
  at::Tensor image = at::zeros({3, 2, 3});
  image[0][0][2] = 1.0;  // red at the right end of the first row
  image[2][1][0] = 1.0;  // blue at the left end of the second row
  write_png(folder / "image.png", image);
  EXPECT_TRUE(at::equal(read_png(folder / "image.png")[0], image));
}

TEST(Png, ValuesOutsideTheUnitIntervalAreClamped) {
  const TemporaryFolder folder;
  const at::Tensor image = at::tensor({-0.5, 0.0, 0.5, 1.5}).reshape({1, 1, 2, 2});
  write_png(folder / "image.png", image);
  const at::Tensor read = read_png(folder / "image.png").flatten();
  EXPECT_EQ(read[0].item<float>(), 0.0F);
  EXPECT_NEAR(read[2].item<float>(), 0.5F, 1.0F / 255.0F);
  EXPECT_EQ(read[3].item<float>(), 1.0F);
}

TEST(Png, SixteenBitSamplesKeepTheirPrecision) {
  const TemporaryFolder folder;
  std::ofstream(folder / "wide.png", std::ios::binary)
      .write(reinterpret_cast<const char*>(kWideGrey), sizeof kWideGrey);
  const at::Tensor expected = at::tensor({0.0, 257.0, 32896.0, 65535.0}).reshape({1, 1, 2, 2}) / 65535.0;
  EXPECT_LT((read_png(folder / "wide.png") - expected).abs().max().item<double>(), 1e-7);
}

TEST(Png, BadFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_NE(message_of([&] { read_png(folder / "none.png"); }).find("none.png"), std::string::npos);

  std::ofstream(folder / "text.png") << "This is no picture at all.";
  EXPECT_NE(message_of([&] { read_png(folder / "text.png"); }).find("is not a PNG file"), std::string::npos);

  write_png(folder / "whole.png", at::rand({3, 64, 64}));
  std::filesystem::resize_file(folder / "whole.png", 1000);
  EXPECT_NE(message_of([&] { read_png(folder / "whole.png"); }).find("is damaged"), std::string::npos);
}

TEST(Png, ClaimsOfPixelsThatAFileCannotHoldAreRefused) {
  const TemporaryFolder folder;
  std::string bytes(reinterpret_cast<const char*>(kWideGrey), sizeof kWideGrey);
  // 65535 x 65535 pixels of 16 bits, and the checksum of that header.
  bytes.replace(16, 8, std::string("\0\0\xFF\xFF\0\0\xFF\xFF", 8));
  bytes.replace(29, 4, std::string("\xC3\xFE\x5A\xCF", 4));
  std::ofstream(folder / "vast.png", std::ios::binary) << bytes;
  const std::string message = message_of([&] { read_png(folder / "vast.png"); });
  EXPECT_NE(message.find("cannot hold"), std::string::npos) << message;
}

TEST(Png, LargePicturesOfOneColourAreRead) {
  const TemporaryFolder folder;
  write_png(folder / "white.png", at::ones({3, 3000, 2000}));
  ASSERT_LT(std::filesystem::file_size(folder / "white.png"), 100'000U);
  const at::Tensor read = read_png(folder / "white.png");
  EXPECT_EQ(read.sizes(), at::IntArrayRef({1, 3, 3000, 2000}));
  EXPECT_TRUE(at::equal(read, at::ones_like(read)));
}

TEST(Png, BadImagesAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THROW(write_png(folder / "a.png", at::rand({2, 4, 4})), InvalidArgument);
  EXPECT_THROW(write_png(folder / "a.png", at::rand({2, 3, 4, 4})), InvalidArgument);
  EXPECT_THROW(write_png(folder / "a.png", at::rand({1, 4, 4}, at::kComplexFloat)), InvalidArgument);
  EXPECT_THROW(write_png(folder / "a.png", at::Tensor()), InvalidArgument);
  EXPECT_THROW(write_png(folder / "no folder" / "a.png", at::rand({1, 4, 4})), Error);
}

}  // namespace
}  // namespace adjoin::image_test
