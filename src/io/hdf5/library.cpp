// SPDX-License-Identifier: BSD-3-Clause
// A dataset read by the HDF5 library, where our own reader does not know its features.
#include "io/hdf5/library.hpp"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "core/load_symbol.hpp"
#include "io/claims.hpp"
#include "io/hdf5/file.hpp"
#include "io/hdf5/number_type.hpp"

namespace adjoin::hdf5 {

namespace {

/// An object of the library, which from its version 1.10 on is a number of 64 bits; negative for none.
using Id = std::int64_t;
constexpr Id defaults = 0;  // H5E_DEFAULT, H5P_DEFAULT, H5S_ALL
constexpr unsigned read_only = 0;
constexpr int scalar_space = 0;
constexpr int simple_space = 1;
constexpr std::size_t most_axes = 32;

/// Names are those of the HDF5 library's public interface ("HDF5 Reference Manual", H5public.h, H5Dpublic.h …).
struct Functions {
  using ErrorPrinter = int (*)(Id, void*);

  int (*open_library)() = nullptr;
  int (*library_version)(unsigned* major, unsigned* minor, unsigned* release) = nullptr;
  int (*get_printer)(Id, ErrorPrinter*, void**) = nullptr;
  int (*set_printer)(Id, ErrorPrinter, void*) = nullptr;
  Id (*open_file)(const char* path, unsigned flags, Id access) = nullptr;
  int (*close_file)(Id) = nullptr;
  Id (*open_dataset)(Id, const char* name, Id access) = nullptr;
  int (*close_dataset)(Id) = nullptr;
  Id (*type_of)(Id) = nullptr;
  int (*close_type)(Id) = nullptr;
  int (*encode_type)(Id, void*, std::size_t*) = nullptr;
  Id (*space_of)(Id) = nullptr;
  int (*close_space)(Id) = nullptr;
  int (*kind_of_space)(Id) = nullptr;
  int (*extents)(Id, unsigned long long*, unsigned long long*) = nullptr;
  int (*read)(Id, Id type, Id memory, Id file, Id transfer, void*) = nullptr;

  /// Throws Error where the library is not there. What is not found is looked for again at the next call.
  static const Functions& find() {
    static const Functions functions;
    return functions;
  }

 private:
  Functions() {
    std::string tried;
    void* const library = open_any(tried);
    if (library == nullptr || !load(library)) {
      throw Error(
          c10::str("read_hdf5: the HDF5 library, which reads what is trusted, is not there. Install it (Debian: "
                   "libhdf5-103-1 or "
                   "libhdf5-310), or name its libhdf5.so by the environment variable ADJOIN_HDF5.",
                   tried));
    }
  }

  /// What the linker knows, by the names of Debian and of the library itself.
  static void* open_any(std::string& tried) {
    std::vector<std::string> names = {"libhdf5_serial.so", "libhdf5_serial.so.103", "libhdf5_serial.so.310",
                                      "libhdf5.so",        "libhdf5.so.103",        "libhdf5.so.200",
                                      "libhdf5.so.310"};
    if (const char* named = std::getenv("ADJOIN_HDF5"); named != nullptr && *named != '\0') {
      names = {named};
    }
    for (const std::string& name : names) {
      if (void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) {
        return library;
      }
      tried += c10::str("\n  ", dlerror());
    }
    return nullptr;
  }

