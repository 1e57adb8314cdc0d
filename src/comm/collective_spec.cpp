// SPDX-License-Identifier: BSD-3-Clause
// The word by which ranks compare a collective, and its description in an error.
#include "comm/collective_spec.hpp"

#include <c10/util/StringUtil.h>

#include <algorithm>

namespace adjoin {

namespace {

const char* name_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kComplexHalf:
      return "complex32";
    case at::kComplexFloat:
      return "complex64";
    case at::kComplexDouble:
      return "complex128";
    case at::kBool:
      return "bool";
    case at::kByte:
      return "uint8";
    case at::kChar:
      return "int8";
    case at::kShort:
      return "int16";
    case at::kInt:
      return "int32";
    case at::kLong:
      return "int64";
    default:
      return c10::toString(dtype);
  }
}

const char* name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::product:
      return "product";
    case ReduceOp::min:
      return "minimum";
    case ReduceOp::max:
      return "maximum";
    default:
      return "sum";
  }
}

std::string joined(at::IntArrayRef sizes, const char* between) {
  constexpr std::size_t most = 16;
  std::string text;
  for (std::size_t i = 0; i < std::min(sizes.size(), most); ++i) {
    text += c10::str(i == 0 ? "" : between, sizes[i]);
  }
  return sizes.size() > most ? text + between + "…" : text;
}

}  // namespace

std::uint64_t CollectiveSpec::word() const {
  const auto parts = static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(dtype) << 8U |
                     static_cast<std::uint64_t>(op) << 16U | static_cast<std::uint64_t>(root + 1) << 24U;
  std::uint64_t word = mixed(mixed(parts, buffer), static_cast<std::uint64_t>(numel));
  for (const std::int64_t size : sizes) {
    word = mixed(word, static_cast<std::uint64_t>(size));
  }
  return word | 1U;
}

std::string CollectiveSpec::text() const {
  const bool lengths = kind == Kind::gather || kind == Kind::buffer_gather || kind == Kind::shared_buffer_gather ||
                       kind == Kind::buffer_scatter;
  const std::string what =
      c10::str(sizes.empty() ? std::to_string(numel) : joined(sizes, lengths ? " + " : " x "), ' ', name_of(dtype));
  switch (kind) {
    case Kind::reduction:
    case Kind::numbers:
      return c10::str(name_of(op), " of ", what);
    case Kind::buffer_reduction:
    case Kind::shared_buffer_reduction:
      return c10::str(name_of(op), " of ", what, " from buffer ", buffer);
    case Kind::buffer_gather:
    case Kind::shared_buffer_gather:
      return c10::str("gather of ", what, " from buffer ", buffer);
    case Kind::gather:
      return c10::str("gather of ", what);
    case Kind::scatter:
      return c10::str(name_of(op), " of ", what, ", a part to each rank");
    case Kind::buffer_scatter:
      return c10::str(name_of(op), " of ", what, " from buffer ", buffer, ", a part to each rank");
    case Kind::broadcast:
      return c10::str("broadcast of ", what, " from rank ", root);
    case Kind::making_buffer:
      return c10::str("a buffer for ", what);
    case Kind::making_memory:
      return c10::str("memory for ", what);
    case Kind::barrier:
    case Kind::split:
      return "";
  }
  return "";
}

}  // namespace adjoin
