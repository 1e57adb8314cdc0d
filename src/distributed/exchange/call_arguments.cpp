// SPDX-License-Identifier: BSD-3-Clause
// Arguments as a hash that ranks compare, and as a text that says how they differ.
#include "adjoin/distributed/exchange/call_arguments.hpp"

#include <cmath>
#include <functional>
#include <iomanip>
#include <limits>
#include <sstream>
#include <type_traits>

#include "adjoin/core/checksum.hpp"

namespace adjoin {

namespace {

std::uint64_t joined(std::uint64_t hash, std::uint64_t value) {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
  const std::uint64_t product = (hash ^ value) * odd;
  return product ^ (product >> 32U);
}

std::uint64_t checksum_of(const at::Tensor* tensor, const TensorList* list) {
  if (tensor != nullptr) {
    return checksum(*tensor);
  }
  std::uint64_t hash = list->size();
  for (const at::Tensor& entry : *list) {
    hash = joined(hash, checksum(entry));
  }
  return hash;
}

std::uint64_t hash_of(const CallArguments::Value& value) {
  return joined(
      value.index(),
      std::visit([](const auto& v) -> std::uint64_t { return std::hash<std::decay_t<decltype(v)>>{}(v); }, value));
}

// All digits of a number, so that unlike numbers have unlike texts.
std::string text_of(const CallArguments::Value& value) {
  std::ostringstream text;
  text << std::boolalpha << std::setprecision(std::numeric_limits<double>::max_digits10);
  std::visit([&](const auto& v) { text << v; }, value);
  return text.str();
}

}  // namespace

std::uint64_t CallArguments::fingerprint(CheckReplicated check) const {
  const bool with_tensors = check == CheckReplicated::full && !tensors_.empty();
  if (options_.empty() && !with_tensors) {
    return 0;
  }
  std::uint64_t hash = 1;
  for (const Option& option : options_) {
    hash = joined(hash, hash_of(option.value));
  }
  for (std::size_t i = 0; with_tensors && i < tensors_.size(); ++i) {
    hash = joined(hash, checksum_of(tensors_[i].tensor, tensors_[i].list));
  }
  return hash;
}

double CallArguments::sample() const {
  constexpr double zero = 0x1p-20;  // stands for it, so that it does not hide other factors
  double product = std::numeric_limits<double>::quiet_NaN();
  bool first = true;
  for (const Replicated& argument : tensors_) {
    if (argument.tensor != nullptr && argument.tensor->defined()) {
      const double sum = sample_sum(*argument.tensor);
      const double factor = sum == 0.0 ? zero : sum;
      product = first ? factor : product * factor;
      first = false;
    }
  }
  return product;
}

Params CallArguments::described(CheckReplicated check) const {
  Params all;
  for (const Option& option : options_) {
    all.set(option.name, text_of(option.value));
  }
  for (const auto& [name, tensor, list] : tensors_) {
    if (check == CheckReplicated::full) {
      all.set(name, static_cast<std::int64_t>(checksum_of(tensor, list)));
    } else if (check == CheckReplicated::sampled && tensor != nullptr) {
      all.set(name, sample_sum(*tensor));
    }
  }
  return all;
}

}  // namespace adjoin
