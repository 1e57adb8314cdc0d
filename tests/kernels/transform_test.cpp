// SPDX-License-Identifier: BSD-3-Clause
// Transforms of rows and of blocks of columns by each library equal ATen's.
#include "kernels/fft/transform.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <c10/util/StringUtil.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "adjoin/core/simd.hpp"
#include "kernels/fft/fftw.hpp"
#include "kernels/fft/library.hpp"
#include "kernels/fft/mkl.hpp"
#include "kernels/fft/sizes.hpp"
#include "kernels/fft/wide.hpp"
#include "kernels/transforms.hpp"

namespace adjoin::fft {
namespace {

using Make = std::shared_ptr<const Transform> (*)(const Plan&);

std::vector<std::pair<std::string, Make>> makers() {
  std::vector<std::pair<std::string, Make>> result;
  if (serves(Library::mkl)) {
    result.emplace_back("mkl", &make_with_mkl);
  }
  if (serves(Library::fftw)) {
    result.emplace_back("fftw", &make_with_fftw);
  }
  return result;
}

TEST(Transform, OfRealRowsThereAndBack) {
  for (const auto& [name, make] : makers()) {
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      for (const std::int64_t n : {1, 2, 7, 12, 45, 64, 134}) {
        SCOPED_TRACE(name + " of " + std::to_string(n));
        const at::Tensor x = at::randn({n}, dtype);
        const at::Tensor kept = x.clone();
        at::Tensor spectrum = at::empty({n / 2 + 1}, at::toComplexType(dtype));
        at::Tensor back = at::empty({n}, dtype);
        const auto transform = make({.axes = {{n, 1, 1}}, .dtype = dtype});
        ASSERT_NE(transform, nullptr);
        transform->forward(x.const_data_ptr(), spectrum.mutable_data_ptr());
        EXPECT_TRUE(at::equal(x, kept));
        EXPECT_LT(relative_difference(spectrum, at::_fft_r2c(x, {0}, unnormalised, true)), tolerance_of(dtype));
        transform->backward(spectrum.mutable_data_ptr(), back.mutable_data_ptr());
        EXPECT_LT(relative_difference(back, x * static_cast<double>(n)), tolerance_of(dtype));
      }
    }
  }
}

TEST(Transform, OfComplexRowsInPlace) {
  for (const auto& [name, make] : makers()) {
    for (const auto dtype : {at::kComplexFloat, at::kComplexDouble}) {
      for (const std::int64_t n : {1, 2, 7, 12, 45, 64, 134}) {
        SCOPED_TRACE(name + " of " + std::to_string(n));
        const at::Tensor x = at::randn({n}, dtype);
        at::Tensor z = x.clone();
        const auto transform = make({.axes = {{n, 1, 1}}, .dtype = dtype});
        ASSERT_NE(transform, nullptr);
        transform->forward(z.mutable_data_ptr(), z.mutable_data_ptr());
        EXPECT_LT(relative_difference(z, at::_fft_c2c(x, {0}, unnormalised, true)), tolerance_of(dtype));
        transform->backward(z.mutable_data_ptr(), z.mutable_data_ptr());
        EXPECT_LT(relative_difference(z, x * static_cast<double>(n)), tolerance_of(dtype));
      }
    }
  }
}

Plan plan_of_column(std::int64_t n) {
  const auto dtype = at::kComplexFloat;
  const std::int64_t columns = columns_in_block(dtype);
  return {.axes = {{n, columns, columns}}, .dtype = dtype, .count = columns};
}

// As Transform::make_columns plans them: along all axes but the last, for the columns of a block.
TEST(Transform, OfColumnsLeavesTheOthersAlone) {
  auto all = makers();
  if (make_wide(plan_of_column(8)) != nullptr) {
    all.emplace_back("adjoin", &make_wide);
  }
  for (const auto& [name, make] : all) {
    for (const auto dtype : {at::kComplexFloat, at::kComplexDouble}) {
      const std::int64_t columns = columns_in_block(dtype);
      for (const auto& sizes : std::vector<std::vector<std::int64_t>>{
               {1},   {2},   {3},   {4},    {5},    {7},    {8},    {9},     {11},    {12},
               {13},  {16},  {30},  {32},   {64},   {77},   {96},   {128},   {143},   {210},
               {256}, {375}, {512}, {1024}, {2048}, {2310}, {1, 6}, {4, 10}, {16, 1}, {9, 64}}) {
        SCOPED_TRACE(name + c10::str(" of ", sizes));
        std::vector<std::int64_t> shape = sizes;
        const std::int64_t row = padded_row(columns + 3, dtype);
        shape.push_back(row);
        const at::Tensor x = at::randn(shape, dtype);
        at::Tensor z = x.clone();
        Plan plan{.axes = {}, .dtype = dtype, .count = columns};
        std::vector<std::int64_t> along;
        std::int64_t stride = row;
        for (std::size_t i = sizes.size(); i-- > 0;) {
          plan.axes.insert(plan.axes.begin(), Plan::Axis{sizes[i], stride, stride});
          along.push_back(static_cast<std::int64_t>(i));
          stride *= sizes[i];
        }
        const auto transform = make(plan);
        ASSERT_NE(transform, nullptr);
        transform->forward(z.mutable_data_ptr(), z.mutable_data_ptr());
        const at::Tensor expected = at::_fft_c2c(x.narrow(-1, 0, columns), along, unnormalised, true);
        EXPECT_LT(relative_difference(z.narrow(-1, 0, columns), expected), tolerance_of(dtype));
        EXPECT_TRUE(at::equal(z.narrow(-1, columns, row - columns), x.narrow(-1, columns, row - columns)));
        transform->backward(z.mutable_data_ptr(), z.mutable_data_ptr());
        const double numel = static_cast<double>(stride / row);
        EXPECT_LT(relative_difference(z.narrow(-1, 0, columns), x.narrow(-1, 0, columns) * numel), tolerance_of(dtype));
      }
    }
  }
}

TEST(Transform, OfColumnsByOurOwnPassesIsOfSizesWithoutLargePrimesAndWithWideVectors) {
  const bool wide = instruction_set() == InstructionSet::avx512;
  EXPECT_EQ(make_wide(plan_of_column(13)) != nullptr, wide);
  EXPECT_EQ(make_wide(plan_of_column(17)), nullptr);
  Plan real = plan_of_column(8);
  real.dtype = at::kFloat;
  EXPECT_EQ(make_wide(real), nullptr);
  const char* asked = std::getenv("ADJOIN_FFT");
  EXPECT_EQ(uses_wide_transforms(), wide && (asked == nullptr || *asked == '\0') && library() != Library::torch);
}

TEST(TransformLibrary, IsTheOneThatIsAskedForOrTheFirstThatServes) {
  const char* asked = std::getenv("ADJOIN_FFT");
  if (asked != nullptr && *asked != '\0') {
    const std::vector<std::string> names = {"mkl", "fftw", "torch"};
    EXPECT_EQ(names[static_cast<std::size_t>(library())], asked);
  } else if (at::hasMKL()) {
    EXPECT_EQ(library(), Library::mkl) << "libtorch has oneMKL, but it is not found in it, or computes wrongly";
  }
  EXPECT_TRUE(serves(library()));
  EXPECT_EQ(Transform::make({8}, at::kFloat) == nullptr, library() == Library::torch);
  EXPECT_TRUE(serves(Library::torch));
}

}  // namespace
}  // namespace adjoin::fft
