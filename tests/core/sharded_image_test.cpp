// SPDX-License-Identifier: BSD-3-Clause
// Images cut into slabs, whose vector space is that of the whole images; the ranks here take turns in one process.
#include "adjoin/core/sharded_image.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin::test::sharded_image_test {
namespace {

// Adds up what the ranks bring in turn: each is given the sum so far, the last one that of all.
class Turns : public ScalarSum {
 public:
  void sum(std::span<c10::complex<double>> values) override {
    sums_.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      sums_[i] += values[i];
      values[i] = sums_[i];
    }
    ++messages;
  }
  int messages = 0;

 private:
  std::vector<c10::complex<double>> sums_;
};

struct Cut {
  std::vector<std::int64_t> sizes;
  std::optional<std::int64_t> axis;
  int ranks;
};

const std::vector<Cut> cuts = {
    {{7, 11}, {}, 1},  {{7, 11}, {}, 3},   {{2, 3, 20, 10}, {}, 4}, {{5}, {}, 3},         {{3, 4, 5}, 0, 2},
    {{3, 4, 5}, 1, 3}, {{2, 4, 5}, -1, 8}, {{1, 1, 9, 4, 4}, 2, 4}, {{4, 100000}, {}, 3}, {{1, 1, 300, 500}, {}, 2}};

std::vector<ShardedImage> slabs_of(const at::Tensor& image, const Cut& cut, const std::shared_ptr<Turns>& turns) {
  std::vector<ShardedImage> slabs;
  for (int r = 0; r < cut.ranks; ++r) {
    ImageSpace space = evenly_cut(cut.sizes, cut.axis, r, cut.ranks);
    space.reducer = turns;
    slabs.push_back(slab_of(image, std::make_shared<const ImageSpace>(std::move(space))));
  }
  return slabs;
}

at::Tensor joined(const std::vector<ShardedImage>& slabs) {
  std::vector<at::Tensor> parts;
  for (const ShardedImage& slab : slabs) {
    parts.push_back(slab.local);
  }
  const ImageSpace& space = *slabs[0].space;
  return space.axis ? at::cat(parts, *space.axis) : at::cat(parts).view(space.sizes);
}

TEST(ShardedImage, SlabsMakeUpTheImage) {
  for (const Cut& cut : cuts) {
    const at::Tensor image = at::rand(cut.sizes);
    const auto slabs = slabs_of(image, cut, std::make_shared<Turns>());
    EXPECT_TRUE(at::equal(joined(slabs), image)) << slabs[0].space->text();
    // In slab order they follow one another.
    const at::Tensor ordered = in_slab_order(image, *slabs[0].space).reshape({-1});
    std::int64_t begin = 0;
    for (const ShardedImage& slab : slabs) {
      const auto count = slab.space->counts()[static_cast<std::size_t>(slab.space->rank)];
      EXPECT_EQ(count, slab.local.numel());
      EXPECT_EQ(slab.local.sizes(), at::IntArrayRef(slab.space->local_sizes()));
      const at::Tensor own = in_slab_order(slab.local, *slab.space).reshape({-1});
      EXPECT_TRUE(at::equal(ordered.narrow(0, begin, count), own));
      begin += count;
    }
    EXPECT_EQ(begin, image.numel());
  }
}

TEST(ShardedImage, ThereIsNoSuchAxis) {
  EXPECT_THROW((void)evenly_cut({3, 4}, 2, 0, 2), InvalidArgument);
  EXPECT_THROW((void)evenly_cut({3, 4}, -3, 0, 2), InvalidArgument);
}

TEST(ShardedImage, InnerProductsAreThoseOfTheWholeImages) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    for (const Cut& cut : cuts) {
      const at::Tensor a = at::randn(cut.sizes, dtype);
      const at::Tensor b = at::randn(cut.sizes, dtype);
      for (const std::int64_t items : {std::int64_t{1}, cut.sizes.size() > 1 ? cut.sizes[0] : 1}) {
        const auto turns = std::make_shared<Turns>();
        const auto a_slabs = slabs_of(a, cut, turns);
        const auto b_slabs = slabs_of(b, cut, turns);
        std::vector<Scalars> products;
        for (int r = 0; r < cut.ranks; ++r) {
          const auto k = static_cast<std::size_t>(r);
          products = dots({{&a_slabs[k], &b_slabs[k]}, {&a_slabs[k], &a_slabs[k]}, {&b_slabs[k], &a_slabs[k]}}, items);
        }
        EXPECT_EQ(turns->messages, cut.ranks);
        const auto expected = dots({{&a, &b}, {&a, &a}, {&b, &a}}, items);
        for (std::size_t k = 0; k < expected.size(); ++k) {
          for (std::size_t i = 0; i < static_cast<std::size_t>(items); ++i) {
            EXPECT_LE(std::abs(products[k][i] - expected[k][i]), 1e-12 * static_cast<double>(a.numel()))
                << a_slabs[0].space->text() << " product " << k << " item " << i;
          }
        }
      }
    }
  }
}