  bool load(void* library) {
    const bool complete =
        load_symbol(library, "H5open", open_library) && load_symbol(library, "H5get_libversion", library_version) &&
        load_symbol(library, "H5Eget_auto2", get_printer) && load_symbol(library, "H5Eset_auto2", set_printer) &&
        load_symbol(library, "H5Fopen", open_file) && load_symbol(library, "H5Fclose", close_file) &&
        load_symbol(library, "H5Dopen2", open_dataset) && load_symbol(library, "H5Dclose", close_dataset) &&
        load_symbol(library, "H5Dget_type", type_of) && load_symbol(library, "H5Tclose", close_type) &&
        (load_symbol(library, "H5Tencode", encode_type) || load_symbol(library, "H5Tencode1", encode_type)) &&
        load_symbol(library, "H5Dget_space", space_of) && load_symbol(library, "H5Sclose", close_space) &&
        load_symbol(library, "H5Sget_simple_extent_type", kind_of_space) &&
        load_symbol(library, "H5Sget_simple_extent_dims", extents) && load_symbol(library, "H5Dread", read);
    std::array<unsigned, 3> version{};
    return complete && open_library() >= 0 && library_version(version.data(), &version[1], &version[2]) >= 0 &&
           (version[0] > 1 || version[1] >= 10);
  }
};

/// Held while the library is used, which is usually built for one thread. Keeps it from printing errors, which become
/// exceptions.
class Session {
 public:
  explicit Session(const Functions& library) : lock_(mutex_), library_(library) {
    library_.get_printer(defaults, &printer_, &data_);
    library_.set_printer(defaults, nullptr, nullptr);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { library_.set_printer(defaults, printer_, data_); }

 private:
  static inline std::mutex mutex_;
  std::lock_guard<std::mutex> lock_;
  const Functions& library_;
  Functions::ErrorPrinter printer_ = nullptr;
  void* data_ = nullptr;
};

/// Owns an object of the library, if it is valid.
class Handle {
 public:
  Handle(Id id, int (*close)(Id)) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (valid()) {
      close_(id_);
    }
  }
  bool valid() const { return id_ >= 0; }
  Id get() const { return id_; }

 private:
  Id id_;
  int (*close_)(Id);
};

/// The library's encoding of a type is a datatype message behind two bytes.
NumberType number_type(const Functions& library, Id type) {
  std::size_t bytes = 0;
  library.encode_type(type, nullptr, &bytes);
  std::vector<std::uint8_t> encoded(bytes);
  library.encode_type(type, encoded.data(), &bytes);
  Block message(std::move(encoded), 8, 8);
  message.skip(2);
  return read_number_type(message.part(message.left()));
}

}  // namespace

at::Tensor read_by_library(const std::filesystem::path& path, const std::string& dataset) {
  const Functions& library = Functions::find();
  const Session session(library);
  const Handle file(library.open_file(path.c_str(), read_only, defaults), library.close_file);
  require(file.valid(), "is in no HDF5 file");
  const Handle data(library.open_dataset(file.get(), dataset.c_str(), defaults), library.close_dataset);
  require(data.valid(), "is no dataset of that file");
  const Handle stored(library.type_of(data.get()), library.close_type);
  const NumberType type = number_type(library, stored.get());
  const Handle space(library.space_of(data.get()), library.close_space);
  const int kind = library.kind_of_space(space.get());
  require(kind == simple_space || kind == scalar_space, "must be an array, but has no dataspace and so no values");
  std::array<unsigned long long, most_axes> extents{};
  const int rank = library.extents(space.get(), extents.data(), nullptr);
  const std::vector<std::int64_t> sizes(extents.begin(), extents.begin() + std::max(rank, 0));
  require(rank >= 0 && claimed_bytes(sizes, type.dtype), "claims more values than a tensor can have");
  const at::Tensor array = at::zeros(sizes, type.dtype);
  if (array.numel() == 0) {
    return array;
  }
  // Read as it is stored, and converted here, so that both ways of reading give the same numbers.
  std::vector<std::uint8_t> values(static_cast<std::size_t>(array.numel()) * type.entry_bytes());
  require(library.read(data.get(), stored.get(), defaults, defaults, defaults, values.data()) >= 0,
          "is damaged, or needs a filter or a file that is not there");
  convert(type, values.data(), static_cast<std::uint64_t>(array.numel()), array.mutable_data_ptr());
  return array;
}

}  // namespace adjoin::hdf5
