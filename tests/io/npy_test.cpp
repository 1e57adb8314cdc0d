// SPDX-License-Identifier: BSD-3-Clause
// NumPy's files written and read whole and in slabs.
#include "adjoin/io/npy.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "temporary_folder.hpp"

namespace adjoin {
namespace {

// A file as NumPy writes it: magic string, version, length of the header, header, data.
void write_file(const std::filesystem::path& path, char version, const std::string& header, const std::string& data) {
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY" << version << '\0' << static_cast<char>(header.size()) << '\0';
  if (version > 1) {
    file << '\0' << '\0';
  }
  file << header << data;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// Ranks in turns.
TEST(Npy, SlabsAreReadAndWrittenByThemselves) {
  const TemporaryFolder folder;
  const std::vector<std::int64_t> shape = {2, 5, 40};
  for (const auto dtype : {at::kFloat, at::kComplexDouble, at::kShort}) {
    const at::Tensor array = at::randint(0, 100, shape).to(dtype);
    write_npy(folder / "whole.npy", array);
    EXPECT_EQ(npy_sizes(folder / "whole.npy"), shape);
    for (const auto axis : {std::optional<std::int64_t>(), std::optional<std::int64_t>(0),
                            std::optional<std::int64_t>(1), std::optional<std::int64_t>(2)}) {
      for (const int ranks : {1, 3, 8}) {
        write_npy(folder / "slabs.npy", at::zeros({1000}));  // another file, and longer
        for (int rank = ranks - 1; rank >= 0; --rank) {
          const auto space = std::make_shared<const ImageSpace>(evenly_cut(shape, axis, rank, ranks));
          const ShardedImage slab = read_npy(folder / "whole.npy", space);
          EXPECT_TRUE(at::equal(slab.local, slab_of(array, space).local));
          write_npy(folder / "slabs.npy", slab);
        }
        EXPECT_TRUE(at::equal(read_npy(folder / "slabs.npy"), array));
      }
    }
  }
  const auto other = std::make_shared<const ImageSpace>(evenly_cut({2, 5, 41}, {}, 0, 2));
  EXPECT_THROW((void)read_npy(folder / "whole.npy", other), InvalidArgument);
}

TEST(Npy, RoundTripKeepsTypeShapeAndValues) {
  const TemporaryFolder folder;
  for (const auto dtype : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf, at::kFloat,
                           at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{}, {5}, {2, 3}, {2, 0, 3}, {1, 2, 3, 4}}) {
      const at::Tensor array = at::randint(0, 100, shape).to(dtype);
      write_npy(folder / "array.npy", array);
      const at::Tensor read = read_npy(folder / "array.npy");
      EXPECT_EQ(read.scalar_type(), dtype);
      EXPECT_TRUE(at::equal(read, array)) << dtype << " " << array.sizes();
    }
  }
}

TEST(Npy, TransposedAndConjugatedTensorsAreWrittenAsTheyRead) {
  const TemporaryFolder folder;
  const at::Tensor array = at::randn({3, 4}, at::kComplexDouble).t().conj();
  write_npy(folder / "array.npy", array);
  EXPECT_TRUE(at::equal(read_npy(folder / "array.npy"), array));
}

TEST(Npy, DataStartAtAMultipleOfSixtyFourBytes) {
  const TemporaryFolder folder;
  write_npy(folder / "array.npy", at::zeros({3}));
  EXPECT_EQ(std::filesystem::file_size(folder / "array.npy") % 64, 12U);
}

TEST(Npy, FortranOrderAndLaterVersionsAreRead) {
  const TemporaryFolder folder;
  const std::string header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n";
  const at::Tensor expected = at::tensor({0.0, 2.0, 4.0, 1.0, 3.0, 5.0}).reshape({2, 3}).to(at::kFloat);
  for (const char version : {'\1', '\2', '\3'}) {
    write_file(folder / "array.npy", version, header, bytes_of({0, 1, 2, 3, 4, 5}));
    EXPECT_TRUE(at::equal(read_npy(folder / "array.npy"), expected));
  }
}

TEST(Npy, EitherByteOrderAndUnsignedNumbersAreRead) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& type, const std::string& shape, const std::string& data) {
    write_file(folder / "array.npy", '\1',
               "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }\n", data);
    return read_npy(folder / "array.npy");
  };
  EXPECT_TRUE(at::equal(read(">f4", "(2,)", std::string("\x3F\x80\0\0\xC0\0\0\0", 8)), at::tensor({1.0F, -2.0F})));
  EXPECT_TRUE(at::equal(read(">i2", "(1, 2)", std::string("\xFF\xFE\1\2", 4)),
                        at::tensor({-2, 258}).to(at::kShort).unsqueeze(0)));
  EXPECT_TRUE(at::equal(read("<u2", "(2,)", "\xFF\xFF\x60\xEA"), at::tensor({65535, 60000}).to(at::kInt)));
  EXPECT_TRUE(at::equal(read(">u2", "(2,)", "\xFF\xFF\xEA\x60"), at::tensor({65535, 60000}).to(at::kInt)));
  EXPECT_TRUE(at::equal(read(">u4", "(1,)", "\xFF\xFF\xFF\xFE"), at::tensor({4294967294}).to(at::kLong)));
  EXPECT_TRUE(at::equal(read("<u8", "(1,)", std::string("\1\1\0\0\0\0\0\0", 8)), at::tensor({257}).to(at::kLong)));
  EXPECT_TRUE(at::equal(read(">c8", "()", std::string("\x3F\x80\0\0\xC0\0\0\0", 8)),
                        at::scalar_tensor(c10::complex<float>(1.0F, -2.0F), at::kComplexFloat)));
  EXPECT_THROW(read("<u8", "(1,)", std::string(8, '\xFF')), InvalidArgument);
  const at::Tensor truth = read("|b1", "(4,)", std::string("\0\1\2\xFF", 4));
  EXPECT_TRUE(at::equal(truth.to(at::kInt), at::tensor({0, 1, 1, 1}).to(at::kInt)));
}

