// SPDX-License-Identifier: BSD-3-Clause
// Parameters as a list of names and values, with errors that say which names and types there are.
#include "adjoin/core/params.hpp"

#include <ATen/ATen.h>

#include <algorithm>
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

bool ParameterNames::contains(std::string_view name) const {
  return any || std::ranges::find(names, name) != names.end();
}

ParameterNames& ParameterNames::operator+=(const ParameterNames& more) {
  any = any || more.any;
  for (const std::string& name : more.names) {
    if (std::ranges::find(names, name) == names.end()) {
      names.push_back(name);
    }
  }
  return *this;
}

Params::Params(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) {
    set(entry.first, entry.second);
  }
}

const Params::Value* Params::find(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.first == name) {
      const auto* opaque = std::get_if<Opaque>(&entry.second);
      return opaque != nullptr && *opaque == nullptr ? nullptr : &entry.second;
    }
  }
  return nullptr;
}

Params& Params::set(std::string name, Value value) {
  source_.reset();
  for (Entry& entry : entries_) {
    if (entry.first == name) {
      entry.second = std::move(value);
      return *this;
    }
  }
  entries_.emplace_back(std::move(name), std::move(value));
  return *this;
}

Params Params::only(const ParameterNames& names) const {
  if (names.any) {
    return *this;
  }
  Params some;
  some.source_ = source_;
  std::ranges::copy_if(entries_, std::back_inserter(some.entries_),
                       [&](const Entry& entry) { return names.contains(entry.first); });
  return some;
}

void check_names(std::string_view where, const Params& params, const ParameterNames& known) {
  for (const auto& [name, value] : params) {
    if (known.contains(name)) {
      continue;
    }
    std::string all;
    for (const std::string& one : known.names) {
      all += c10::str(all.empty() ? "'" : ", '", one, "'");
    }
    throw InvalidArgument(
        c10::str(where, ": unknown parameter '", name, "'; it takes ", all.empty() ? "no parameters" : all));
  }
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
