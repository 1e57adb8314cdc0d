// SPDX-License-Identifier: BSD-3-Clause
// Named tensors in a .safetensors file: the weights of networks.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace adjoin {

/// The content of a .safetensors file.
struct Safetensors {
  std::map<std::string, at::Tensor, std::less<>> tensors = {};
  std::map<std::string, std::string, std::less<>> metadata = {};
  /// Where they were read from, for messages; empty otherwise.
  std::string source = {};

  bool contains(std::string_view name) const { return tensors.contains(name); }
  /// The tensor `name`. Throws InvalidArgument naming it, the file and the names that there are when it is missing.
  const at::Tensor& at(std::string_view name) const;
  /// The text of a metadata entry, or `fallback` when it is missing.
  std::string metadata_or(std::string_view name, std::string_view fallback) const;
};

/// Reads a whole file; every tensor is a contiguous CPU tensor with memory of its own. Types: F64, F32, F16, BF16, I64,
/// I32, I16, I8, U8, BOOL. Throws InvalidArgument naming the file when it is missing, is not a .safetensors file, has
/// another type, is shorter or longer than its header says, or when tensors overlap. Safe for files of strangers.
Safetensors read_safetensors(const std::filesystem::path& path);

/// Writes tensors (of the types above, from any device) and metadata; `source` is not written. Throws InvalidArgument
/// for another dtype, and Error when the file cannot be written.
void write_safetensors(const std::filesystem::path& path, const Safetensors& content);

}  // namespace adjoin
