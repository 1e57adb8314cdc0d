// SPDX-License-Identifier: BSD-3-Clause
// Blurs against the sum that defines them, for every padding, method and dtype.
#include "adjoin/operators/blur/blur.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/physics/fused.hpp"
#include "kernels/fft/library.hpp"
#include "physics/fused_support.hpp"

namespace adjoin::blur_test {
namespace {

constexpr std::array paddings = {Padding::Valid, Padding::Circular, Padding::Replicate, Padding::Reflect,
                                 Padding::Constant};
constexpr std::array methods = {ConvolutionMethod::Fft, ConvolutionMethod::Direct};

double precision(const at::Tensor& t) { return at::toRealValueType(t.scalar_type()) == at::kFloat ? 1e-5 : 1e-12; }

/// Where entry i of an axis of n pixels is found, or −1 for a zero.
std::int64_t source(std::int64_t i, std::int64_t n, Padding padding) {
  switch (padding) {
    case Padding::Circular:
      return ((i % n) + n) % n;
    case Padding::Replicate:
      return std::clamp<std::int64_t>(i, 0, n - 1);
    case Padding::Reflect:
      return i < 0 ? -i : (i >= n ? 2 * (n - 1) - i : i);
    default:
      return i >= 0 && i < n ? i : -1;
  }
}

/// The convolution by its definition, along one axis at a time of a table of matrices: y = Σ_m f_m x_{i + c − m}.
at::Tensor direct_sum(const at::Tensor& x, const at::Tensor& filter, Padding padding) {
  const bool volume = x.dim() == 5;
  const at::Tensor x5 = volume ? x : x.unsqueeze(2);
  const at::Tensor f5 = volume ? filter : filter.unsqueeze(2);
  std::array<std::int64_t, 3> n{}, k{}, out{}, origin{};
  for (std::size_t a = 0; a < 3; ++a) {
    n[a] = x5.size(static_cast<std::int64_t>(a) + 2);
    k[a] = f5.size(static_cast<std::int64_t>(a) + 2);
    out[a] = padding == Padding::Valid ? n[a] - k[a] + 1 : n[a];
    origin[a] = padding == Padding::Valid ? k[a] - 1 : k[a] / 2;
  }
  at::Tensor y = at::zeros({x5.size(0), x5.size(1), out[0], out[1], out[2]}, x5.options());
  for (std::int64_t d = 0; d < out[0]; ++d) {
    for (std::int64_t h = 0; h < out[1]; ++h) {
      for (std::int64_t w = 0; w < out[2]; ++w) {
        for (std::int64_t p = 0; p < k[0]; ++p) {
          for (std::int64_t q = 0; q < k[1]; ++q) {
            for (std::int64_t r = 0; r < k[2]; ++r) {
              const auto i = source(d + origin[0] - p, n[0], padding);
              const auto j = source(h + origin[1] - q, n[1], padding);
              const auto l = source(w + origin[2] - r, n[2], padding);
              if (i >= 0 && j >= 0 && l >= 0) {
                y.select(4, w).select(3, h).select(2, d) +=
                    f5.select(4, r).select(3, q).select(2, p) * x5.select(4, l).select(3, j).select(2, i);
              }
            }
          }
        }
      }
    }
  }
  return volume ? y : y.squeeze(2);
}

struct Case {
  std::vector<std::int64_t> image;
  std::vector<std::int64_t> filter;
  at::ScalarType image_type;
  at::ScalarType filter_type;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1, 1, 6, 7}, {1, 1, 3, 3}, at::kDouble, at::kDouble},
      {{2, 3, 7, 6}, {1, 3, 4, 3}, at::kFloat, at::kFloat},
      {{2, 3, 5, 8}, {2, 1, 2, 4}, at::kDouble, at::kFloat},
      {{2, 1, 6, 5}, {1, 1, 3, 4}, at::kComplexDouble, at::kDouble},
      {{1, 1, 17, 19}, {1, 1, 3, 4}, at::kDouble, at::kDouble},
      {{1, 2, 5, 5}, {1, 2, 4, 3}, at::kComplexFloat, at::kComplexFloat},
      {{1, 2, 4, 5, 6}, {1, 1, 2, 3, 4}, at::kDouble, at::kDouble},
      {{2, 1, 3, 4, 5}, {1, 1, 3, 2, 3}, at::kComplexDouble, at::kComplexDouble},
  };
  return all;
}

