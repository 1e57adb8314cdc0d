// SPDX-License-Identifier: BSD-3-Clause
// Mixing of channels against the product with a matrix.
#include "adjoin/operators/channel_mixing.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "adjoin/core/errors.hpp"
#include "physics/dense.hpp"

namespace adjoin {
namespace {

using testing::all_types;
using testing::expect_close;
using testing::precision;
using testing::random;

TEST(ChannelMixing, IsAMatrixOfTheChannels) {
  for (const auto dtype : all_types) {
    const at::Tensor matrix = random({2, 3}, at::toRealValueType(dtype), 1);
    const ChannelMixing mixing(matrix.to(at::kDouble));  // converted to the image's precision
    const at::Tensor x = random({2, 3, 4, 5}, dtype, 2);
    expect_close(mixing.A(x), at::einsum("mn,bnhw->bmhw", {matrix.to(dtype), x}), precision(dtype));
    EXPECT_LE(mixing.adjointness_test(x), precision(dtype));
    EXPECT_EQ(mixing.image_like(mixing.A(x)).sizes(), x.sizes());
    const at::Tensor volume = random({1, 3, 2, 4, 5}, dtype, 3);
    expect_close(mixing.A(volume), at::einsum("mn,bndhw->bmdhw", {matrix.to(dtype), volume}), precision(dtype));
  }
}

TEST(ChannelMixing, OfComplexMatricesTakesRealImages) {
  const at::Tensor matrix = random({2, 3}, at::kComplexDouble, 1);
  const ChannelMixing mixing(matrix);
  const at::Tensor x = random({1, 3, 4, 5}, at::kDouble, 2);
  expect_close(mixing.A(x), at::einsum("mn,bnhw->bmhw", {matrix, x.to(at::kComplexDouble)}), 1e-12);
  EXPECT_LE(mixing.adjointness_test(x), 1e-12);
  EXPECT_LE(mixing.adjointness_test(x.to(at::kComplexDouble)), 1e-12);
}

TEST(ChannelMixing, DifferentiatesToImageAndMatrix) {
  const at::Tensor x = random({2, 3, 4, 5}, at::kDouble, 1).requires_grad_();
  const at::Tensor matrix = random({2, 3}, at::kDouble, 2).requires_grad_();
  const at::Tensor y = random({2, 2, 4, 5}, at::kDouble, 3);
  const at::Tensor reference = at::einsum("mn,bnhw->bmhw", {matrix, x});
  const auto expected = torch::autograd::grad({reference}, {x, matrix}, {y});
  const auto own = torch::autograd::grad({ChannelMixing(matrix).A(x)}, {x, matrix}, {y});
  const auto given =
      torch::autograd::grad({ChannelMixing(at::ones({2, 3})).A(x, {{"matrix", matrix}})}, {x, matrix}, {y});
  for (std::size_t i = 0; i < 2; ++i) {
    expect_close(own[i], expected[i], 1e-12);
    expect_close(given[i], expected[i], 1e-12);
  }
}

TEST(ChannelMixing, TellsWhatDoesNotFit) {
  const ChannelMixing mixing(at::ones({2, 3}));
  EXPECT_THROW(mixing.A(at::ones({1, 2, 4, 4})), InvalidArgument);
  EXPECT_THROW(mixing.A_adjoint(at::ones({1, 3, 4, 4})), InvalidArgument);
  EXPECT_THROW(mixing.A(at::ones({1, 3, 4, 4}), {{"mask", at::ones({2, 3})}}), InvalidArgument);
  EXPECT_THROW(ChannelMixing(at::ones({3})), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
