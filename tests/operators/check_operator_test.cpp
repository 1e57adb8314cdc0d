// SPDX-License-Identifier: BSD-3-Clause
// Every operator passes check_operator, in every dtype, alone and several as one.
#include "adjoin/physics/check_operator.hpp"

#include <gtest/gtest.h>

#include "adjoin/operators/filter_bank.hpp"
#include "adjoin/operators/function.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "operators/specimens.hpp"

namespace adjoin::check_operator_test {
namespace {

void expect_passes(const LinearPhysicsPtr& op, const at::Tensor& x, const CheckOptions& options = {}) {
  const OperatorReport report = check_operator(op, x, options);
  EXPECT_TRUE(report.passed()) << report;
}

TEST(CheckOperator, EverySpecimenPasses) {
  for (const auto& s : specimens::all()) {
    SCOPED_TRACE(s.name);
    const CheckOptions options{.others = {s.make(s.tensors(1)), s.make(s.tensors(2))}};
    for (const at::Tensor& x : s.images) {
      expect_passes(s.make(s.tensors(0)), x, options);
    }
  }
}

TEST(CheckOperator, OtherOperatorsPass) {
  const at::Tensor x = specimens::drawn({1, 1, 12, 12}, 1);
  const at::Tensor angles = at::arange(0.0, 180.0, 30.0);
  const auto tomography = std::make_shared<Tomography>(angles, std::array<std::int64_t, 2>{12, 12});
  expect_passes(tomography, x, {.others = split(*tomography, 3)});
  const auto bank = std::make_shared<FilterBank>(specimens::drawn({3, 1, 3, 3}, 2));
  expect_passes(bank, x, {.others = {std::make_shared<FilterBank>(specimens::drawn({3, 1, 3, 3}, 3))}});
  const auto blur =
      std::make_shared<Blur>(specimens::drawn({1, 1, 3, 3}, 4), BlurOptions{.padding = Padding::Circular});
  for (const LinearPhysicsPtr& op : {blur + blur, 2.0 * blur, std::make_shared<Diagonal>(3.0) * blur, adjoint(blur)}) {
    expect_passes(op, x);
  }
  expect_passes(std::make_shared<MultiCoilMRI>(at::Tensor(), specimens::drawn({1, 2, 3, 8, 6}, 3, at::kComplexDouble),
                                               MultiCoilMRIOptions{.three_d = true}),
                specimens::drawn({1, 2, 3, 8, 6}, 1));
}

}  // namespace
}  // namespace adjoin::check_operator_test
