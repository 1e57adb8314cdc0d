#include "adjoin/io/npy.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
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
  refused("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, three), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }\n", data);
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }\n", data);
  refused("{'descr': '<f4', 'shape': (2, 3), }\n", data);
  std::ofstream(folder / "bad.npy") << "not an array";
  EXPECT_THROW(read_npy(folder / "bad.npy"), InvalidArgument);
  EXPECT_THROW(write_npy(folder / "a.npy", at::zeros({2}, at::kBFloat16)), InvalidArgument);
  EXPECT_THROW(write_npy(folder / "no folder" / "a.npy", at::zeros({2})), Error);
}

}  // namespace
}  // namespace adjoin
