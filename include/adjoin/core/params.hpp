// SPDX-License-Identifier: BSD-3-Clause
// Named optional parameters: passed through every call to the operators, and shared with the operator factory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// A value that only its maker understands. It stays in the process: parameters that hold one cannot be serialised. A
/// null pointer is no value: its name is there, and counts as missing for whoever asks for the value.
using Opaque = std::shared_ptr<const void>;

/// The names of the parameters that something takes.
struct ParameterNames {
  std::vector<std::string> names = {};
  /// Takes whatever it is given.
  bool any = false;

  bool contains(std::string_view name) const;
  /// Adds those of something else.
  ParameterNames& operator+=(const ParameterNames& more);
};

/// A small set of named values: tensors, numbers, strings and lists of them. Order of insertion is kept.
class Params {
 public:
  using Value = std::variant<at::Tensor, bool, std::int64_t, double, std::string, TensorList, std::vector<std::int64_t>,
                             std::vector<double>, std::vector<std::string>, Opaque>;
  using Entry = std::pair<std::string, Value>;

  Params() = default;
  Params(std::initializer_list<Entry> entries);

  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  /// Whether `name` has a value.
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Adds `name`, or replaces its value.
  Params& set(std::string name, Value value);

  /// The value of `name` as T; throws InvalidArgument naming it when it is missing or of another type.
  /// An integer is accepted where a double is asked for.
  template <class T>
  T get(std::string_view name) const;
  /// The value of `name` as T, or `fallback` when it is missing. Throws InvalidArgument when it is of another type.
  template <class T>
  T get_or(std::string_view name, T fallback) const {
    return contains(name) ? get<T>(name) : std::move(fallback);
  }

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

  /// Those of the given names.
  Params only(const ParameterNames& names) const;

  /// What the values were made from, for whoever made them; nothing once a value was set since.
  const Opaque& source() const { return source_; }
  void set_source(Opaque source) { source_ = std::move(source); }

 private:
  const Value* find(std::string_view name) const;
  std::vector<Entry> entries_;
  Opaque source_;
};

/// Throws InvalidArgument, naming it and those that there are, when `params` has a name that is not among `known`.
/// `where` names the call.
void check_names(std::string_view where, const Params& params, const ParameterNames& known);

}  // namespace adjoin
