// SPDX-License-Identifier: BSD-3-Clause
// Wavelets: orthonormal filters with the moments promised, perfect reconstruction, images of any size, and the sparsity
// prior.
#include "adjoin/optim/wavelet.hpp"

#include <thread>

#include "optim/support.hpp"

namespace adjoin::test::wavelet_test {
namespace {

// What a vector is transformed to: a matrix, column by column.
at::Tensor matrix_of_transform(const Wavelet& wavelet, std::int64_t n, std::int64_t levels) {
  return wavelet_transform(at::eye(n, at::kDouble), wavelet, levels, 1).t();
}

class EveryWavelet : public testing::TestWithParam<std::string> {
 protected:
  Wavelet wavelet = GetParam();
  std::int64_t taps() const { return static_cast<std::int64_t>(wavelet.taps().size()); }
};

TEST_P(EveryWavelet, TransformIsOrthonormal) {
  for (const std::int64_t levels : {1, 2, 3}) {
    const at::Tensor matrix = matrix_of_transform(wavelet, 16, levels);
    expect_near(at::matmul(matrix, matrix.t()), at::eye(16, at::kDouble), 1e-10);
  }
}

TEST_P(EveryWavelet, InverseRestoresImagesOfAnySizeVolumesAndComplexImages) {
  for (const auto& [shape, type, dims] : {std::tuple{std::vector<std::int64_t>{2, 3, 16, 24}, at::kDouble, 2},
                                          std::tuple{std::vector<std::int64_t>{1, 1, 8, 8, 16}, at::kDouble, 3},
                                          std::tuple{std::vector<std::int64_t>{1, 2, 8, 8}, at::kComplexDouble, 2},
                                          std::tuple{std::vector<std::int64_t>{2, 1, 23, 18}, at::kDouble, 2},
                                          std::tuple{std::vector<std::int64_t>{1, 2, 7, 9, 5}, at::kDouble, 3},
                                          std::tuple{std::vector<std::int64_t>{1, 1, 1, 13}, at::kComplexDouble, 2}}) {
    const at::Tensor x = random_tensor(shape, type, 1);
    const at::Tensor c = wavelet_transform(x, wavelet, 3, dims);
    const auto sizes = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims));
    expect_near(inverse_wavelet_transform(c, wavelet, 3, dims, sizes), x, 1e-9);
    if (c.sizes() == x.sizes()) {
      EXPECT_NEAR(adjoin::norm(c), adjoin::norm(x), 1e-9 * adjoin::norm(x));
    }
    const at::Tensor v = random_tensor(c.sizes(), type, 2);
    const auto difference =
        adjoin::dot(c, v)[0] - adjoin::dot(x, adjoint_wavelet_transform(v, wavelet, 3, dims, sizes))[0];
    EXPECT_LE(std::abs(difference), 1e-12 * adjoin::norm(c) * adjoin::norm(v)) << x.sizes();
  }
}

// A polynomial of degree below the number of vanishing moments has no details, away from the border that wraps around.
TEST_P(EveryWavelet, DetailsOfLowPolynomialsVanish) {
  const std::int64_t moments = GetParam() == "haar" ? 1 : taps() / (GetParam().starts_with("coif") ? 3 : 2);
  const at::Tensor t = at::linspace(-1.0, 1.0, 256, at::kDouble);
  const auto inner_details = [&](std::int64_t degree) {
    const at::Tensor c = wavelet_transform(at::pow(t, degree), wavelet, 1, 1);
    return c.narrow(0, 128 + taps() / 2, 128 - taps());
  };
  for (std::int64_t degree = 0; degree < std::min<std::int64_t>(moments, 6); ++degree) {
    EXPECT_LE(at::abs(inner_details(degree)).max().item<double>(), 1e-9) << degree;
  }
  if (moments <= 4) {
    EXPECT_GE(at::abs(inner_details(moments)).min().item<double>(), 1e-10);
  }
}

TEST_P(EveryWavelet, TransformIsDifferentiableAsOftenAsAsked) {
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{1, 1, 8, 8}, {1, 1, 7, 6}}) {
    const at::Tensor x = random_tensor(shape, at::kDouble, 1).requires_grad_();
    const at::Tensor c = wavelet_transform(x, wavelet, 2);
    const at::Tensor v = random_tensor(c.sizes(), at::kDouble, 2).requires_grad_();
    const at::Tensor gradient = torch::autograd::grad({c}, {x}, {v}, true, true)[0];
    expect_near(gradient, adjoint_wavelet_transform(v, wavelet, 2, 2, at::IntArrayRef(shape).slice(2)), 1e-12);
    const at::Tensor w = random_tensor(shape, at::kDouble, 3);
    expect_near(torch::autograd::grad({gradient}, {v}, {w})[0], wavelet_transform(w, wavelet, 2), 1e-12);
  }
}

