// SPDX-License-Identifier: BSD-3-Clause
// Where the weights and the reference outputs are, and comparisons, for the tests of the models room.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/safetensors.hpp"

namespace adjoin::test {

inline std::filesystem::path folder_from(const char* variable) {
  const char* folder = std::getenv(variable);
  check(folder != nullptr, variable, ": must name the folder that the test models_reference fills");
  return folder;
}

/// The converted weights `name`.safetensors.
inline std::filesystem::path model(const std::string& name) {
  return folder_from("ADJOIN_MODELS") / (name + ".safetensors");
}
/// What tests/models/reference.py wrote.
inline std::filesystem::path reference(const std::string& file) {
  return folder_from("ADJOIN_MODELS_REFERENCE") / file;
}

// max |a − b| ≤ tol, and equal shapes and dtypes.
inline void expect_equal(const at::Tensor& a, const at::Tensor& b, double tol = 2e-6) {
  ASSERT_EQ(a.sizes(), b.sizes());
  ASSERT_EQ(a.scalar_type(), b.scalar_type());
  EXPECT_LE((a - b).abs().max().item<double>(), tol);
}

// The message of the InvalidArgument that a call throws.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace adjoin::test