template <class Test>
void for_every_case(const Test& test) {
  for (const Case& c : cases()) {
    for (const Padding padding : paddings) {
      for (const ConvolutionMethod method : methods) {
        SCOPED_TRACE(c10::str("image ", at::IntArrayRef(c.image), " ", c.image_type, ", filter ",
                              at::IntArrayRef(c.filter), " ", c.filter_type, ", ", to_string(padding), ", ",
                              method == ConvolutionMethod::Fft ? "FFT" : "direct"));
        at::manual_seed(1);
        const at::Tensor filter = at::randn(c.filter, c.filter_type);
        test(at::randn(c.image, c.image_type), filter, Blur(filter, {padding, method}));
      }
    }
  }
}

TEST(Blur, EqualsTheConvolutionSum) {
  for_every_case([](const at::Tensor& x, const at::Tensor& filter, const Blur& blur) {
    const at::Tensor y = blur.A(x);
    EXPECT_EQ(y.scalar_type(), x.scalar_type());
    EXPECT_TRUE(y.is_contiguous());
    const at::Tensor expected = direct_sum(x, filter, blur.options().padding);
    ASSERT_EQ(y.sizes(), expected.sizes());
    EXPECT_LT(relative_difference(y, expected), 0.1 * precision(x));
  });
}

TEST(Blur, AdjointIsExact) {
  for_every_case([](const at::Tensor& x, const at::Tensor&, const Blur& blur) {
    EXPECT_LT(blur.adjointness_test(x), precision(x));
    EXPECT_EQ(blur.A_adjoint(blur.A(x)).sizes(), x.sizes());
    EXPECT_TRUE(blur.A_adjoint(blur.A(x)).is_contiguous());
  });
}

TEST(Blur, NormalOperatorIsAdjointAfterForward) {
  for_every_case([](const at::Tensor& x, const at::Tensor&, const Blur& blur) {
    EXPECT_LT(relative_difference(blur.A_adjoint_A(x), blur.A_adjoint(blur.A(x))), precision(x));
  });
}

TEST(Blur, GradientIsTheAdjoint) {
  for_every_case([](const at::Tensor& x, const at::Tensor&, const Blur& blur) {
    at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor y = blur.A(leaf);
    const at::Tensor v = adjoin::randn_like(y.detach(), 3);
    const at::Tensor gradient = torch::autograd::grad({y}, {leaf}, {v})[0];
    EXPECT_LT(relative_difference(gradient, blur.A_adjoint(v)), precision(x));
  });
}

TEST(Blur, LeavesItsArgumentsAlone) {
  for_every_case([](const at::Tensor& x, const at::Tensor&, const Blur& blur) {
    const at::Tensor x_before = x.clone();
    const at::Tensor y = blur.A(x);
    const at::Tensor y_before = y.clone();
    const at::Tensor adjoint = blur.A_adjoint(y);
    EXPECT_TRUE(at::equal(x, x_before));
    EXPECT_TRUE(at::equal(y, y_before));
    EXPECT_TRUE(at::equal(blur.A(x), y));
    EXPECT_TRUE(at::equal(blur.A_adjoint(y), adjoint));
  });
}

TEST(Blur, TheCheaperMethodEqualsTheOthers) {
  for (const std::int64_t k : {1, 3, 8, 31}) {
    const at::Tensor filter = at::rand({1, 1, k, k}, at::kDouble);
    const at::Tensor x = at::rand({1, 2, 40, 33}, at::kDouble);
    for (const Padding padding : paddings) {
      const at::Tensor y = Blur(filter, {.padding = padding}).A(x);
      EXPECT_LT(relative_difference(y, Blur(filter, {padding, ConvolutionMethod::Fft}).A(x)), 1e-12);
      EXPECT_LT(relative_difference(y, Blur(filter, {padding, ConvolutionMethod::Direct}).A(x)), 1e-12);
    }
  }
}