TEST_P(EveryWavelet, ProxMinimises) {
  for (const auto& [shape, type] : {std::pair{std::vector<std::int64_t>{1, 1, 8, 8}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 4, 8}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 8}, at::kComplexDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 7, 6}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 5, 5}, at::kComplexDouble}}) {
    const WaveletPrior prior({.wavelet = wavelet, .levels = 2, .max_iter = 5000, .tol = 1e-6});
    const at::Tensor x = random_tensor(shape, type, 1);
    for (const double gamma : {0.1, 0.8}) {
      expect_is_prox([&](const at::Tensor& v) { return prior.fn(v).item<double>(); }, x, gamma, prior.prox(x, gamma),
                     2e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryWavelet,
                         testing::Values("haar", "db2", "db4", "db11", "sym2", "sym5", "sym20", "coif1", "coif3"));

TEST(Wavelets, EveryNameHasAFilterOfItsLength) {
  const auto expect_length = [](const std::string& name, std::int64_t taps) {
    const Wavelet wavelet(name);
    EXPECT_EQ(wavelet.name(), name);
    ASSERT_EQ(static_cast<std::int64_t>(wavelet.taps().size()), taps) << name;
    double sum = 0.0;
    double squares = 0.0;
    for (const double tap : wavelet.taps()) {
      sum += tap;
      squares += tap * tap;
    }
    EXPECT_NEAR(sum, std::sqrt(2.0), 1e-8) << name;
    EXPECT_NEAR(squares, 1.0, 1e-8) << name;
  };
  for (std::int64_t order = 1; order <= 38; ++order) {
    expect_length("db" + std::to_string(order), 2 * order);
  }
  for (std::int64_t order = 2; order <= 20; ++order) {
    expect_length("sym" + std::to_string(order), 2 * order);
  }
  for (std::int64_t order = 1; order <= 17; ++order) {
    expect_length("coif" + std::to_string(order), 6 * order);
  }
  for (const char* name : {"db0", "db39", "db", "db02", "sym1", "sym21", "coif18", "bior2.2", "", "Haar", "db4 "}) {
    EXPECT_THROW((void)Wavelet(name), InvalidArgument) << name;
  }
}

// cos(0.7 i² + 1.3 j), 7 × 5, by PyWavelets 1.8: coeffs_to_array(wavedec2(x, wavelet, "periodization", levels)).
TEST(Wavelets, EqualPyWaveletsOnOddSizes) {
  struct Reference {
    const char* wavelet;
    std::int64_t levels;
    std::vector<std::int64_t> shape;
    std::vector<double> values;
  };
  const std::vector<Reference> references = {
      {"db2", 2, {8, 7}, {1.5813262749,  -0.7272146835, -1.9985921168, -0.6666393715, 0.4790539356,  -1.0377571226,
                          -0.1042375641, 0.0324799824,  -0.7731235002, 0.5934568418,  -0.6629343348, -0.5625977303,
                          0.4300994561,  0.348833779,   -0.2681566968, 1.5207335177,  -0.8305455873, 1.309664776,
                          0.8992420902,  -0.7910541387, -0.5278252483, -0.1376678598, -0.2261110321, 0.4162037214,
                          -0.1897972632, 0.6336226154,  -0.8551516965, -0.2864282178, 1.0170705654,  -0.9170450021,
                          0.4801500887,  0.0,           0.0143147539,  -0.3581086755, 0.0907956659,  1.1404316126,
                          -0.971232509,  0.431358158,   0.0,           0.0795491907,  -0.4472959198, 0.0616353591,
                          -0.7588832144, 0.9246006146,  -0.8092448428, 0.0,           0.2568767594,  0.0744193553,
                          -0.2370206859, 0.1693461004,  -0.2242242155, 0.2141672789,  0.0,           -0.0772464492,
                          -0.0022510953, 0.0654967276}},
      {"coif1", 1, {8, 6}, {1.6625889187,  -1.6532156185, 0.8007368458,  -0.0522275387, 0.5920219467,  0.0422152855,
                            -0.3550099074, -0.0854574144, 0.7414531174,  0.4857072837,  -0.415209845,  -0.2783240198,
                            0.7997243401,  0.1192503252,  -1.5178103295, -1.0148561601, 0.8870840997,  0.5819796667,
                            1.4152424817,  -1.1428433569, 0.1313596993,  -0.3306418368, 0.6781066772,  0.1983442827,
                            -0.4785369382, 0.7206064737,  -0.739826201,  -0.2498813382, -0.0091830086, 0.1381877812,
                            -1.2314860245, 1.2663567245,  -0.6801214829, -0.0065700003, -0.4109723727, -0.005586755,
                            0.3952206072,  -0.6781104606, 0.7836676328,  0.2961703732,  -0.0470616338, -0.1650870089,
                            -0.0651828838, 0.0856338502,  -0.0747159323, -0.0204843688, -0.0094984937, 0.0111318119}},
      {"sym4", 3, {8, 7}, {0.9620215287,  1.7133499366,  -0.9593083957, -0.36813113,   -0.1233069901, 0.2862784141,
                           -0.1662091752, 1.1718768638,  0.522267485,   1.4017438223,  -1.7689292172, -0.264912017,
                           0.2337762324,  -0.2452155688, -0.7867604854, 0.7433908233,  -0.9458032845, -0.5694007351,
                           -0.3295481443, 0.1900792791,  -0.2754886647, 0.6393693809,  0.4594474502,  1.4967875767,
                           -0.3994566444, -0.8428141411, 1.0261769139,  -0.8630159803, -0.436528832,  0.4715109599,
                           0.1386388814,  0.0,           0.1059389098,  -0.0543106029, 0.0865672209,  0.0381911106,
                           -1.0224640707, 1.5640581325,  0.0,           -0.7067425126, 0.8307842581,  -0.7149633634,
                           -0.5648767148, 0.177141844,   0.8749622285,  0.0,           -0.1707036225, 0.2942436924,
                           -0.2001466679, 0.6806894437,  -0.2843432567, -0.9404850917, 0.0,           0.15531593,
                           -0.2948974221, 0.1900791665}}};
  at::Tensor x = at::empty({7, 5}, at::kDouble);
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 5; ++j) {
      x[i][j] = std::cos(0.7 * i * i + 1.3 * j);
    }
  }
  for (const Reference& reference : references) {
    const at::Tensor expected = at::tensor(reference.values, at::kDouble).view(reference.shape);
    expect_near(wavelet_transform(x, reference.wavelet, reference.levels), expected, 1e-9, reference.wavelet);
    expect_near(wavelet_transform(x.to(at::kFloat), reference.wavelet, reference.levels), expected.to(at::kFloat),
                1e-6);
    const at::Tensor turned = at::complex(x, 2.0 * x);
    expect_near(wavelet_transform(turned, reference.wavelet, reference.levels), at::complex(expected, 2.0 * expected),
                1e-9);
  }
}

