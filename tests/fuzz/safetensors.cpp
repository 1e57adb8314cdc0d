// SPDX-License-Identifier: BSD-3-Clause
// Safetensors files to begin with, some of them deep or long.
#include "adjoin/io/safetensors.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cstdio>

#include "target.hpp"

namespace adjoin::fuzz {

namespace {

std::string with_header(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes += static_cast<char>(header.size() >> shift);
  }
  return bytes + header + data;
}

/// `entry` with the numbers up to `count` in it, divided by commas.
std::string numbered(int count, const char* entry) {
  std::string all;
  std::array<char, 100> text{};
  for (int i = 0; i < count; ++i) {
    std::snprintf(text.data(), text.size(), entry, i);
    (all += i == 0 ? "" : ",") += text.data();
  }
  return all;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) {
    all += text;
  }
  return all;
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files;
  files.push_back(written([](const auto& path) {
    write_safetensors(path,
                      {.tensors = {{"a", at::rand({2, 3})}, {"b", at::ones({}, at::kBool)}, {"c", at::zeros({0, 2})}},
                       .metadata = {{"format", "pt"}, {"sigma", "0.1"}}});
  }));
  files.push_back(with_header(R"({"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}})", "\x02\x03\x80\xFF"));
  files.push_back(with_header(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                              R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}  )",
                              "\x05\x06\x07"));
  files.push_back(with_header(R"({"a":{"dtype":"F16","shape":[0,4611686018427387904,4611686018427387904],)"
                              R"("data_offsets":[0,0]}})",
                              ""));
  files.push_back(
      with_header(R"({"a":{"dtype":"U8","shape":[)" + repeated("1,", 100'000) + R"(1],"data_offsets":[0,1]}})", "x"));
  files.push_back(with_header(repeated("[", 100'000), ""));
  files.push_back(with_header(R"({"__metadata__":)" + repeated("{\"a\":", 100'000), ""));
  files.push_back(std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F{", 9));
  // Entries that take more memory than the text that claims them.
  files.push_back(with_header("{" + numbered(200'000, R"("%d":{})") + "}", ""));
  files.push_back(with_header(R"({"__metadata__":{)" + numbered(200'000, R"("%d":"")") + "}}", ""));
  files.push_back(
      with_header("{" + numbered(20'000, R"("%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})") + "}", ""));
  files.push_back(with_header(R"({"__metadata__":{"a":")" + std::string(4'000'000, 'x') + "\"}}", ""));
  return files;
}

void load(const std::filesystem::path& path) { read_safetensors(path); }

void repair(std::string& bytes) {
  // The length of the header: up to what looks like its end.
  const std::size_t end = bytes.rfind("}}");
  if (bytes.size() > 10 && end != std::string::npos && end > 8) {
    for (std::size_t i = 0; i < 8; ++i) {
      bytes[i] = static_cast<char>((end + 2 - 8) >> (8 * i));
    }
  }
}

}  // namespace adjoin::fuzz
