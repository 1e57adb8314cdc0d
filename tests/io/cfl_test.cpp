// SPDX-License-Identifier: BSD-3-Clause
// BART's files written and read, and refused where they do not fit.
#include "adjoin/io/cfl.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "temporary_folder.hpp"

namespace adjoin {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(Cfl, RoundTripKeepsShapeAndValues) {
  const TemporaryFolder folder;
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{5}, {2, 3}, {1, 4, 1, 2}, {2, 0, 3}}) {
    const at::Tensor array = at::randn(shape, at::kComplexFloat);
    write_cfl(folder / "a", array);
    for (const char* name : {"a", "a.cfl", "a.hdr"}) {
      EXPECT_TRUE(at::equal(read_cfl(folder / name), array));
    }
  }
}

TEST(Cfl, IsLaidOutAsBartHasIt) {
  const TemporaryFolder folder;
  // Two readouts of three: the first axis changes fastest.
  const std::vector<float> numbers = {0, 0, 1, 10, 2, 20, 3, 30, 4, 40, 5, 50};
  write_text(folder / "k.hdr", "# Dimensions\n3 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1 \n# Command\nphantom\n");
  write_text(folder / "k.cfl", {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)});
  const at::Tensor expected = at::arange(6, at::kFloat).view({2, 3}).t();
  EXPECT_TRUE(at::equal(read_cfl(folder / "k"), at::complex(expected, 10 * expected)));
  write_cfl(folder / "again", read_cfl(folder / "k"));
  const auto bytes = [&](const char* name) {
    std::ifstream file(folder / name, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  EXPECT_EQ(bytes("again.cfl"), bytes("k.cfl"));
}

TEST(Cfl, APartIsTheEntriesOfAnAxis) {
  const TemporaryFolder folder;
  const at::Tensor array = at::randn({3, 2, 4, 5, 2}, at::kComplexFloat);
  write_cfl(folder / "a", array);
  EXPECT_EQ(cfl_sizes(folder / "a"), array.sizes().vec());
  for (std::int64_t axis = 0; axis < array.dim(); ++axis) {
    for (const std::vector<std::int64_t>& indices : {std::vector<std::int64_t>{1, 0, 1}, {}, {0}}) {
      const at::Tensor part = read_cfl(folder / "a", CflPart{.axis = axis, .indices = indices});
      EXPECT_TRUE(at::equal(part, array.index_select(axis, at::tensor(indices, at::kLong)))) << axis;
    }
  }
  // An axis that the file leaves out has one entry.
  EXPECT_TRUE(at::equal(read_cfl(folder / "a", CflPart{.axis = 6, .indices = {0}}), array.view({3, 2, 4, 5, 2, 1, 1})));
  for (const CflPart& part : {CflPart{.axis = 3, .indices = {5}}, CflPart{.axis = 3, .indices = {-1}},
                              CflPart{.axis = 6, .indices = {1}}, CflPart{.axis = -1}, CflPart{.axis = 64}}) {
    EXPECT_THROW(read_cfl(folder / "a", part), InvalidArgument);
  }
}

TEST(Cfl, RefusesWhatIsMissingOrDoesNotFit) {
  const TemporaryFolder folder;
  EXPECT_THROW(read_cfl(folder / "none"), InvalidArgument);
  write_text(folder / "a.cfl", std::string(16, 'x'));
  EXPECT_THROW(read_cfl(folder / "a"), InvalidArgument);
  std::string many = "# Dimensions\n";
  for (int i = 0; i < 300'000; ++i) {
    many += "1 ";
  }
  for (const std::string& header :
       {std::string(), std::string("# Dimensions"), std::string("# Dimensions\n"), std::string("# Dimensions\n\n"),
        std::string("2"), std::string("# Dimensions\n3"), std::string("# Dimensions\n-2"),
        std::string("# Dimensions\n2x"), std::string("# Dimensions\n1.5 2"), std::string("# Dimensions\n0 2"),
        std::string("# Dimensions\n4611686018427387904 4"), std::string("# Dimensions\n99999999999999999999"), many}) {
    write_text(folder / "a.hdr", header);
    EXPECT_THROW(read_cfl(folder / "a"), InvalidArgument) << header.substr(0, 60);
  }
  write_text(folder / "a.hdr", "# Dimensions\n2 1");
  EXPECT_EQ(read_cfl(folder / "a").sizes(), (std::vector<std::int64_t>{2}));
  EXPECT_THROW(write_cfl(folder / "b", at::Tensor()), InvalidArgument);
  EXPECT_THROW(write_cfl(folder / "no" / "b", at::ones({2})), Error);
}

}  // namespace
}  // namespace adjoin
