// SPDX-License-Identifier: BSD-3-Clause
// HDF5 files of every layout, type and filter to begin with, and some that promise what they do not hold.
#include "adjoin/io/hdf5.hpp"

#include <hdf5.h>

#include <array>
#include <cstring>
#include <functional>
#include <numeric>

#include "adjoin/core/errors.hpp"
#include "io/hdf5/file.hpp"
#include "target.hpp"

namespace adjoin::fuzz {

namespace {

struct Kind {
  std::vector<hsize_t> extents = {6, 5};
  hid_t type = H5T_IEEE_F32LE;
  /// Further properties of the dataset.
  std::function<void(hid_t)> properties = [](hid_t) {};
  bool newest = false;
  bool written = true;
};

hid_t complex_type() {
  const hid_t type = H5Tcreate(H5T_COMPOUND, 8);
  H5Tinsert(type, "r", 0, H5T_IEEE_F32LE);
  H5Tinsert(type, "i", 4, H5T_IEEE_F32LE);
  return type;
}

hid_t truth_type() {
  const hid_t type = H5Tenum_create(H5T_STD_I8LE);
  for (const char value : {'\0', '\1'}) {
    H5Tenum_insert(type, value == 0 ? "FALSE" : "TRUE", &value);
  }
  return type;
}

/// A file with the dataset /group/data, an attribute, and a soft link to it.
std::string file_of(const Kind& kind) {
  return written([&](const std::filesystem::path& path) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (kind.newest) {
      H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    }
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
    const hid_t group = H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = kind.extents.empty()
                            ? H5Screate(H5S_SCALAR)
                            : H5Screate_simple(static_cast<int>(kind.extents.size()), kind.extents.data(), nullptr);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    kind.properties(properties);
    const hid_t data = H5Dcreate2(group, "data", kind.type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (kind.written) {
      std::vector<char> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(kind.type));
      std::iota(values.begin(), values.end(), '\0');
      H5Dwrite(data, kind.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    }
    const hid_t scalar = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(data, "unit", H5T_C_S1, scalar, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_C_S1, "m");
    H5Lcreate_soft("/group/data", file, "data", H5P_DEFAULT, H5P_DEFAULT);
    H5Aclose(attribute);
    H5Sclose(scalar);
    H5Dclose(data);
    H5Pclose(properties);
    H5Sclose(space);
    H5Gclose(group);
    H5Fclose(file);
    H5Pclose(access);
  });
}

void in_chunks(hid_t properties) {
  constexpr std::array<hsize_t, 2> chunk = {4, 2};
  H5Pset_chunk(properties, 2, chunk.data());
}

void compressed(hid_t properties) {
  in_chunks(properties);
  H5Pset_shuffle(properties);
  H5Pset_deflate(properties, 6);
  H5Pset_fletcher32(properties);
}

void compact(hid_t properties) { H5Pset_layout(properties, H5D_COMPACT); }
void undefined_fill(hid_t properties) { H5Pset_fill_value(properties, H5T_IEEE_F32LE, nullptr); }
void external(hid_t properties) { H5Pset_external(properties, "/etc/hostname", 0, H5F_UNLIMITED); }

/// A group whose only member /data is a link to another file.
std::string external_link() {
  return written([&](const std::filesystem::path& path) {
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("/tmp/other.h5", "/data", file, "data", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
  });
}

/// One array under thousands of long names, of which the reader looks for one.
std::string many_names() {
  return written([&](const std::filesystem::path& path) {
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = H5Screate(H5S_SCALAR);
    H5Dclose(H5Dcreate2(file, "data", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    for (int i = 0; i < 4000; ++i) {
      H5Lcreate_hard(file, "data", file, (std::string(1000, 'x') + std::to_string(i)).c_str(), H5P_DEFAULT,
                     H5P_DEFAULT);
    }
    H5Sclose(space);
    H5Fclose(file);
  });
}

/// A chunk of 72 MB that should come out of 71 kB, which are no compressed data.
std::string empty_promise() {
  return written([&](const std::filesystem::path& path) {
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    constexpr hsize_t size = 18'000'000;
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 1, &size);
    H5Pset_deflate(properties, 6);
    const hid_t data = H5Dcreate2(file, "data", H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    const std::string stored(71'000, 'x');
    constexpr hsize_t begin = 0;
    H5Dwrite_chunk(data, H5P_DEFAULT, 0, &begin, stored.size(), stored.data());
    H5Dclose(data);
    H5Pclose(properties);
    H5Sclose(space);
    H5Fclose(file);
  });
}

}  // namespace

std::vector<std::string> seeds() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  std::vector<std::string> files = {external_link(), many_names(), empty_promise()};
  for (const bool newest : {false, true}) {
    files.push_back(file_of({.newest = newest}));
    files.push_back(file_of({.extents = {}, .newest = newest}));
    files.push_back(file_of({.type = H5T_STD_U16BE, .properties = in_chunks, .newest = newest}));
    files.push_back(file_of({.extents = {40, 30}, .properties = compressed, .newest = newest}));
    files.push_back(file_of({.type = H5T_STD_I64LE, .properties = compact, .newest = newest}));
    files.push_back(file_of({.type = complex_type(), .newest = newest}));
    files.push_back(file_of({.type = truth_type(), .newest = newest}));
    files.push_back(file_of({.properties = in_chunks, .newest = newest, .written = false}));
    files.push_back(file_of({.properties = undefined_fill, .newest = newest, .written = false}));
    files.push_back(file_of({.properties = external, .newest = newest, .written = false}));
    files.push_back(file_of({.extents = {std::uint64_t{1} << 40}, .newest = newest, .written = false}));
  }
  return files;
}

void load(const std::filesystem::path& path) {
  hdf5::checksums_matter = false;
  for (const char* dataset : {"/group/data", "/data"}) {
    try {
      read_hdf5(path, dataset);
    } catch (const Error&) {
    }
  }
}

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
