// SPDX-License-Identifier: BSD-3-Clause
// Tiles cover the image once, and see beyond its border what their padding says.
#include "adjoin/distributed/tiling.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "adjoin/core/errors.hpp"

namespace adjoin::test::tiling_test {
namespace {

using Shape = std::vector<std::int64_t>;

std::vector<std::int64_t> all_patches(const DistributedSignalStrategy& strategy) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(strategy.get_num_patches()));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

at::Tensor row(std::initializer_list<double> values) {
  return at::tensor(at::ArrayRef<double>(values)).view({1, 1, static_cast<std::int64_t>(values.size())});
}

// The single tile of a row 0, 1, …, size − 1 with this number.
at::Tensor tile(std::int64_t size, std::int64_t index, const TilingOptions& options) {
  const at::Tensor x = at::arange(size, at::kDouble).view({1, 1, size});
  return create_strategy(x.sizes(), options)->get_local_patches(x, {index})[0];
}

TEST(Tiling, PatchesPutBackGiveTheImage) {
  for (const Shape& size : std::vector<Shape>{{2, 3, 17, 23}, {1, 1, 5, 64}, {1, 2, 9, 10, 11}, {2, 1, 16}}) {
    const at::Tensor x = at::rand(size);
    for (const PadMode mode :
         {PadMode::reflect, PadMode::replicate, PadMode::circular, PadMode::constant, PadMode::none}) {
      for (const TilingOptions& options :
           {TilingOptions{.patch_size = {8}, .overlap = {3}, .pad_mode = mode},
            TilingOptions{.patch_size = {7}, .overlap = {6}, .stride = {2}, .pad_mode = mode},
            TilingOptions{.patch_size = {1}, .overlap = {0}, .pad_mode = mode},
            TilingOptions{.tiling_dims = {-1}, .patch_size = {4}, .overlap = {1}, .pad_mode = mode},
            TilingOptions{.strategy = Tiling::basic, .patch_size = {5}},
            TilingOptions{.strategy = Tiling::basic, .tiling_dims = {2}, .num_splits = {4}}}) {
        const auto strategy = create_strategy(x.sizes(), options);
        at::Tensor out = at::zeros_like(x);
        strategy->reduce_patches(out, all_patches(*strategy), strategy->get_local_patches(x, all_patches(*strategy)));
        EXPECT_TRUE(at::equal(out, x)) << describe(options) << " of " << x.sizes();
      }
    }
  }
}

TEST(Tiling, EveryPixelIsWrittenByOneTile) {
  const at::Tensor x = at::ones({1, 1, 17, 23});
  const auto strategy = create_strategy(x.sizes(), {.patch_size = {6}, .overlap = {2}, .stride = {4}});
  at::Tensor sum = at::zeros_like(x);
  for (const std::int64_t index : all_patches(*strategy)) {
    at::Tensor out = at::zeros_like(x);
    strategy->reduce_patches(out, {index}, strategy->get_local_patches(x, {index}));
    sum += out;
  }
  EXPECT_TRUE(at::equal(sum, x));
}

TEST(Tiling, OverlappingTilesAreEqualInSize) {
  const at::Tensor x = at::rand({1, 1, 17, 23});
  const auto strategy = create_strategy(x.sizes(), {.patch_size = {8}, .overlap = {3}});
  EXPECT_EQ(strategy->get_num_patches(), 3 * 3);
  for (const at::Tensor& patch : strategy->get_local_patches(x, all_patches(*strategy))) {
    EXPECT_EQ(patch.sizes(), at::IntArrayRef({1, 1, 14, 14}));
  }
}

TEST(Tiling, BeyondTheBorderATileSeesItsPadding) {
  const auto options = [](PadMode mode) { return TilingOptions{.patch_size = {4}, .overlap = {2}, .pad_mode = mode}; };
  const auto expect = [](const at::Tensor& got, std::initializer_list<double> values) {
    EXPECT_TRUE(at::equal(got, row(values))) << got;
  };
  expect(tile(9, 0, options(PadMode::reflect)), {2, 1, 0, 1, 2, 3, 4, 5});
  expect(tile(9, 2, options(PadMode::reflect)), {3, 4, 5, 6, 7, 8, 7, 6});
  expect(tile(9, 0, options(PadMode::replicate)), {0, 0, 0, 1, 2, 3, 4, 5});
  expect(tile(9, 2, options(PadMode::replicate)), {3, 4, 5, 6, 7, 8, 8, 8});
  expect(tile(9, 0, options(PadMode::circular)), {7, 8, 0, 1, 2, 3, 4, 5});
  expect(tile(9, 2, options(PadMode::circular)), {3, 4, 5, 6, 7, 8, 0, 1});
  expect(tile(9, 0, options(PadMode::constant)), {0, 0, 0, 1, 2, 3, 4, 5});
  expect(tile(9, 2, options(PadMode::constant)), {3, 4, 5, 6, 7, 8, 0, 0});
  expect(tile(9, 0, options(PadMode::none)), {0, 1, 2, 3, 4, 5, 6, 7});
  expect(tile(9, 2, options(PadMode::none)), {1, 2, 3, 4, 5, 6, 7, 8});
}

TEST(Tiling, AnImageNoLongerThanAPatchIsOneTileWithoutPadding) {
  const at::Tensor x = at::rand({1, 1, 8, 5});
  const auto strategy = create_strategy(x.sizes(), {.patch_size = {8}, .overlap = {3}});
  EXPECT_EQ(strategy->get_num_patches(), 1);
  EXPECT_TRUE(at::equal(strategy->get_local_patches(x, {0})[0], x));
}

TEST(Tiling, TheTiledDimensionsAreTheLastOnesUnlessGiven) {
  const auto count = [](const TilingOptions& options) {
    return create_strategy({1, 1, 8, 8, 8}, options)->get_num_patches();
  };
  EXPECT_EQ(count({.patch_size = {4}, .overlap = {1}}), 8);
  EXPECT_EQ(count({.patch_size = {4, 2}, .overlap = {1}}), 2 * 4);
  EXPECT_EQ(count({.tiling_dims = {2}, .patch_size = {4}, .overlap = {1}}), 2);
  EXPECT_EQ(count({.tiling_dims = {-1, 2}, .patch_size = {4, 2}, .overlap = {2, 1}}), 2 * 4);
}

TEST(Tiling, BadOptionsAreRefused) {
  const auto refused = [](at::IntArrayRef size, const TilingOptions& options, const std::string& reason) {
    try {
      create_strategy(size, options);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  };
  const Shape size = {1, 1, 32, 32};
  refused(size, {.patch_size = {8}, .overlap = {8}}, "overlap: must be less than patch_size, 8, got 8");
  refused(size, {.patch_size = {8, 4}, .overlap = {4}}, "overlap: must be less than patch_size, 4, got 4");
  refused(size, {.patch_size = {0}, .overlap = {0}}, "patch_size: must be at least 1");
  refused(size, {.patch_size = {8}, .overlap = {-1}}, "overlap: must be at least 0");
  refused(size, {.patch_size = {8}, .overlap = {1}, .stride = {9}}, "stride: must be at most patch_size");
  refused(size, {.patch_size = {8}, .overlap = {1}, .stride = {0}}, "stride: must be at least 1");
  refused(size, {.patch_size = {}}, "must not be empty");
  refused(size, {.patch_size = {8}, .overlap = {1}, .max_batch_size = 0}, "max_batch_size");
  refused(size, {.patch_size = {8}, .overlap = {1, 2, 3}}, "overlap: must hold one number");
  refused(size, {.tiling_dims = {4}}, "tiling_dims: must be from -4 to 3");
  refused(size, {.tiling_dims = {-1, 3}}, "tiling_dims: must differ");
  refused(size, {.tiling_dims = {0}}, "batch");
  refused({8, 8}, {}, "tiling_dims: must be given");
  refused(size, {.strategy = Tiling::basic, .num_splits = {33}}, "num_splits: must be at most");
  EXPECT_THROW(tiling_from_string("smart"), InvalidArgument);
  EXPECT_THROW(pad_mode_from_string("zeros"), InvalidArgument);
}

TEST(Tiling, NamesAreReadAsTheyAreWritten) {
  for (const Tiling tiling : {Tiling::basic, Tiling::overlap_tiling}) {
    EXPECT_EQ(tiling_from_string(to_string(tiling)), tiling);
  }
  for (const PadMode mode :
       {PadMode::reflect, PadMode::replicate, PadMode::circular, PadMode::constant, PadMode::none}) {
    EXPECT_EQ(pad_mode_from_string(to_string(mode)), mode);
  }
}

}  // namespace
}  // namespace adjoin::test::tiling_test