// Reference values: deepinv 0.4.1, Blur(filter, padding).A(x) and A_adjoint(A(x)) of x = sin(0, 1, 2, …).
TEST(Blur, AgreesWithDeepinv) {
  const at::Tensor filter = at::arange(1.0, 13.0, at::kFloat).view({1, 1, 3, 4}) / 78.0;
  const at::Tensor x = at::arange(42, at::kFloat).view({1, 1, 6, 7}).sin();
  const std::vector<std::tuple<const char*, double, double, double, double>> expected = {
      {"valid", 0.46063244, 0.23834863, 0.07086653, 0.00305575},
      {"circular", -0.11436745, 0.10314476, 0.06189686, 0.03662281},
      {"replicate", 0.42542872, 0.42315179, 0.56183326, 0.34946370},
      {"reflect", 0.73523223, 0.70588672, 0.28133801, 0.18789524},
      {"constant", 0.17893727, 0.29063332, 0.17048635, 0.11596166}};
  for (const auto& [padding, first, last, adjoint_first, adjoint_last] : expected) {
    const Blur blur(filter, {.padding = padding_from_string(padding)});
    const at::Tensor y = blur.A(x).flatten();
    const at::Tensor z = blur.A_adjoint(blur.A(x)).flatten();
    EXPECT_NEAR(y[0].item<double>(), first, 1e-6) << padding;
    EXPECT_NEAR(y[-1].item<double>(), last, 1e-6) << padding;
    EXPECT_NEAR(z[0].item<double>(), adjoint_first, 1e-6) << padding;
    EXPECT_NEAR(z[-1].item<double>(), adjoint_last, 1e-6) << padding;
  }
}

TEST(Blur, FilterMayBeGivenForOneCall) {
  const at::Tensor own = at::rand({1, 1, 3, 3}, at::kDouble);
  const at::Tensor other = at::rand({1, 1, 5, 4}, at::kDouble);
  const at::Tensor x = at::rand({1, 1, 8, 8}, at::kDouble);
  for (const Padding padding : paddings) {
    const Blur blur(own, {.padding = padding});
    const Blur reference(other, {.padding = padding});
    const at::Tensor before = blur.A(x);
    const Params params{{"filter", other}};
    EXPECT_TRUE(at::allclose(blur.A(x, params), reference.A(x)));
    EXPECT_TRUE(at::allclose(blur.A_adjoint(reference.A(x), params), reference.A_adjoint(reference.A(x))));
    EXPECT_TRUE(at::allclose(blur.A_adjoint_A(x, params), reference.A_adjoint_A(x)));
    EXPECT_TRUE(at::equal(blur.A(x), before));
  }
}

TEST(Blur, IsDifferentiableInTheFilterOfACall) {
  const at::Tensor x = at::rand({1, 1, 7, 6}, at::kDouble);
  for (const Padding padding : paddings) {
    for (const ConvolutionMethod method : methods) {
      at::Tensor filter = at::rand({1, 1, 3, 3}, at::kDouble).requires_grad_();
      const Blur blur(at::ones({1, 1, 1, 1}), {padding, method});
      const at::Tensor y = blur.A(x, {{"filter", filter}});
      const at::Tensor v = at::rand_like(y);
      const at::Tensor gradient = torch::autograd::grad({y}, {filter}, {v})[0];
      at::Tensor unit = at::zeros({1, 1, 3, 3}, at::kDouble);
      unit[0][0][1][2] = 1.0;
      EXPECT_NEAR(gradient[0][0][1][2].item<double>(), (v * blur.A(x, {{"filter", unit}})).sum().item<double>(), 1e-12);
    }
  }
}

