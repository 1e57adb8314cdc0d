// SPDX-License-Identifier: BSD-3-Clause
// A fused form that is one operator with the measurements of all.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/derived.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused_of.hpp"

namespace adjoin {

/// The operators as one, whose measurements are theirs along one axis, behind one another.
template <class Operator>
struct Union {
  std::shared_ptr<const Operator> whole;
  std::int64_t axis = -1;                               // of measurements, counted from the last
  std::vector<std::int64_t> counts = {};                // each operator's share of it
  std::vector<std::vector<std::int64_t>> samples = {};  // the last axes of theirs, which are flat in those of the whole

  TensorList parted(const at::Tensor& y) const {
    TensorList parts(y.split_with_sizes(counts, axis));
    for (std::size_t i = 0; i < samples.size(); ++i) {
      parts[i] = parts[i].unflatten(-1, samples[i]);
    }
    return parts;
  }
  at::Tensor joined(const TensorList& y) const {
    std::vector<at::Tensor> parts = y.tensors();
    for (std::size_t i = 0; i < samples.size(); ++i) {
      parts[i] = parts[i].flatten(-static_cast<std::int64_t>(samples[i].size()), -1);
    }
    return parts.size() == 1 ? parts[0] : at::cat(parts, axis);
  }
};

/// For operators with an image_like that throws InvalidArgument where a tensor is no measurement of theirs.
template <class Operator>
class FusedAsOne : public FusedOf<Operator> {
 public:
  using FusedOf<Operator>::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& /*out*/) const override {
    return with_union(x, [&](const Union<Operator>& all) { return all.parted(all.whole->A(x)); });
  }
  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& /*out*/) const override {
    return with_union(y, [&](const Union<Operator>& all) {
      const at::Tensor image = (*this)[0].image_like(y[0]);
      for (std::size_t i = 1; i < y.size(); ++i) {
        check((*this)[i].image_like(y[i]).sizes() == image.sizes() && y[i].scalar_type() == y[0].scalar_type(),
              (*this)[0].name(), ": y must be of one image");
      }
      return all.whole->A_adjoint(all.joined(y));
    });
  }
  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& /*out*/) const override {
    return with_union(x, [&](const Union<Operator>& all) { return all.whole->A_adjoint_A(x); });
  }

 protected:
  /// Null where the operators have too little in common.
  virtual std::shared_ptr<const Union<Operator>> unite() const = 0;

 private:
  template <class Argument, class Call>
  auto with_union(const Argument& argument, const Call& call) const -> decltype(call(Union<Operator>())) {
    if (!this->takes(argument)) {
      return {};
    }
    return this->unless_refused([&]() -> decltype(call(Union<Operator>())) {
      const auto all = union_.get(this->version(), [&] { return unite(); });
      if (all == nullptr) {
        return {};
      }
      return call(*all);
    });
  }

  Derived<Union<Operator>> union_;
};

}  // namespace adjoin
