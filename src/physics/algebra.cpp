// SPDX-License-Identifier: BSD-3-Clause
// Sums, products, multiples and adjoints of operators, as operators that hold their operands.
#include "adjoin/physics/algebra.hpp"

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

std::string missing_in_either(const std::string& a, const std::string& b) {
  return a.empty() || a == b ? b : (b.empty() ? a : a + ", " + b);
}

class Sum final : public LinearPhysics {
 public:
  Sum(LinearPhysicsPtr a, LinearPhysicsPtr b) : a_(std::move(a)), b_(std::move(b)) {
    made_of({}, {a_.get(), b_.get()});
  }
  std::string name() const override { return c10::str("(", a_->name(), " + ", b_->name(), ")"); }
  ParameterNames parameter_names() const override { return a_->parameter_names() += b_->parameter_names(); }
  Recipe recipe() const override { return {.maker = "sum"}; }
  std::vector<PhysicsPtr> operands() const override { return {a_, b_}; }
  at::Tensor image_like(const at::Tensor& y) const override {
    const at::Tensor image = a_->image_like(y);
    return image.defined() ? image : b_->image_like(y);
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return add(a_->A(x, a_->taken(params)), b_->A(x, b_->taken(params)));
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor p = adjoint_if_known(*a_, y, a_->taken(params));
    const at::Tensor q = p.defined() ? adjoint_if_known(*b_, y, b_->taken(params)) : p;
    return q.defined() ? add(p, q) : q;
  }
  at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const override {
    return add(a_->A_adjoint_for(y, image, a_->taken(params)), b_->A_adjoint_for(y, image, b_->taken(params)));
  }
  std::string missing_image() const override { return missing_in_either(missing_image_of(*a_), missing_image_of(*b_)); }
  void update_impl(const Params& params) override {
    a_->update(a_->taken(params));
    b_->update(b_->taken(params));
  }

 private:
  at::Tensor add(const at::Tensor& p, const at::Tensor& q) const {
    check(p.sizes() == q.sizes(), name(), ": both operators must return the same shape, got ", p.sizes(), " and ",
          q.sizes());
    return at::add(p, q);
  }

  LinearPhysicsPtr a_;
  LinearPhysicsPtr b_;
};

class Composition final : public LinearPhysics {
 public:
  Composition(LinearPhysicsPtr a, LinearPhysicsPtr b) : a_(std::move(a)), b_(std::move(b)) {
    made_of({}, {a_.get(), b_.get()});
  }
  std::string name() const override { return c10::str("(", a_->name(), " * ", b_->name(), ")"); }
  ParameterNames parameter_names() const override { return a_->parameter_names() += b_->parameter_names(); }
  Recipe recipe() const override { return {.maker = "compose"}; }
  std::vector<PhysicsPtr> operands() const override { return {a_, b_}; }
  at::Tensor image_like(const at::Tensor& y) const override {
    const at::Tensor between = a_->image_like(y);
    return between.defined() ? b_->image_like(between) : between;
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return a_->A(b_->A(x, b_->taken(params)), a_->taken(params));
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor between = adjoint_if_known(*a_, y, a_->taken(params));
    return between.defined() ? adjoint_if_known(*b_, between, b_->taken(params)) : between;
  }
  at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const override {
    at::Tensor between = adjoint_if_known(*a_, y, a_->taken(params));
    if (!between.defined()) {
      between = a_->A_adjoint_for(y, b_->A(image.detach(), b_->taken(params)), a_->taken(params));
    }
    return b_->A_adjoint_for(between, image, b_->taken(params));
  }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return b_->A_adjoint_for(a_->A_adjoint_A(b_->A(x, b_->taken(params)), a_->taken(params)), x, b_->taken(params));
  }
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return a_->A(b_->A_A_adjoint(a_->A_adjoint(y, a_->taken(params)), b_->taken(params)), a_->taken(params));
  }
  std::string missing_image() const override { return missing_in_either(missing_image_of(*a_), missing_image_of(*b_)); }
  void update_impl(const Params& params) override {
    a_->update(a_->taken(params));
    b_->update(b_->taken(params));
  }

 private:
  LinearPhysicsPtr a_;
  LinearPhysicsPtr b_;
};

