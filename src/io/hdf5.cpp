#include "adjoin/io/hdf5.hpp"

#include <ATen/ATen.h>
#include <hdf5.h>

#include <optional>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

/// Keeps the library from printing errors: they become exceptions here.
class QuietErrors {
 public:
  QuietErrors() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;
  ~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// Owns an object of the library, if it is valid.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (valid()) {
      close_(id_);
    }
  }
  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// The tensor's type for numbers in a file, and its name in memory; the library converts between the two.
std::optional<std::pair<at::ScalarType, hid_t>> memory_type(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT) {
    if (size <= 4) {
      return std::pair{at::kFloat, H5T_NATIVE_FLOAT};
    }
    return size == 8 ? std::optional(std::pair{at::kDouble, H5T_NATIVE_DOUBLE}) : std::nullopt;
  }
  if (H5Tget_class(type) != H5T_INTEGER) {
    return {};
  }
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (size) {
    case 1:
      return is_signed ? std::pair{at::kChar, H5T_NATIVE_INT8} : std::pair{at::kByte, H5T_NATIVE_UINT8};
    case 2:
      return is_signed ? std::pair{at::kShort, H5T_NATIVE_INT16} : std::pair{at::kInt, H5T_NATIVE_INT32};
    case 4:
      return is_signed ? std::pair{at::kInt, H5T_NATIVE_INT32} : std::pair{at::kLong, H5T_NATIVE_INT64};
    case 8:
      return is_signed ? std::optional(std::pair{at::kLong, H5T_NATIVE_INT64}) : std::nullopt;
    default:
      return {};
  }
}

}  // namespace

at::Tensor read_hdf5(const std::filesystem::path& path, const std::string& dataset) {
  check(std::filesystem::is_regular_file(path), "read_hdf5: path must be a file, got '", path.string(), "'");
  const QuietErrors quiet;
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  check(file.valid(), "read_hdf5: path must be an HDF5 file, got '", path.string(), "'");
  const Handle data(H5Dopen2(file.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose);
  check(data.valid(), "read_hdf5: dataset must be one of '", path.string(), "', got '", dataset, "'");
  const Handle type(H5Dget_type(data.get()), H5Tclose);
  const auto found = memory_type(type.get());
  check(found.has_value(), "read_hdf5: dataset '", dataset, "' of '", path.string(),
        "' must hold floating-point numbers or integers that an int64 holds");
  const Handle space(H5Dget_space(data.get()), H5Sclose);
  const int rank = H5Sget_simple_extent_ndims(space.get());
  check(rank >= 0, "read_hdf5: dataset '", dataset, "' of '", path.string(), "' must be an array");
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  const std::vector<std::int64_t> sizes(extents.begin(), extents.end());
  const auto [dtype, native] = *found;
  const at::Tensor array = at::empty(sizes, dtype);
  if (array.numel() > 0) {
    check(H5Dread(data.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data_ptr()) >= 0, "read_hdf5: dataset '",
          dataset, "' of '", path.string(), "' must be readable; it is damaged or compressed in an unknown way");
  }
  return array;
}

}  // namespace adjoin
