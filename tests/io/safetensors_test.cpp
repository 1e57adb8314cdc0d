// SPDX-License-Identifier: BSD-3-Clause
// Named tensors written and read, and refused where a header does not fit.
#include "adjoin/io/safetensors.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "adjoin/core/errors.hpp"
#include "temporary_folder.hpp"

namespace adjoin::safetensors_test {
namespace {

void write_file(const std::filesystem::path& path, const std::string& header, const std::string& data) {
  std::ofstream file(path, std::ios::binary);
  const std::uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header << data;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Safetensors, RoundTripKeepsNamesTypesShapesValuesAndMetadata) {
  const TemporaryFolder folder;
  Safetensors content;
  content.metadata = {{"architecture", "DnCNN"}, {"note", "σ = 0.1"}};
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                           at::kChar, at::kByte, at::kBool}) {
    content.tensors[c10::str("matrix ", dtype)] = at::randint(0, 100, {3, 4}).to(dtype).t();
    content.tensors[c10::str("scalar ", dtype)] = at::randint(0, 100, {}).to(dtype);
    content.tensors[c10::str("empty ", dtype)] = at::zeros({2, 0}, dtype);
  }
  write_safetensors(folder / "w.safetensors", content);
  const Safetensors read = read_safetensors(folder / "w.safetensors");
  EXPECT_EQ(read.metadata, content.metadata);
  ASSERT_EQ(read.tensors.size(), content.tensors.size());
  for (const auto& [name, tensor] : content.tensors) {
    EXPECT_EQ(read.at(name).scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
  }
}

TEST(Safetensors, FilesOfOtherWritersAreRead) {
  const TemporaryFolder folder;
  // Tensors in the order of neither name nor offset, and spaces after the header.
  write_file(
      folder / "w.safetensors",
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}  )",
      "\x05\x06\x07");
  const Safetensors read = read_safetensors(folder / "w.safetensors");
  EXPECT_EQ(read.at("a").item<int>(), 5);
  EXPECT_EQ(read.at("b")[1].item<int>(), 7);
  EXPECT_EQ(read.metadata_or("format", "none"), "none");
}

TEST(Safetensors, AMissingTensorIsNamedWithTheFileAndWhatThereIs) {
  const TemporaryFolder folder;
  write_safetensors(folder / "w.safetensors", {.tensors = {{"in_conv.weight", at::zeros({2})}}});
  const Safetensors read = read_safetensors(folder / "w.safetensors");
  const std::string message = message_of([&] { (void)read.at("out_conv.weight"); });
  EXPECT_NE(message.find("w.safetensors"), std::string::npos) << message;
  EXPECT_NE(message.find("'out_conv.weight'"), std::string::npos) << message;
  EXPECT_NE(message.find("it has in_conv.weight"), std::string::npos) << message;
}

TEST(Safetensors, BadFilesAreRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "bad.safetensors";
  EXPECT_NE(message_of([&] { read_safetensors(folder / "none.safetensors"); }).find("cannot open"), std::string::npos);
  const auto refused = [&](const std::string& header, const std::string& data, const std::string& reason) {
    write_file(path, header, data);
    const std::string message = message_of([&] { read_safetensors(path); });
    EXPECT_NE(message.find(reason), std::string::npos) << message;
    EXPECT_NE(message.find("bad.safetensors"), std::string::npos) << message;
  };
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  refused(good, "1234567", "should hold 8 bytes of data, but holds 7");
  refused(good, "123456789", "should hold 8 bytes of data, but holds 9");
  refused(good + "}", "12345678", "not JSON");
  refused("[1]", "", "not JSON");
  refused(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", "12345678", "unsupported type 'F33'");
  refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678", "cannot lie in bytes 0 to 8");
  refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678", "no valid shape");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "12345678", "no valid data_offsets");
  refused(R"({"a":{"dtype":"F32","shape":[2]}})", "12345678", "no valid data_offsets");
  refused(R"({"a":7})", "12345678", "no tensor");
  refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      "1", "two entries 'a'");
  refused(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})", "", "cannot lie");
  refused(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "12345678", "no valid shape");
  refused(R"({"a":{"dtype":"F32","shape":{"b":2},"data_offsets":[0,8]}})", "12345678", "no valid shape");
  refused(R"({"__metadata__":"none"})", "", "__metadata__");
  refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "", "cannot lie");
  refused(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
      "123", "must start at byte 2");
  refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", "1234", "must start at byte 0");
  refused(R"({"__metadata__":{"a":1}})", "", "metadata 'a' that is no text");
  std::ofstream(path, std::ios::binary) << "tiny";
  EXPECT_NE(message_of([&] { read_safetensors(path); }).find("cut off"), std::string::npos);
  write_file(path, good, "12345678");
  std::filesystem::resize_file(path, 20);
  EXPECT_NE(message_of([&] { read_safetensors(path); }).find("cut off"), std::string::npos);
}

TEST(Safetensors, WhatTheFormatLacksIsNotWritten) {
  const TemporaryFolder folder;
  EXPECT_THROW(write_safetensors(folder / "w", {.tensors = {{"z", at::zeros({2}, at::kComplexFloat)}}}),
               InvalidArgument);
  EXPECT_THROW(write_safetensors(folder / "w", {.tensors = {{"z", at::Tensor()}}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(folder / "no folder" / "w", {}), Error);
}

}  // namespace
}  // namespace adjoin::safetensors_test