TEST(Blur, UpdateReplacesTheFilter) {
  const at::Tensor x = at::rand({1, 1, 8, 9}, at::kDouble);
  const at::Tensor filter = at::rand({1, 1, 2, 3}, at::kDouble);
  for (const Padding padding : paddings) {
    Blur blur(at::rand({1, 1, 5, 5}, at::kDouble), {.padding = padding});
    blur.A(x);
    blur.update({{"filter", filter}});
    EXPECT_TRUE(at::allclose(blur.A(x), Blur(filter, {.padding = padding}).A(x)));
    EXPECT_THROW(blur.update({{"unknown", 1.0}}), InvalidArgument);
  }
}

TEST(Blur, ServesShapesAndTypesInTurn) {
  const Blur blur(gaussian_kernel({1.0, 1.5}, 20.0), {.padding = Padding::Circular});
  const std::vector<at::Tensor> images = {at::rand({1, 1, 16, 16}),
                                          at::rand({1, 3, 16, 17}, at::kDouble),
                                          at::rand({2, 1, 20, 15}),
                                          at::randn({1, 1, 16, 16}, at::kComplexFloat),
                                          at::rand({1, 1, 16, 16}, at::kDouble),
                                          at::rand({1, 1, 33, 16})};
  for (int round = 0; round < 2; ++round) {
    for (const at::Tensor& x : images) {
      EXPECT_LT(relative_difference(blur.A(x), Blur(blur.filter(), blur.options()).A(x)), 1e-12);
      EXPECT_LT(blur.adjointness_test(x), 1e-5);
    }
  }
}

// Fewer images than threads, so that these share the rows and columns of each.
TEST(Blur, ResultsDoNotDependOnThreads) {
  const int threads = at::get_num_threads();
  for (const Padding padding : {Padding::Circular, Padding::Valid, Padding::Replicate}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kComplexDouble}) {
      const Blur blur(at::rand({1, 1, 5, 7}), {.padding = padding, .method = ConvolutionMethod::Fft});
      const at::Tensor x = at::randn({1, 2, 150, 202}, dtype);
      at::set_num_threads(1);
      const at::Tensor y = blur.A(x);
      const at::Tensor back = blur.A_adjoint(y);
      const at::Tensor normal = blur.A_adjoint_A(x);
      at::set_num_threads(3);
      EXPECT_TRUE(at::equal(blur.A(x), y)) << to_string(padding) << ' ' << dtype;
      EXPECT_TRUE(at::equal(blur.A_adjoint(y), back)) << to_string(padding) << ' ' << dtype;
      EXPECT_TRUE(at::equal(blur.A_adjoint_A(x), normal)) << to_string(padding) << ' ' << dtype;
    }
  }
  at::set_num_threads(threads);
}

TEST(Blur, CircularNormIsTheLargestFrequencyResponse) {
  const at::Tensor filter = at::randn({1, 2, 4, 3}, at::kDouble);
  const Blur blur(filter, {.padding = Padding::Circular});
  const at::Tensor x = at::zeros({1, 2, 5, 6}, at::kDouble);
  std::vector<at::Tensor> columns;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    at::Tensor unit = at::zeros_like(x);
    unit.view(-1)[i] = 1.0;
    columns.push_back(blur.A(unit).flatten());
  }
  const double norm = at::linalg_matrix_norm(at::stack(columns, 1), 2).item<double>();
  EXPECT_NEAR(blur.compute_sqnorm(x), norm * norm, 1e-10 * norm * norm);
}

std::vector<std::shared_ptr<const LinearPhysics>> circular_blurs() {
  std::vector<std::shared_ptr<const LinearPhysics>> blurs;
  const std::vector<std::vector<std::int64_t>> sizes = {{1, 1, 3, 3}, {1, 3, 4, 5}, {2, 1, 1, 6}, {2, 3, 7, 2}};
  for (const auto& size : sizes) {
    blurs.push_back(
        std::make_shared<Blur>(at::randn(size, at::kDouble), BlurOptions{Padding::Circular, ConvolutionMethod::Fft}));
  }
  return blurs;
}

TEST(Blur, FusedEqualsPlain) {
  const auto blurs = circular_blurs();
  const auto fused = blurs[0]->fuse(blurs);
  ASSERT_NE(fused, nullptr);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    expect_fused_equals_plain(*fused, blurs, at::randn({2, 3, 8, 9}, dtype));
    expect_fused_equals_plain(*fused, blurs, at::randn({2, 3, 35, 27}, dtype));
    expect_fused_equals_plain(*fused, blurs, at::randn({2, 3, 128, 72}, dtype));
  }
}

