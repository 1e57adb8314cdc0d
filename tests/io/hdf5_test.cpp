// SPDX-License-Identifier: BSD-3-Clause
// Arrays that the HDF5 library wrote, read in every type, and refused where they are damaged.
#include "adjoin/io/hdf5.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "temporary_folder.hpp"

namespace adjoin {
namespace {

/// Writes `array` as /group/data in the given type, in compressed chunks when it has axes.
void write_hdf5(const std::filesystem::path& path, const at::Tensor& array, hid_t memory_type, hid_t file_type) {
  const at::Tensor values = array.contiguous();
  const std::vector<hsize_t> extents(values.sizes().begin(), values.sizes().end());
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t group = H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  if (values.numel() > 0 && values.dim() > 0) {
    const std::vector<hsize_t> chunk(extents.size(), 2);
    H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 6);
  }
  const hid_t data = H5Dcreate2(group, "data", file_type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  ASSERT_GE(H5Dwrite(data, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data_ptr()), 0);
  H5Dclose(data);
  H5Pclose(properties);
  H5Sclose(space);
  H5Gclose(group);
  H5Fclose(file);
}

struct Case {
  at::ScalarType written;
  hid_t memory_type;
  hid_t file_type;
  at::ScalarType read;
};

TEST(Hdf5, ReadsNumbersOfEveryTypeAndByteOrder) {
  const TemporaryFolder folder;
  const std::vector<Case> cases = {{at::kFloat, H5T_NATIVE_FLOAT, H5T_IEEE_F32LE, at::kFloat},
                                   {at::kFloat, H5T_NATIVE_FLOAT, H5T_IEEE_F32BE, at::kFloat},
                                   {at::kDouble, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, at::kDouble},
                                   {at::kInt, H5T_NATIVE_INT32, H5T_STD_I8LE, at::kChar},
                                   {at::kInt, H5T_NATIVE_INT32, H5T_STD_U8LE, at::kByte},
                                   {at::kInt, H5T_NATIVE_INT32, H5T_STD_I16BE, at::kShort},
                                   {at::kInt, H5T_NATIVE_INT32, H5T_STD_U16LE, at::kInt},
                                   {at::kInt, H5T_NATIVE_INT32, H5T_STD_I32LE, at::kInt},
                                   {at::kLong, H5T_NATIVE_INT64, H5T_STD_U32LE, at::kLong},
                                   {at::kLong, H5T_NATIVE_INT64, H5T_STD_I64LE, at::kLong},
                                   {at::kLong, H5T_NATIVE_INT64, H5T_STD_U64BE, at::kLong}};
  for (const Case& c : cases) {
    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{}, {5}, {3, 4, 7}, {2, 0}}) {
      const at::Tensor array = at::randint(0, 120, shape).to(c.written);
      write_hdf5(folder / "array.h5", array, c.memory_type, c.file_type);
      for (const bool trusted : {false, true}) {
        const at::Tensor read = read_hdf5(folder / "array.h5", "/group/data", {.trusted = trusted});
        EXPECT_EQ(read.scalar_type(), c.read);
        EXPECT_TRUE(at::equal(read, array.to(c.read))) << c.read << " " << array.sizes() << " " << trusted;
      }
    }
  }
}

void expect_refusal(const std::filesystem::path& path, const std::string& dataset, const std::string& part) {
  try {
    read_hdf5(path, dataset);
    ADD_FAILURE() << "no exception; expected one about " << part;
  } catch (const InvalidArgument& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

TEST(Hdf5, ReadsHalfPrecisionAsSingle) {
  const TemporaryFolder folder;
  const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(half, 15, 10, 5, 0, 10);
  H5Tset_size(half, 2);
  H5Tset_ebias(half, 15);
  const at::Tensor array = at::arange(-8, 8, at::kFloat) / 4;
  write_hdf5(folder / "half.h5", array, H5T_NATIVE_FLOAT, half);
  H5Tclose(half);
  EXPECT_TRUE(at::equal(read_hdf5(folder / "half.h5", "/group/data"), array));
}

TEST(Hdf5, RefusesWhatItCannotRead) {
  const TemporaryFolder folder;
  expect_refusal(folder / "none.h5", "data", "none.h5");
  std::ofstream(folder / "text.h5") << "not an HDF5 file";
  expect_refusal(folder / "text.h5", "data", "HDF5 file");
  write_hdf5(folder / "good.h5", at::arange(1000, at::kFloat), H5T_NATIVE_FLOAT, H5T_IEEE_F32LE);
  expect_refusal(folder / "good.h5", "/group/other", "/group/other");
  expect_refusal(folder / "good.h5", "/group", "/group");
  write_hdf5(folder / "unsigned.h5", at::arange(-4, 0, at::kLong), H5T_NATIVE_UINT64, H5T_STD_U64LE);
  expect_refusal(folder / "unsigned.h5", "/group/data", "int64");
  expect_refusal(folder / ".", "data", "no file");
  std::filesystem::copy(folder / "good.h5", folder / "short.h5");
  std::filesystem::resize_file(folder / "short.h5", std::filesystem::file_size(folder / "good.h5") / 2);
  EXPECT_THROW(read_hdf5(folder / "short.h5", "/group/data"), InvalidArgument);
}

TEST(Hdf5, ReadsIntegersOfAFewBits) {
  const TemporaryFolder folder;
  const hid_t twelve = H5Tcopy(H5T_STD_I16LE);
  H5Tset_precision(twelve, 12);
  H5Tset_offset(twelve, 3);
  const at::Tensor array = at::arange(-2000, 2000, 100).to(at::kInt);
  write_hdf5(folder / "few.h5", array, H5T_NATIVE_INT32, twelve);
  H5Tclose(twelve);
  EXPECT_TRUE(at::equal(read_hdf5(folder / "few.h5", "/group/data"), array.to(at::kShort)));
}

TEST(Hdf5, ADamagedChecksumIsAFault) {
  const TemporaryFolder folder;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  const hid_t file = H5Fcreate((folder / "new.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  constexpr hsize_t size = 5;
  const hid_t space = H5Screate_simple(1, &size, nullptr);
  H5Dclose(H5Dcreate2(file, "data", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(space);
  H5Fclose(file);
  EXPECT_TRUE(at::equal(read_hdf5(folder / "new.h5", "data"), at::zeros({5})));
  std::string bytes;
  {
    std::ifstream stream(folder / "new.h5", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  const std::size_t header = bytes.find("OHDR");
  ASSERT_NE(header, std::string::npos);
  bytes[header + 20] = static_cast<char>(bytes[header + 20] ^ 1);
  std::ofstream(folder / "new.h5", std::ios::binary) << bytes;
  expect_refusal(folder / "new.h5", "data", "checksum");
}

}  // namespace
}  // namespace adjoin
