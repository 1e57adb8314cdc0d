// Wavelets: orthonormal filters with the moments promised, perfect reconstruction, and the sparsity prior.
#include "adjoin/optim/wavelet.hpp"

#include "optim/support.hpp"

namespace adjoin::test {
namespace {

class EveryWavelet : public testing::TestWithParam<Wavelet> {
 protected:
  Wavelet wavelet = GetParam();
};

TEST_P(EveryWavelet, TransformIsOrthonormal) {
  for (const std::int64_t levels : {1, 2, 3}) {
    const at::Tensor matrix = wavelet_transform(at::eye(16, at::kDouble), wavelet, levels, 1);
    expect_near(at::matmul(matrix, matrix.t()), at::eye(16, at::kDouble), 1e-14);
  }
}

TEST_P(EveryWavelet, InverseRestoresImagesVolumesAndComplexImages) {
  for (const auto& [shape, type, dims] : {std::tuple{std::vector<std::int64_t>{2, 3, 16, 24}, at::kDouble, 2},
                                          std::tuple{std::vector<std::int64_t>{1, 1, 8, 8, 16}, at::kDouble, 3},
                                          std::tuple{std::vector<std::int64_t>{1, 2, 8, 8}, at::kComplexDouble, 2}}) {
    const at::Tensor x = random_tensor(shape, type, 1);
    const at::Tensor c = wavelet_transform(x, wavelet, 3, dims);
    EXPECT_NEAR(adjoin::norm(c), adjoin::norm(x), 1e-12 * adjoin::norm(x));
    expect_near(inverse_wavelet_transform(c, wavelet, 3, dims), x, 1e-13);
  }
}

// A polynomial of degree below the number of vanishing moments has no details, away from the border that wraps around.
TEST_P(EveryWavelet, DetailsOfLowPolynomialsVanish) {
  const int moments = wavelet == Wavelet::haar ? 1 : (wavelet == Wavelet::db2 ? 2 : 4);
  const at::Tensor t = at::linspace(-1.0, 1.0, 64, at::kDouble);
  for (int degree = 0; degree < moments; ++degree) {
    const at::Tensor details = wavelet_transform(at::pow(t, degree), wavelet, 1, 1).narrow(0, 32, 32 - 4);
    EXPECT_LE(at::abs(details).max().item<double>(), 1e-13) << degree;
  }
  const at::Tensor details = wavelet_transform(at::pow(t, moments), wavelet, 1, 1).narrow(0, 32, 32 - 4);
  EXPECT_GE(at::abs(details).min().item<double>(), 1e-7);
}

TEST_P(EveryWavelet, TransformIsDifferentiable) {
  const at::Tensor x = random_tensor({1, 1, 8, 8}, at::kDouble, 1).requires_grad_();
  const at::Tensor v = random_tensor({1, 1, 8, 8}, at::kDouble, 2);
  const at::Tensor gradient = torch::autograd::grad({wavelet_transform(x, wavelet, 2)}, {x}, {v})[0];
  expect_near(gradient, inverse_wavelet_transform(v, wavelet, 2), 1e-13);
}

TEST_P(EveryWavelet, ProxMinimises) {
  for (const auto& [shape, type] : {std::pair{std::vector<std::int64_t>{1, 1, 8, 8}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 4, 8}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 8}, at::kComplexDouble}}) {
    const WaveletPrior prior({.wavelet = wavelet, .levels = 2});
    const at::Tensor x = random_tensor(shape, type, 1);
    for (const double gamma : {0.1, 0.8}) {
      expect_is_prox([&](const at::Tensor& v) { return prior.fn(v).item<double>(); }, x, gamma, prior.prox(x, gamma));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryWavelet, testing::Values(Wavelet::haar, Wavelet::db2, Wavelet::db4),
                         [](const testing::TestParamInfo<Wavelet>& test) {
                           return std::string(to_string(test.param));
                         });

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

TEST(WaveletPrior, BadOptionsAndSizesAreErrors) {
  EXPECT_THROW(WaveletPrior({.levels = 0}), InvalidArgument);
  EXPECT_THROW(WaveletPrior({.dims = 4}), InvalidArgument);
  EXPECT_THROW(WaveletPrior({.levels = 3}).fn(at::ones({1, 1, 8, 12}, at::kDouble)), InvalidArgument);
  EXPECT_THROW(WaveletPrior().prox(at::ones({8}, at::kDouble), 1.0), InvalidArgument);
  EXPECT_THROW(wavelet_from_string("db3"), InvalidArgument);
  EXPECT_EQ(wavelet_from_string("db4"), Wavelet::db4);
}

}  // namespace
}  // namespace adjoin::test