// cos(0.7 i² + 1.3 j), 230 × 180, by PyWavelets 1.9: four levels, of which each has odd sizes. Of its coefficients c
// two projections, Σ c cos(0.3 i + 0.11 j) and Σ c cos(0.02 i j), ‖c‖², and two of them.
TEST(Wavelets, EqualPyWaveletsOnFourLevelsOfOddSizes) {
  struct Reference {
    const char* wavelet;
    std::vector<double> values;
  };
  const std::vector<Reference> references = {
      {"haar", {17.1727644605, -119.812730788, 20828.3749729, 1.13941266763, -0.184169887466}},
      {"db4", {0.549832619433, -113.281112971, 20714.8436398, -0.0103335978037, -0.117254434491}},
      {"sym5", {17.828200844, -106.540795575, 20800.8224146, -0.236483281799, -0.00500762037723}},
      {"coif2", {-15.4412217663, 102.476529135, 20738.6046659, -0.00994886350215, -0.0990954093698}},
      {"db20", {-0.298730118782, 76.0243175228, 20718.6440798, 0.116328050717, 0.00435777994851}}};
  const auto grid = [](std::int64_t rows, std::int64_t columns) {
    return std::pair(at::arange(rows, at::kDouble).view({-1, 1}), at::arange(columns, at::kDouble).view({1, -1}));
  };
  const auto [i, j] = grid(230, 180);
  const at::Tensor x = at::cos(0.7 * i * i + 1.3 * j);
  for (const Reference& reference : references) {
    const at::Tensor c = wavelet_transform(x, reference.wavelet, 4);
    ASSERT_EQ(c.sizes(), (std::vector<std::int64_t>{232, 182}));
    const auto [k, l] = grid(232, 182);
    const at::Tensor values = at::stack({(c * at::cos(0.3 * k + 0.11 * l)).sum(), (c * at::cos(0.02 * k * l)).sum(),
                                         c.square().sum(), c[14][11], c[-1][-1]});
    expect_near(values, at::tensor(reference.values, at::kDouble), 1e-6, reference.wavelet);
    expect_near(inverse_wavelet_transform(c, reference.wavelet, 4, 2, x.sizes()), x, 1e-9, reference.wavelet);
  }
}