// A sum whose memory goes on behind it holds its own spectrum meanwhile.
TEST(Blur, FusedSumsAreTransformedInPlace) {
  if (fft::library() == fft::Library::torch) {
    GTEST_SKIP() << "ATen transforms into memory of its own, and its last bits depend on the number of threads";
  }
  const int threads = at::get_num_threads();
  const std::vector<std::vector<std::int64_t>> all_sizes = {
      {1, 1, 8, 16}, {2, 3, 35, 32}, {2, 3, 9, 13}, {1, 1, 10, 12, 16}};
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    for (const auto& sizes : all_sizes) {
      const std::vector<std::int64_t> kernel(sizes.size() - 2, 3);
      std::vector<std::shared_ptr<const LinearPhysics>> blurs;
      for (std::int64_t i = 0; i < 3; ++i) {
        std::vector<std::int64_t> filter = {1, 1};
        filter.insert(filter.end(), kernel.begin(), kernel.end());
        blurs.push_back(std::make_shared<Blur>(at::randn(filter, at::kDouble),
                                               BlurOptions{Padding::Circular, ConvolutionMethod::Fft}));
      }
      const auto fused = blurs[0]->fuse(blurs);
      const at::Tensor x = at::randn(sizes, dtype);
      const TensorList y = {at::randn(sizes, dtype), at::randn(sizes, dtype), at::randn(sizes, dtype)};
      const auto in_place = [&](const auto& call) {
        at::set_num_threads(1);
        const at::Tensor expected = call(at::Tensor());
        for (const int some : {1, 3}) {
          at::set_num_threads(some);
          const at::Tensor memory = at::full({3 * x.numel() + 64}, 7.0, x.options());
          const at::Tensor out = memory.narrow(0, 0, x.numel()).view(sizes);
          const at::Tensor result = call(out);
          EXPECT_EQ(result.data_ptr(), out.data_ptr());
          EXPECT_TRUE(at::equal(result, expected)) << dtype << ' ' << at::IntArrayRef(sizes) << ' ' << some;
          // Rows of 13 numbers fill no cache lines; of several images, threads take one each.
          const bool is_behind = (memory.slice(0, x.numel()) != 7.0).any().item<bool>();
          const bool fills_lines = sizes.back() != 13;
          const bool in_turn = some == 1 || sizes[0] == 1;
          EXPECT_EQ(is_behind, fills_lines && in_turn) << dtype << ' ' << at::IntArrayRef(sizes);
          const at::Tensor tight = at::empty_like(x);
          EXPECT_TRUE(at::equal(call(tight), expected));
        }
      };
      const TensorList kept = {y[0].clone(), y[1].clone(), y[2].clone()};
      in_place([&](const at::Tensor& out) { return fused->A_adjoint(y, out); });
      in_place([&](const at::Tensor& out) { return fused->A_adjoint_A(x, out); });
      for (std::size_t i = 0; i < y.size(); ++i) {
        EXPECT_TRUE(at::equal(y[i], kept[i]));
      }
    }
  }
  at::set_num_threads(threads);
}

TEST(Blur, FusedFollowsUpdates) {
  const auto blurs = circular_blurs();
  const auto fused = blurs[0]->fuse(blurs);
  const at::Tensor x = at::randn({2, 3, 9, 8}, at::kDouble);
  expect_fused_equals_plain(*fused, blurs, x);
  std::const_pointer_cast<LinearPhysics>(blurs[2])->update({{"filter", at::randn({1, 1, 5, 5}, at::kDouble)}});
  expect_fused_equals_plain(*fused, blurs, x);
}

