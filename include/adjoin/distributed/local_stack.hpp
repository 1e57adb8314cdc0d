// SPDX-License-Identifier: BSD-3-Clause
// This rank's operators, as a distributed stack calls them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin {

/// Their results stand in the order of the operators. A rank may have none.
class LocalStack {
 public:
  virtual ~LocalStack() = default;
  virtual const Physics& operator[](std::size_t position) const = 0;
  /// Grows with every version of an operator.
  virtual std::int64_t version() const = 0;
  /// Of all operators, and what accept() added: names that calls may have because operators of other ranks take them.
  virtual ParameterNames parameter_names() const = 0;
  virtual void accept(const ParameterNames& names) = 0;
  /// The parameters that one of the operators takes.
  virtual Params taken(std::size_t position, const Params& params) const = 0;
  /// [A_i x]; `out`, when not empty, is where the results are best written.
  virtual TensorList A(const TensorList& out, const at::Tensor& x, const Params& params) const = 0;
  /// The same with noise and sensor response.
  virtual TensorList forward(const TensorList& out, const at::Tensor& x, const Params& params) const = 0;
  /// Σ J_i(x)ᵀ v_i, best written into `out`; undefined without operators.
  virtual at::Tensor A_vjp(const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                           const Params& params) const = 0;
};

/// Operators of any kind.
class LocalPhysics : public LocalStack {
 public:
  explicit LocalPhysics(std::vector<PhysicsPtr> operators) : stack_(std::move(operators)) {}
  const Physics& operator[](std::size_t position) const override { return stack_[position]; }
  std::int64_t version() const override { return stack_.version(); }
  ParameterNames parameter_names() const override { return stack_.parameter_names(); }
  void accept(const ParameterNames& names) override { stack_.accept(names); }
  Params taken(std::size_t position, const Params& params) const override { return stack_.taken(position, params); }
  TensorList A(const TensorList& /*out*/, const at::Tensor& x, const Params& params) const override {
    return stack_.A(x, params);
  }
  TensorList forward(const TensorList& /*out*/, const at::Tensor& x, const Params& params) const override {
    return stack_.forward(x, params);
  }
  at::Tensor A_vjp(const at::Tensor& x, const TensorList& v, const at::Tensor& /*out*/,
                   const Params& params) const override {
    return stack_.A_vjp(x, v, params);
  }

 private:
  StackedPhysics stack_;
};

/// Linear operators, as a stack with sum reduction.
class LocalLinearPhysics : public LocalStack {
 public:
  LocalLinearPhysics(std::vector<LinearPhysicsPtr> operators, bool fuse)
      : stack_(std::move(operators), {.reduction = Reduction::sum, .fuse = fuse}) {}
  const StackedLinearPhysics& stack() const { return stack_; }
  const Physics& operator[](std::size_t position) const override { return stack_[position]; }
  std::int64_t version() const override { return stack_.version(); }
  ParameterNames parameter_names() const override { return stack_.parameter_names(); }
  void accept(const ParameterNames& names) override { stack_.accept(names); }
  Params taken(std::size_t position, const Params& params) const override { return stack_.taken(position, params); }
  TensorList A(const TensorList& out, const at::Tensor& x, const Params& params) const override {
    return stack_.A_into(out, x, params);
  }
  TensorList forward(const TensorList& /*out*/, const at::Tensor& x, const Params& params) const override {
    return stack_.forward(x, params);
  }
  at::Tensor A_vjp(const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                   const Params& params) const override {
    return stack_.A_vjp_sum(x, v, out, params);
  }

 private:
  StackedLinearPhysics stack_;
};

}  // namespace adjoin
