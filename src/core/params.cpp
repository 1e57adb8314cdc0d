#include "adjoin/core/params.hpp"

#include <ATen/ATen.h>

#include <array>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

// In the order of Params::Value.
constexpr std::array<const char*, 10> type_names = {"a tensor",           "a bool",
                                                    "an integer",         "a number",
                                                    "a string",           "a list of tensors",
                                                    "a list of integers", "a list of numbers",
                                                    "a list of strings",  "an opaque value"};

template <class T>
constexpr std::size_t index_of() {
  std::size_t index = 0;
  [&]<class... Ts>(std::variant<Ts...>*) {
    (void)((std::is_same_v<T, Ts> ? true : (++index, false)) || ...);
  }(static_cast<Params::Value*>(nullptr));
  return index;
}

}  // namespace

Params::Params(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) {
    set(entry.first, entry.second);
  }
}

const Params::Value* Params::find(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.first == name) {
      return &entry.second;
    }
  }
  return nullptr;
}

Params& Params::set(std::string name, Value value) {
  for (Entry& entry : entries_) {
    if (entry.first == name) {
      entry.second = std::move(value);
      return *this;
    }
  }
  entries_.emplace_back(std::move(name), std::move(value));
  return *this;
}

template <class T>
T Params::get(std::string_view name) const {
  const Value* value = find(name);
  check(value != nullptr, "parameter '", name, "': expected ", type_names[index_of<T>()], ", got none");
  if constexpr (std::is_same_v<T, double>) {
    if (const auto* integer = std::get_if<std::int64_t>(value)) {
      return static_cast<double>(*integer);
    }
  }
  const T* typed = std::get_if<T>(value);
  check(typed != nullptr, "parameter '", name, "': expected ", type_names[index_of<T>()], ", got ",
        type_names[value->index()]);
  return *typed;
}

template at::Tensor Params::get(std::string_view) const;
template bool Params::get(std::string_view) const;
template std::int64_t Params::get(std::string_view) const;
template double Params::get(std::string_view) const;
template std::string Params::get(std::string_view) const;
template TensorList Params::get(std::string_view) const;
template std::vector<std::int64_t> Params::get(std::string_view) const;
template std::vector<double> Params::get(std::string_view) const;
template std::vector<std::string> Params::get(std::string_view) const;
template Opaque Params::get(std::string_view) const;

}  // namespace adjoin