TEST(Blur, FusedDeclinesWhatDoesNotFit) {
  const auto blurs = circular_blurs();
  const auto fused = blurs[0]->fuse(blurs);
  EXPECT_TRUE(fused->A(at::randn({2, 2, 9, 8}), {}).empty());
  EXPECT_TRUE(fused->A(at::randn({9, 8}), {}).empty());
  EXPECT_FALSE(fused->A_adjoint({at::randn({2, 3, 9, 8})}, {}).defined());
  EXPECT_FALSE(fused->A_adjoint_A(at::randn({2, 3, 9, 8}).requires_grad_(), {}).defined());
  expect_fused_equals_plain(*fused, blurs, at::randn({2, 3, 9, 8}));
}

TEST(Blur, FusedDeclinesWhereThePlainStackIsQuicker) {
  const auto make = [](std::int64_t k) {
    return std::make_shared<const Blur>(at::rand({1, 1, k, k}), BlurOptions{.padding = Padding::Circular});
  };
  const at::Tensor x = at::rand({1, 1, 64, 64});
  const std::vector<std::shared_ptr<const LinearPhysics>> small = {make(1), make(3)};
  EXPECT_TRUE(small[0]->fuse(small)->A(x, {}).empty());
  EXPECT_FALSE(small[0]->fuse(small)->A_adjoint_A(x, {}).defined());
  const std::vector<std::shared_ptr<const LinearPhysics>> large = {make(31), make(25)};
  EXPECT_TRUE(large[0]->fuse(large)->A(at::rand({1, 1, 64, 67}), {}).empty());  // 67 is prime, its transforms slow
  EXPECT_EQ(large[0]->fuse(large)->A(x, {}).size(), 2U);
  EXPECT_TRUE(large[0]->fuse(large)->A_adjoint_A(x, {}).defined());
}

TEST(Blur, OnlyCircularBlursFuse) {
  const auto valid = std::make_shared<const Blur>(at::rand({1, 1, 3, 3}));
  const std::vector<std::shared_ptr<const LinearPhysics>> stack = {valid, valid};
  EXPECT_EQ(valid->fuse(stack), nullptr);
}

void expect_invalid(const std::function<void()>& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "nothing thrown, expected: " << part;
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Blur, RefusesBadInput) {
  const at::Tensor filter = at::rand({1, 2, 3, 5});
  expect_invalid([] { Blur(at::rand({3, 3})); }, "filter must be a tensor (b, c, h, w)");
  expect_invalid([] { const Blur blur{at::Tensor()}; }, "undefined");
  expect_invalid([] { Blur(at::ones({1, 1, 3, 3}, at::kLong)); }, "floating point");
  expect_invalid([] { padding_from_string("mirror"); }, "mirror");
  const Blur blur(filter);
  expect_invalid([&] { blur.A(at::rand({2, 8, 8})); }, "4 dimensions");
  expect_invalid([&] { blur.A(at::rand({1, 2, 8, 8, 8})); }, "4 dimensions");
  expect_invalid([&] { blur.A(at::rand({1, 3, 8, 8})); }, "2 channels");
  expect_invalid([&] { blur.A(at::rand({1, 2, 8, 8}, at::kHalf)); }, "precision");
  expect_invalid([&] { blur.A_adjoint(at::rand({1, 3, 8, 8})); }, "2 channels");
  expect_invalid([&] { Blur(at::rand({2, 1, 3, 3})).A(at::rand({3, 1, 8, 8})); }, "2 items");
  for (const Padding padding : {Padding::Valid, Padding::Circular, Padding::Reflect}) {
    expect_invalid([&] { Blur(filter, {.padding = padding}).A(at::rand({1, 2, 3, 4})); }, "as large as the kernel");
  }
  for (const Padding padding : {Padding::Replicate, Padding::Constant}) {
    EXPECT_LT(Blur(filter, {.padding = padding}).adjointness_test(at::rand({1, 2, 2, 2})), 1e-5);
  }
}

TEST(Blur, PaddingNamesGoBothWays) {
  for (const Padding padding : paddings) {
    EXPECT_EQ(padding_from_string(to_string(padding)), padding);
  }
  EXPECT_EQ(padding_from_string("zeros"), Padding::Constant);
}

}  // namespace
}  // namespace adjoin::blur_test
