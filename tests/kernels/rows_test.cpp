// SPDX-License-Identifier: BSD-3-Clause
// Rows that are transformed at once equal ATen's transforms, however many there are, and leave what is beside them
// alone.
#include "kernels/fft/rows.hpp"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "adjoin/core/simd.hpp"
#include "kernels/fft/library.hpp"
#include "kernels/fft/wide_rows.hpp"
#include "kernels/transforms.hpp"

namespace adjoin::fft {
namespace {

constexpr std::int64_t margin = 3;  // numbers behind each row

using Pointers = std::array<void*, RowTransform::most>;
using ConstPointers = std::array<const void*, RowTransform::most>;

Pointers rows_of(const at::Tensor& tensor, int count) {
  Pointers rows = {};
  for (int k = 0; k < count; ++k) {
    rows[static_cast<std::size_t>(k)] = tensor[k].mutable_data_ptr();
  }
  return rows;
}

template <class Transforms>
void check(const Transforms& transforms, std::int64_t n, at::ScalarType dtype, int count) {
  const bool complex = at::isComplexType(dtype);
  const at::Tensor x = at::randn({count, n + margin}, dtype);
  const at::Tensor image = x.narrow(1, 0, n);
  const std::int64_t bins = complex ? n : n / 2 + 1;
  const at::Tensor expected =
      complex ? at::_fft_c2c(image, {1}, unnormalised, true) : at::_fft_r2c(image, {1}, unnormalised, true);
  const at::Tensor z = complex ? x.clone() : at::full({count, bins + margin}, 7.0, at::toComplexType(dtype));
  const at::Tensor beside = z.narrow(1, bins, margin).clone();
  const at::Tensor back = complex ? z : at::full({count, n + margin}, 7.0, dtype);
  const at::Tensor kept = x.clone();
  const auto spectra = rows_of(z, count);
  ConstPointers sources = {};
  std::ranges::copy(rows_of(complex ? z : x, count), sources.begin());

  transforms.forward(sources.data(), spectra.data(), count);
  EXPECT_LT(relative_difference(z.narrow(1, 0, bins), expected), tolerance_of(dtype));
  EXPECT_TRUE(at::equal(z.narrow(1, bins, margin), beside));
  EXPECT_TRUE(at::equal(x, kept));

  transforms.backward(spectra.data(), rows_of(back, count).data(), count);
  EXPECT_LT(relative_difference(back.narrow(1, 0, n), image * static_cast<double>(n)), tolerance_of(dtype));
  if (!complex) {
    EXPECT_TRUE(at::equal(back.narrow(1, n, margin), at::full({count, margin}, 7.0, dtype)));
  }
}

constexpr std::array dtypes = {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble};

TEST(RowTransform, IsThatOfEachRow) {
  if (library() == Library::torch) {
    EXPECT_EQ(RowTransform::make(8, at::kFloat), nullptr);
    return;
  }
  for (const auto dtype : dtypes) {
    for (const std::int64_t n : {1, 2, 3, 4, 6, 7, 8, 10, 14, 16, 17, 18, 26, 45, 60, 64, 96, 100, 134, 256, 1000}) {
      const auto transform = RowTransform::make(n, dtype);
      ASSERT_NE(transform, nullptr);
      for (int count = 0; count <= transform->at_once(); ++count) {
        SCOPED_TRACE(c10::str(dtype, ", ", count, " rows of ", n));
        if (count > 0) {
          check(*transform, n, dtype, count);
        } else {
          transform->forward(nullptr, nullptr, 0);
          transform->backward(nullptr, nullptr, 0);
        }
      }
    }
  }
}

TEST(WideRows, AreForSizesWithoutLargePrimesAndForWideVectors) {
  const bool wide = instruction_set() == InstructionSet::avx512;
  EXPECT_EQ(WideRows::make(26, at::kFloat) != nullptr, wide);
  EXPECT_EQ(WideRows::make(13, at::kComplexFloat) != nullptr, wide);
  EXPECT_EQ(WideRows::make(13, at::kFloat), nullptr);
  EXPECT_EQ(WideRows::make(34, at::kFloat), nullptr);
}

TEST(WideRows, TakeTheRealPartsOfTheFirstAndTheLastNumberOfAHalfSpectrum) {
  const std::int64_t n = 12;
  const auto rows = WideRows::make(n, at::kDouble);
  if (rows == nullptr) {
    GTEST_SKIP() << "without AVX-512 there are none";
  }
  const at::Tensor spectrum = at::randn({1, n / 2 + 1}, at::kComplexDouble);
  const at::Tensor expected = at::_fft_c2r(spectrum, {1}, unnormalised, n);
  const at::Tensor x = at::empty({1, n}, at::kDouble);
  const ConstPointers spectra = {spectrum.const_data_ptr()};
  const Pointers targets = {x.mutable_data_ptr()};
  rows->backward(spectra.data(), targets.data(), 1);
  EXPECT_LT(relative_difference(x, expected), 1e-13);
}

}  // namespace
}  // namespace adjoin::fft
