// A dataset read by the HDF5 library, where our own reader does not know its features.
#include "io/hdf5/library.hpp"

#include <ATen/ATen.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "io/claims.hpp"
#include "io/hdf5/file.hpp"
#include "io/hdf5/number_type.hpp"

namespace adjoin::hdf5 {

namespace {

/// Held while the library is used, which is usually built for one thread. Keeps it from printing errors, which become
/// exceptions.
class Session {
 public:
  Session() : lock_(mutex_) {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

 private:
  static inline std::mutex mutex_;
  std::lock_guard<std::mutex> lock_;
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
    if (id_ >= 0) {
      close_(id_);
    }
  }
  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// The library's encoding of a type is a datatype message behind two bytes.
NumberType number_type(hid_t type) {
  std::size_t bytes = 0;
  H5Tencode(type, nullptr, &bytes);
  std::vector<std::uint8_t> encoded(bytes);
  H5Tencode(type, encoded.data(), &bytes);
  Block message(std::move(encoded), 8, 8);
  message.skip(2);
  return read_number_type(message.part(message.left()));
}

}  // namespace

at::Tensor read_by_library(const std::filesystem::path& path, const std::string& dataset) {
  const Session session;
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  require(file.valid(), "is in no HDF5 file");
  const Handle data(H5Dopen2(file.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose);
  require(data.valid(), "is no dataset of that file");
  const Handle stored(H5Dget_type(data.get()), H5Tclose);
  const NumberType type = number_type(stored.get());
  const Handle space(H5Dget_space(data.get()), H5Sclose);
  const H5S_class_t kind = H5Sget_simple_extent_type(space.get());
  require(kind == H5S_SIMPLE || kind == H5S_SCALAR, "must be an array, but has no dataspace and so no values");
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  const std::vector<std::int64_t> sizes(extents.begin(), extents.begin() + std::max(rank, 0));
  require(rank >= 0 && claimed_bytes(sizes, type.dtype), "claims more values than a tensor can have");
  const at::Tensor array = at::zeros(sizes, type.dtype);
  if (array.numel() == 0) {
    return array;
  }
  // Read as it is stored, and converted here, so that both ways of reading give the same numbers.
  std::vector<std::uint8_t> values(static_cast<std::size_t>(array.numel()) * type.entry_bytes());
  require(H5Dread(data.get(), stored.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
          "is damaged, or needs a filter or a file that is not there");
  convert(type, values.data(), static_cast<std::uint64_t>(array.numel()), array.mutable_data_ptr());
  return array;
}

}  // namespace adjoin::hdf5