// Kernels and tensor operations, which serve other devices and dtypes.
TEST(Wavelets, OtherDtypesHaveTheTransformToo) {
  const at::Tensor x = random_tensor({2, 1, 23, 18}, at::kDouble, 1);
  const at::Tensor half = wavelet_transform(x.to(at::kBFloat16), "db3", 2);
  EXPECT_LE(adjoin::norm(half.to(at::kDouble) - wavelet_transform(x, "db3", 2)), 0.03 * adjoin::norm(x));
  const at::Tensor back = inverse_wavelet_transform(half, "db3", 2, 2, at::IntArrayRef{23, 18});
  EXPECT_LE(adjoin::norm(back.to(at::kDouble) - x), 0.05 * adjoin::norm(x));
}

TEST(WaveletPrior, LeavesTheApproximationFree) {
  const at::Tensor constant = at::full({1, 1, 8, 8}, 3.0, at::kDouble);
  const WaveletPrior prior;
  EXPECT_NEAR(prior.fn(constant).item<double>(), 0.0, 1e-12);
  expect_near(prior.prox(constant, 100.0), constant, 1e-14);
}

TEST(WaveletPrior, HaarDetailsByHand) {
  const at::Tensor x = at::tensor({1.0, 2.0, 3.0, 6.0}).view({1, 1, 2, 2});
  // Details (1 − 2 + 3 − 6)/2, (1 + 2 − 3 − 6)/2, (1 − 2 − 3 + 6)/2.
  EXPECT_NEAR(WaveletPrior({.levels = 1}).fn(x).item<double>(), 2.0 + 3.0 + 1.0, 1e-14);
}

TEST(WaveletPrior, RandomShiftsAreThoseOfEveryRunAndDoNotBlurTheImage) {
  const at::Tensor x = random_tensor({1, 1, 16, 24}, at::kDouble, 1);
  const WaveletPrior fixed({.levels = 2});
  const WaveletPrior shifting({.levels = 2, .random_shift = true});
  const WaveletPrior again({.levels = 2, .random_shift = true});
  at::Tensor last;
  bool changes = false;
  for (int k = 0; k < 6; ++k) {
    const at::Tensor p = shifting.prox(x, 0.3);
    expect_near(again.prox(x, 0.3), p, 0.0);
    changes = changes || (last.defined() && !at::equal(p, last));
    last = p;
    // Each is the prox of the transform of a shifted image.
    bool is_one = false;
    for (std::int64_t a = 0; a < 4; ++a) {
      for (std::int64_t b = 0; b < 4; ++b) {
        const at::Tensor rolled = at::roll(fixed.prox(at::roll(x, {a, b}, {2, 3}), 0.3), {-a, -b}, {2, 3});
        is_one = is_one || at::allclose(rolled, p, 1e-12, 1e-12);
      }
    }
    EXPECT_TRUE(is_one);
  }
  EXPECT_TRUE(changes);
}

TEST(WaveletPrior, SeveralThreadsMayUseOne) {
  const WaveletPrior prior({.wavelet = "db3", .levels = 2});
  const at::Tensor x = random_tensor({1, 1, 15, 22}, at::kDouble, 1);
  const at::Tensor expected = prior.prox(x, 0.3);
  std::vector<std::thread> threads;
  std::vector<at::Tensor> results(4);
  for (at::Tensor& result : results) {
    threads.emplace_back([&] { result = prior.prox(x, 0.3); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const at::Tensor& result : results) {
    expect_near(result, expected, 0.0);
  }
}

TEST(WaveletPrior, BadOptionsAndSizesAreErrors) {
  EXPECT_THROW(WaveletPrior({.levels = 0}), InvalidArgument);
  EXPECT_THROW(WaveletPrior({.dims = 4}), InvalidArgument);
  EXPECT_THROW(WaveletPrior({.max_iter = 0}), InvalidArgument);
  EXPECT_THROW(WaveletPrior({.tol = -1.0}), InvalidArgument);
  EXPECT_THROW(WaveletPrior().prox(at::ones({8}, at::kDouble), 1.0), InvalidArgument);
  EXPECT_THROW(wavelet_transform(at::ones({0, 8}, at::kDouble), "haar", 1), InvalidArgument);
  EXPECT_THROW(wavelet_transform(at::ones({8, 8}, at::kLong), "haar", 1), InvalidArgument);
  EXPECT_THROW(inverse_wavelet_transform(at::ones({9, 8}, at::kDouble), "haar", 2), InvalidArgument);
  EXPECT_THROW(inverse_wavelet_transform(at::ones({8, 8}, at::kDouble), "haar", 2, 2, at::IntArrayRef{8}),
               InvalidArgument);
  EXPECT_THROW(inverse_wavelet_transform(at::ones({8, 8}, at::kDouble), "haar", 2, 2, at::IntArrayRef{8, 9}),
               InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::wavelet_test
