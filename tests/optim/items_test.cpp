// SPDX-License-Identifier: BSD-3-Clause
// The images of a batch are independent problems: each comes out as it does alone, beside whatever.
#include <map>
#include <string>

#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "adjoin/optim/wavelet.hpp"
#include "optim/support.hpp"

namespace adjoin::test::items_test {
namespace {

constexpr std::int64_t n = 5;

class Items : public testing::TestWithParam<at::ScalarType> {
 protected:
  const at::ScalarType dtype = GetParam();
  DistributedContext context;
  DistributedStackedLinearPhysics stack{context, n, matrices(dtype)};
  StackedLinearPhysics single = twin(n, dtype);
  DistributedDataFidelity f{stack, std::make_shared<L2>()};

  // Faint, plain and bright images, and one of zeros, with noise.
  std::vector<at::Tensor> images() const {
    return {random_image(dtype, 1), random_image(dtype, 2) * 1e6, random_image(dtype, 3) * 1e-3,
            at::zeros({1, 2, 3, 4}, dtype)};
  }
  TensorList measured(const at::Tensor& x) const {
    TensorList y = single.A(x);
    for (at::Tensor& entry : y) {
      for (std::int64_t b = 0; b < entry.size(0); ++b) {
        const double size = adjoin::norm(x[b]) * 0.02;
        entry[b] += size * random_tensor(entry[b].sizes(), dtype, 50);
      }
    }
    return y;
  }
};

TEST_P(Items, ComeOutAsTheyDoAlone) {
  const double tol = c10::toRealValueType(dtype) == at::kDouble ? 1e-7 : 1e-4;
  const std::vector<at::Tensor> each = images();
  const at::Tensor batch = at::cat(each);
  const TensorList y = measured(batch);
  for (const auto& [name, run] : algorithms({2.0, 0.5})) {
    for (const bool backtracking : {false, true}) {
      if (backtracking && (name == "HQS" || name == "ADMM" || name == "primal-dual" || name == "ordered subsets")) {
        continue;
      }
      const OptimOptions options{
          .max_iter = 3000, .tol = tol, .lambda = 0.3, .backtracking = backtracking, .objective = backtracking};
      const DataTermOptions inner{.prox = {.max_iter = 200, .tol = tol * 1e-3}};
      const OptimResult together = run(data_term(f, y, inner), Tikhonov(), at::zeros_like(batch), options);
      int most = 0;
      for (std::size_t i = 0; i < each.size(); ++i) {
        TensorList own;
        for (const at::Tensor& entry : y) {
          own.push_back(entry.narrow(0, static_cast<std::int64_t>(i), 1));
        }
        const OptimResult alone = run(data_term(f, own, inner), Tikhonov(), at::zeros_like(each[i]), options);
        expect_near(together.x.narrow(0, static_cast<std::int64_t>(i), 1), alone.x, 100 * tol,
                    c10::str(name, backtracking ? " with backtracking" : "", ", item ", i));
        most = std::max(most, alone.iterations);
      }
      if (name != "ordered subsets") {  // whose steps fall too quickly for it
        EXPECT_EQ(together.reason, StopReason::converged) << name;
      }
      if (dtype == at::kDouble && !backtracking) {
        EXPECT_NEAR(together.iterations, most, 2.0 + 0.2 * most) << name;  // default steps differ a little
      }
    }
  }
}

TEST_P(Items, StoppedItemsStayAsTheyAre) {
  const at::Tensor batch = at::cat(images());
  const TensorList y = measured(batch);
  std::vector<at::Tensor> seen;
  const OptimOptions options{
      .max_iter = 400, .tol = 1e-3, .lambda = 0.3, .monitor = [&](const IterationRecord&, const at::Tensor& x) {
        seen.push_back(x.clone());
        return true;
      }};
  const OptimResult result = fista(data_term(f, y), Tikhonov(), at::zeros_like(batch), options);
  ASSERT_GT(seen.size(), 3U);
  // The image of zeros is right at once.
  EXPECT_EQ(adjoin::norm(result.x[3]), 0.0);
  for (std::int64_t i = 0; i < batch.size(0); ++i) {
    bool still = false;
    for (std::size_t k = 1; k < seen.size(); ++k) {
      const bool moved = !at::equal(seen[k][i], seen[k - 1][i]);
      EXPECT_FALSE(still && moved) << i << " moved again at iteration " << k + 1;
      still = still || !moved;
    }
  }
}

TEST_P(Items, ABatchAsOneProblemStopsAsOne) {
  const at::Tensor batch = at::cat(images());
  const TensorList y = measured(batch);
  const OptimOptions options{.max_iter = 3000, .tol = 1e-4, .items = 1, .lambda = 0.3};
  const OptimResult joint = fista(data_term(f, y), Tikhonov(), at::zeros_like(batch), options);
  // The bright image alone decides.
  TensorList bright;
  for (const at::Tensor& entry : y) {
    bright.push_back(entry.narrow(0, 1, 1));
  }
  EXPECT_NEAR(joint.iterations,
              fista(data_term(f, bright), Tikhonov(), at::zeros_like(batch).narrow(0, 0, 1), options).iterations, 2);
  EXPECT_THROW((void)fista(data_term(f, y), Tikhonov(), batch, {.items = 3}), Error);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Items, testing::Values(at::kFloat, at::kDouble, at::kComplexDouble),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(ItemsOfPriors, TotalVariationOfEachIsThatAlone) {
  for (const auto& [shape, type] : {std::pair{std::vector<std::int64_t>{1, 2, 9, 11}, at::kDouble},
                                    std::pair{std::vector<std::int64_t>{1, 1, 4, 6, 5}, at::kFloat},
                                    std::pair{std::vector<std::int64_t>{1, 1, 9, 11}, at::kComplexFloat}}) {
    const at::Tensor faint = random_tensor(shape, type, 1) + 2.0;
    const at::Tensor batch = at::cat({1e4 * at::ones_like(faint), faint, 1e-3 * faint, 1e6 * faint});
    const TotalVariationOptions options{.max_iter = 20000, .tol = 1e-4};
    const at::Tensor together = TotalVariation(options).prox(batch, 0.5);
    for (std::int64_t i = 0; i < batch.size(0); ++i) {
      const at::Tensor alone = TotalVariation(options).prox(batch.narrow(0, i, 1), 0.5);
      expect_near(together.narrow(0, i, 1), alone, 2e-4, c10::str(type, " item ", i));
    }
    const TotalVariation all(options);
    (void)all.prox(batch, 0.5);
    EXPECT_GT(all.inner().iterations, 0);
  }
}

}  // namespace
}  // namespace adjoin::test::items_test