TEST(Npy, BadFilesAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THROW(read_npy(folder / "none.npy"), InvalidArgument);
  const std::string data = bytes_of({0, 1, 2, 3, 4, 5});
  const auto refused = [&](const std::string& header, const std::string& contents) {
    write_file(folder / "bad.npy", '\1', header, contents);
    EXPECT_THROW(read_npy(folder / "bad.npy"), InvalidArgument) << header;
  };
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", data.substr(1));
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", data + "x");
  refused("{'descr': '<f3', 'fortran_order': False, 'shape': (2, 3), }\n", data);
  refused("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 8), }\n", "");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, three), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }\n", data);
  refused("{'descr': '<f4', 'shape': (2, 3), }\n", data);
  std::string many_axes;
  for (int i = 0; i < 300'000; ++i) {
    many_axes += "1,";
  }
  const std::string long_header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + many_axes + "), }\n";
  std::ofstream(folder / "bad.npy", std::ios::binary)
      << std::string("\x93NUMPY\2\0", 8) << static_cast<char>(long_header.size())
      << static_cast<char>(long_header.size() >> 8) << static_cast<char>(long_header.size() >> 16) << '\0'
      << long_header << "1234";
  EXPECT_THROW(read_npy(folder / "bad.npy"), InvalidArgument);
  EXPECT_THROW(read_npy(folder / "."), InvalidArgument);
  std::ofstream(folder / "bad.npy") << "not an array";
  EXPECT_THROW(read_npy(folder / "bad.npy"), InvalidArgument);
  EXPECT_THROW(write_npy(folder / "a.npy", at::zeros({2}, at::kBFloat16)), InvalidArgument);
  EXPECT_THROW(write_npy(folder / "no folder" / "a.npy", at::zeros({2})), Error);
}

}  // namespace
}  // namespace adjoin