class Scaled final : public LinearPhysics {
 public:
  Scaled(const at::Scalar& factor, LinearPhysicsPtr a)
      : factor_(factor), squared_(std::norm(factor.toComplexDouble())), a_(std::move(a)) {
    made_of({}, {a_.get()});
  }
  std::string name() const override { return c10::str("(", factor_, " * ", a_->name(), ")"); }
  ParameterNames parameter_names() const override { return a_->parameter_names(); }
  Recipe recipe() const override {
    const at::ScalarType dtype = factor_.isComplex() ? at::kComplexDouble : at::kDouble;
    return {.maker = "scale", .arguments = {{"factor", at::scalar_tensor(factor_, dtype)}}};
  }
  std::vector<PhysicsPtr> operands() const override { return {a_}; }
  at::Tensor image_like(const at::Tensor& y) const override { return a_->image_like(y); }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return at::mul(a_->A(x, params), factor_);
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor image = adjoint_if_known(*a_, y, params);
    return image.defined() ? at::mul(image, factor_.conj()) : image;
  }
  at::Tensor A_adjoint_for_impl(const at::Tensor& y, const at::Tensor& image, const Params& params) const override {
    return at::mul(a_->A_adjoint_for(y, image, params), factor_.conj());
  }
  std::string missing_image() const override { return missing_image_of(*a_); }
  // The square of a factor may be out of the range of x's numbers where what it makes of them is not.
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return square_is_plain() ? at::mul(a_->A_adjoint_A(x, params), squared_)
                             : A_adjoint_for_impl(A_impl(x, params), x, params);
  }
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor product = a_->A_A_adjoint(y, params);
    return square_is_plain() ? at::mul(product, squared_) : at::mul(at::mul(product, factor_), factor_.conj());
  }
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override {
    const at::Tensor x = squared_ > 0.0 ? closed_dagger(*a_, y, params) : at::Tensor();
    return x.defined() ? at::mul(at::div(x, squared_), factor_.conj()) : x;
  }
  std::optional<double> sqnorm_impl(const at::Tensor& x0, const Params& params) const override {
    const auto exact = closed_sqnorm(*a_, x0, params);
    return exact ? squared_ * *exact : exact;
  }
  void update_impl(const Params& params) override { a_->update(params); }

 private:
  bool square_is_plain() const { return squared_ > 0x1p-60 && squared_ < 0x1p60; }

  at::Scalar factor_;
  double squared_;
  LinearPhysicsPtr a_;
};

class Adjoint final : public LinearPhysics {
 public:
  explicit Adjoint(LinearPhysicsPtr a) : a_(std::move(a)) { made_of({}, {a_.get()}); }
  std::string name() const override { return c10::str("adjoint(", a_->name(), ")"); }
  ParameterNames parameter_names() const override { return a_->parameter_names(); }
  Recipe recipe() const override { return {.maker = "adjoint"}; }
  std::vector<PhysicsPtr> operands() const override { return {a_}; }
  const LinearPhysicsPtr& operand() const { return a_; }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override { return a_->A_adjoint(x, params); }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override { return a_->A(y, params); }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return a_->A_A_adjoint(x, params);
  }
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return a_->A_adjoint_A(y, params);
  }
  void update_impl(const Params& params) override { a_->update(params); }

 private:
  LinearPhysicsPtr a_;
};

void check_operand(const char* function, const char* argument, const LinearPhysicsPtr& operand) {
  check(operand != nullptr, function, ": ", argument, " must be an operator, got a null pointer");
}

}  // namespace

LinearPhysicsPtr sum(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) {
  check_operand("sum", "a", a);
  check_operand("sum", "b", b);
  return std::make_shared<Sum>(a, b);
}

LinearPhysicsPtr compose(const LinearPhysicsPtr& a, const LinearPhysicsPtr& b) {
  check_operand("compose", "a", a);
  check_operand("compose", "b", b);
  return std::make_shared<Composition>(a, b);
}

LinearPhysicsPtr scale(const at::Scalar& factor, const LinearPhysicsPtr& a) {
  check_operand("scale", "a", a);
  return std::make_shared<Scaled>(factor, a);
}

LinearPhysicsPtr adjoint(const LinearPhysicsPtr& a) {
  check_operand("adjoint", "a", a);
  if (const auto* twice = dynamic_cast<const Adjoint*>(a.get())) {
    return twice->operand();
  }
  return std::make_shared<Adjoint>(a);
}

}  // namespace adjoin