TEST(ShardedImage, NormsOfAnySize) {
  for (const double scale : {1.0, 1e-200, 1e200}) {
    for (const Cut& cut : cuts) {
      const at::Tensor a = at::randn(cut.sizes, at::kDouble) * scale;
      const std::int64_t items = cut.sizes.size() > 1 ? cut.sizes[0] : 1;
      const Reals expected = norms(a, items);
      Reals all(expected.size(), 0.0);
      for (const ShardedImage& slab : slabs_of(a, cut, nullptr)) {  // without a sum, each rank's own
        const Reals own = norms(slab, items);
        for (std::size_t i = 0; i < own.size(); ++i) {
          all[i] = std::hypot(all[i], own[i]);
        }
      }
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_NEAR(all[i] / expected[i], 1.0, 1e-12);
      }
    }
  }
}

TEST(ShardedImage, ArithmeticIsThatOfTheWholeImages) {
  for (const at::ScalarType dtype : {at::kDouble, at::kComplexDouble}) {
    for (const Cut& cut : cuts) {
      const at::Tensor x = at::randn(cut.sizes, dtype);
      const at::Tensor y = at::randn(cut.sizes, dtype);
      const std::int64_t items = cut.sizes.size() > 1 ? cut.sizes[0] : 1;
      Scalars alpha;
      Scalars beta;
      for (std::int64_t i = 0; i < items; ++i) {
        alpha.push_back(1.5 + static_cast<double>(i));
        beta.push_back(0.5 - static_cast<double>(i));
      }
      const auto turns = std::make_shared<Turns>();
      const auto x_slabs = slabs_of(x, cut, turns);
      auto y_slabs = slabs_of(y, cut, turns);
      at::Tensor expected = y.clone();
      adjoin::axpby(alpha, x, beta, expected);
      adjoin::axpy(alpha, x, expected);
      adjoin::xpby(x, beta, expected);
      adjoin::scale(alpha, expected);
      for (std::size_t r = 0; r < y_slabs.size(); ++r) {
        adjoin::axpby(alpha, x_slabs[r], beta, y_slabs[r]);
        adjoin::axpy(alpha, x_slabs[r], y_slabs[r]);
        adjoin::xpby(x_slabs[r], beta, y_slabs[r]);
        adjoin::scale(alpha, y_slabs[r]);
      }
      EXPECT_TRUE(at::equal(joined(y_slabs), expected)) << y_slabs[0].space->text();
      EXPECT_EQ(turns->messages, 0);
    }
  }
}

TEST(ShardedImage, RandomNumbersDoNotDependOnTheCut) {
  std::vector<Cut> long_ones = cuts;
  long_ones.push_back({{131072}, {}, 2});
  long_ones.push_back({{65536 + 7}, {}, 2});
  long_ones.push_back({{3 * 65536 + 1}, {}, 3});
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    for (const Cut& cut : long_ones) {
      const at::Tensor like = at::empty(cut.sizes, dtype);
      std::vector<ShardedImage> drawn;
      for (const ShardedImage& slab : slabs_of(like, cut, nullptr)) {
        drawn.push_back(adjoin::randn_like(slab, 5));
      }
      EXPECT_TRUE(at::equal(joined(drawn), adjoin::randn_like(like, 5))) << drawn[0].space->text() << " " << dtype;
    }
  }
}

TEST(ShardedImage, OfUnlikeCutsDoNotCombine) {
  const at::Tensor image = at::rand({4, 40});
  const auto flat = slabs_of(image, {{4, 40}, {}, 2}, nullptr);
  auto rows = slabs_of(image, {{4, 40}, 0, 2}, nullptr);
  EXPECT_THROW((void)adjoin::dot(flat[0], rows[0]), InvalidArgument);
  EXPECT_THROW(adjoin::axpy({1.0}, flat[0], rows[0]), InvalidArgument);
  EXPECT_THROW((void)adjoin::dot(flat[0], flat[0], 3), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::test::sharded_image_test
