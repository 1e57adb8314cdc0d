// SPDX-License-Identifier: BSD-3-Clause
// A writer and a reader of tensors and parameters as consecutive bytes, which refuses bytes cut short.
#include "adjoin/core/serialize.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

class Writer {
 public:
  void raw(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  void put(bool v) { raw(&v, sizeof v); }
  void put(std::int64_t v) { raw(&v, sizeof v); }
  void put(double v) { raw(&v, sizeof v); }
  void put(const std::string& v) {
    put(static_cast<std::int64_t>(v.size()));
    raw(v.data(), v.size());
  }
  void put(const at::Tensor& v) {
    put(v.defined());
    if (!v.defined()) {
      return;
    }
    const at::Tensor dense = v.detach().resolve_conj().resolve_neg().cpu().contiguous();
    put(static_cast<std::int64_t>(dense.scalar_type()));
    put(dense.sizes().vec());
    raw(dense.const_data_ptr(), dense.nbytes());
  }
  template <class T>
  void put(const std::vector<T>& v) {
    put(static_cast<std::int64_t>(v.size()));
    for (const T& entry : v) {
      put(entry);
    }
  }
  void put(const TensorList& v) { put(v.tensors()); }
  [[noreturn]] void put(const Opaque& /*v*/) {
    throw InvalidArgument("serialize: an opaque parameter cannot leave its process");
  }

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  void raw(void* data, std::size_t size) {
    if (size > bytes_.size()) {
      throw Error(c10::str("deserialize: message is cut short, ", size, " bytes expected, ", bytes_.size(), " left"));
    }
    std::ranges::copy(bytes_.substr(0, size), static_cast<char*>(data));
    bytes_.remove_prefix(size);
  }
  template <class T>
  T get() {
    T v{};
    get(v);
    return v;
  }
  void get(bool& v) { raw(&v, sizeof v); }
  void get(std::int64_t& v) { raw(&v, sizeof v); }
  void get(double& v) { raw(&v, sizeof v); }
  void get(std::string& v) {
    v.resize(checked_size());
    raw(v.data(), v.size());
  }
  void get(at::Tensor& v) {
    if (!get<bool>()) {
      v = at::Tensor();
      return;
    }
    const auto dtype = static_cast<at::ScalarType>(get<std::int64_t>());
    v = at::empty(get<std::vector<std::int64_t>>(), dtype);
    raw(v.mutable_data_ptr(), v.nbytes());
  }
  template <class T>
  void get(std::vector<T>& v) {
    v.resize(checked_size());
    for (T& entry : v) {
      get(entry);
    }
  }
  [[noreturn]] void get(Opaque& /*v*/) { throw Error("deserialize: a message cannot hold an opaque parameter"); }
  void get(TensorList& v) { v = TensorList(get<std::vector<at::Tensor>>()); }

 private:
  // A length; every element takes at least a byte, so a larger one can only come from a damaged message.
  std::size_t checked_size() {
    const auto size = static_cast<std::size_t>(get<std::int64_t>());
    if (size > bytes_.size()) {
      throw Error(
          c10::str("deserialize: message is cut short, a length of ", size, " with ", bytes_.size(), " bytes left"));
    }
    return size;
  }

  std::string_view bytes_;
};

// Reads the alternative `index` of the variant.
template <std::size_t I = 0>
Params::Value read_value(Reader& reader, std::size_t index) {
  if constexpr (I < std::variant_size_v<Params::Value>) {
    if (index == I) {
      return reader.get<std::variant_alternative_t<I, Params::Value>>();
    }
    return read_value<I + 1>(reader, index);
  } else {
    throw Error(c10::str("deserialize: unknown type of parameter ", index));
  }
}

}  // namespace

std::string serialize(const Params& params) {
  Writer writer;
  writer.put(static_cast<std::int64_t>(params.size()));
  for (const auto& [name, value] : params) {
    writer.put(name);
    writer.put(static_cast<std::int64_t>(value.index()));
    std::visit([&](const auto& v) { writer.put(v); }, value);
  }
  return writer.take();
}

std::string serialize(const TensorList& tensors) {
  Writer writer;
  writer.put(tensors);
  return writer.take();
}

Params deserialize_params(std::string_view bytes) {
  Reader reader(bytes);
  Params params;
  const auto count = reader.get<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    auto name = reader.get<std::string>();
    const auto index = static_cast<std::size_t>(reader.get<std::int64_t>());
    params.set(std::move(name), read_value(reader, index));
  }
  return params;
}

TensorList deserialize_tensors(std::string_view bytes) { return Reader(bytes).get<TensorList>(); }

}  // namespace adjoin
