// SPDX-License-Identifier: BSD-3-Clause
// check_operator finds what is wrong with an operator, and names it.
#include "adjoin/physics/check_operator.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused_of.hpp"

namespace adjoin::check_operator_test {
namespace {

using Map = std::function<at::Tensor(const at::Tensor&)>;

/// An operator of two functions, and of one that passes for the normal operator.
class Maps : public LinearPhysics {
 public:
  Maps(Map A, Map adjoint, Map normal = {})
      : A_(std::move(A)), adjoint_(std::move(adjoint)), normal_(std::move(normal)) {}
  std::string name() const override { return "Maps"; }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return A_(x); }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const override { return adjoint_(y); }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return normal_ ? normal_(x) : LinearPhysics::A_adjoint_A_impl(x, params);
  }

 private:
  Map A_;
  Map adjoint_;
  Map normal_;
};

const at::Tensor& image() {
  static const at::Tensor x = at::randn({1, 2, 6, 8}, at::kDouble);
  return x;
}

OperatorReport report_of(Map A, Map adjoint, const at::Tensor& x = image(), const CheckOptions& options = {}) {
  return check_operator(std::make_shared<Maps>(std::move(A), std::move(adjoint)), x, options);
}

/// That one check failed, and says these words.
void expect_found(const OperatorReport& report, const std::string& check, const std::string& words) {
  EXPECT_EQ(report.failed(), std::vector<std::string>{check}) << report;
  for (const Finding& finding : report.findings) {
    if (finding.check == check) {
      EXPECT_NE(finding.explanation.find(words), std::string::npos) << report;
    }
  }
  EXPECT_FALSE(report.passed());
  EXPECT_NE(report.text().find(check + " failed: "), std::string::npos) << report;
}

at::Tensor twice(const at::Tensor& t) { return 2.0 * t; }

/// Circular convolution with (1, 2, 4) along the last axis, and its adjoint.
at::Tensor blurred(const at::Tensor& x) { return x + 2.0 * x.roll(1, -1) + 4.0 * x.roll(2, -1); }
at::Tensor blurred_back(const at::Tensor& y) { return y + 2.0 * y.roll(-1, -1) + 4.0 * y.roll(-2, -1); }

TEST(CheckOperator, PassesWhatIsRight) {
  for (const auto& [A, adjoint] : {std::pair<Map, Map>{&twice, &twice}, {&blurred, &blurred_back}}) {
    const OperatorReport report = report_of(A, adjoint);
    EXPECT_TRUE(report.passed()) << report;
    for (const Finding& finding : report.findings) {
      EXPECT_EQ(finding.verdict, Finding::Verdict::passed) << report;
    }
    EXPECT_NE(report.text().find("takes Double, Float, ComplexFloat and ComplexDouble"), std::string::npos) << report;
  }
}

TEST(CheckOperator, FindsAWrongConjugate) {
  const at::Tensor w = at::polar(at::rand({6, 8}, at::kDouble), 6.0 * at::rand({6, 8}, at::kDouble));
  const Map times_w = [w](const at::Tensor& t) {
    return t * (at::toRealValueType(t.scalar_type()) == at::kFloat ? w.to(at::kComplexFloat) : w);
  };
  expect_found(report_of(times_w, times_w), "adjoint", "a conjugate is missing");
  expect_found(report_of(times_w, times_w, image().to(at::kComplexFloat)), "adjoint", "a conjugate is missing");
}

TEST(CheckOperator, FindsAWrongScale) {
  expect_found(report_of(&blurred, [](const at::Tensor& y) { return blurred_back(y) / 6.0; }), "adjoint",
               "A_adjoint is the adjoint times 0.166667: the scale is wrong");
  // As little as an error in the fourth digit.
  expect_found(report_of(
                   &twice, [](const at::Tensor& y) { return 2.0002 * y; }, image().to(at::kFloat)),
               "adjoint", "A_adjoint is the adjoint times 1.0001");
}

TEST(CheckOperator, FindsAMissingFlip) { expect_found(report_of(&blurred, &blurred), "adjoint", "a flip is missing"); }

TEST(CheckOperator, SaysWhereNoSimpleCauseExplainsAnAdjoint) {
  expect_found(report_of(&blurred, [](const at::Tensor& y) { return y + y.roll(-1, -1); }), "adjoint",
               "It is neither a missing conjugate nor a factor nor a missing flip");
}

TEST(CheckOperator, FindsAChangeOfTheInput) {
  const auto in_place = [](const at::Tensor& x) { return at::Tensor(x).mul_(2.0); };
  expect_found(report_of(in_place, &twice), "input unchanged", "A changed its image in place");
  expect_found(report_of(&twice, in_place), "input unchanged", "A_adjoint changed its measurements in place");
  // A second time changes nothing.
  const auto masked = [](const at::Tensor& x) {
    at::Tensor(x).select(-1, 0).zero_();
    return x.clone();
  };
  expect_found(report_of(masked, masked), "input unchanged", "A changed its image in place");
}

TEST(CheckOperator, FindsAWrongDtype) {
  expect_found(report_of([](const at::Tensor& x) { return twice(x).to(at::kFloat); },
                         [](const at::Tensor& y) { return twice(y).to(at::kDouble); }),
               "dtypes", "A of a Double image gave Float measurements");
  expect_found(report_of(&twice, [](const at::Tensor& y) { return twice(at::real(y)); }), "dtypes",
               "gave Float, expected ComplexFloat");
  const at::Tensor w = at::ones({8}, at::kDouble);
  const auto times_w = [w](const at::Tensor& t) { return t * w; };
  expect_found(report_of(times_w, times_w, image().to(at::kFloat)), "dtypes",
               "of higher precision than the image: convert the operator's tensors");
  EXPECT_TRUE(report_of(times_w, times_w).passed());  // who gives a double image knows that it takes no other
}

TEST(CheckOperator, FindsAShapeThatDependsOnTheBatch) {
  const auto sizes = image().sizes().vec();
  const Map flat = [](const at::Tensor& x) { return x.reshape({1, -1}); };
  const Map back = [sizes](const at::Tensor& y) { return y.reshape({-1, sizes[1], sizes[2], sizes[3]}); };
  expect_found(report_of(flat, back), "batches", "only dimension 0 may depend on the batch");
  const auto mean = [](const at::Tensor& x) { return x.mean(0, true).expand_as(x).contiguous(); };
  expect_found(report_of(mean, mean), "batches", "Items of a batch are independent");
  EXPECT_TRUE(report_of(mean, mean, image(), {.batches = false}).passed());
  const at::Tensor fixed = at::ones({2, 2, 6, 8}, at::kDouble);  // takes batches of two only
  const auto turned = [fixed](const at::Tensor& x) { return (x * fixed).flip(0).contiguous(); };
  const at::Tensor two = at::randn({2, 2, 6, 8}, at::kDouble);
  expect_found(report_of(turned, turned, two, {.dtypes = {}}), "batches",
               "first item of a batch depends on the others");
}

TEST(CheckOperator, FindsAnOffsetAndWhatElseIsNotLinear) {
  expect_found(report_of([](const at::Tensor& x) { return 2.0 * x + 0.5; }, &twice), "linearity",
               "A of zeros is not zero");
  expect_found(report_of([](const at::Tensor& x) { return x.abs().to(x.scalar_type()); }, &twice), "linearity",
               "A of a sum is not the sum");
  expect_found(
      report_of([](const at::Tensor& x) { return x.conj().resolve_conj(); }, &twice, image().to(at::kComplexDouble)),
      "linearity", "A of -1.7 + 0.6i times a tensor");
}

TEST(CheckOperator, FindsWhatIsNotDeterministic) {
  expect_found(report_of([](const at::Tensor& x) { return 2.0 * x + 1e-3 * at::randn_like(x); }, &twice), "determinism",
               "A of one and the same argument gave two results");
  at::Tensor kept;
  expect_found(report_of(&twice,
                         [kept](const at::Tensor& y) mutable {
                           if (kept.defined() && kept.scalar_type() == y.scalar_type()) {
                             kept = kept + y;
                             return twice(kept);
                           }
                           kept = y;
                           return twice(y);
                         }),
               "determinism", "A_adjoint of one and the same argument");
}

TEST(CheckOperator, FindsAWrongDevice) {
  expect_found(report_of([](const at::Tensor& x) { return twice(x).to(at::kMeta); }, &twice), "devices",
               "A of an image on cpu gave measurements on meta");
  expect_found(report_of(&twice, [](const at::Tensor& y) { return twice(y).to(at::kMeta); }), "devices",
               "A_adjoint of tensors on cpu gave a result on meta");
}

TEST(CheckOperator, FindsAWrongNormalOperator) {
  const auto report = check_operator(std::make_shared<Maps>(&blurred, &blurred_back, &blurred), image());
  expect_found(report, "fused form", "A_adjoint_A(x) is not A_adjoint(A(x))");
}

TEST(CheckOperator, FindsAWrongDerivative) {
  const auto detached = [](const at::Tensor& x) { return x + x.detach(); };
  expect_found(report_of(detached, &twice), "vjp", "autograd's derivative of A is not A_vjp: they are 0.5");
}

/// y = w x, whose fused form is as right as it is asked to be.
class Gain : public LinearPhysics {
 public:
  enum class Fault { none, A, adjoint, normal, first_of_all, adds_to_out };
  Gain(double w, Fault fault) : w_(w), fault_(fault) {}
  std::string name() const override { return "Gain"; }

  class Fused : public FusedOf<Gain> {
   public:
    using FusedOf::FusedOf;
    TensorList A(const at::Tensor& x, const TensorList& /*out*/) const override {
      TensorList y;
      for (const auto& one : operators()) {
        y.push_back((is(Fault::A) ? 1.5 : 1.0) * one->w_ * x);
      }
      return y;
    }
    at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
      at::Tensor sum = fits(out, y[0].sizes(), y[0].options()) && is(Fault::adds_to_out) ? out : at::zeros_like(y[0]);
      for (std::size_t i = 0; i < size(); ++i) {
        sum += (*this)[is(Fault::first_of_all) ? 0 : i].w_ * y[i];
      }
      return is(Fault::adjoint) ? -sum : sum;
    }
    at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& /*out*/) const override {
      double sum = 0.0;
      for (const auto& one : operators()) {
        sum += one->w_ * (is(Fault::normal) ? 1.0 : one->w_);
      }
      return sum * x;
    }

   private:
    bool is(Fault fault) const { return (*this)[0].fault_ == fault; }
  };
  std::unique_ptr<FusedStack> fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const override {
    return std::make_unique<Fused>(all_of_class<Gain>(operators));
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& /*params*/) const override { return w_ * x; }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& /*params*/) const override { return w_ * y; }

 private:
  double w_;
  Fault fault_;
};

TEST(CheckOperator, FindsAWrongFusedForm) {
  const auto report = [](Gain::Fault fault, bool several) {
    CheckOptions options;
    if (several) {
      options.others = {std::make_shared<Gain>(3.0, fault), std::make_shared<Gain>(-1.0, fault)};
    }
    return check_operator(std::make_shared<Gain>(2.0, fault), image(), options);
  };
  EXPECT_TRUE(report(Gain::Fault::none, false).passed()) << report(Gain::Fault::none, false);
  EXPECT_TRUE(report(Gain::Fault::none, true).passed()) << report(Gain::Fault::none, true);
  for (const bool several : {false, true}) {
    expect_found(report(Gain::Fault::A, several), "fused form", "A of a stack is not A of its operators");
    expect_found(report(Gain::Fault::adjoint, several), "fused form", "A_adjoint of a stack is not the sum");
    expect_found(report(Gain::Fault::normal, several), "fused form", "A_adjoint_A of a stack is not");
    expect_found(report(Gain::Fault::adds_to_out, several), "fused form", "written into a given tensor");
  }
  // Only operators that are different tell this one.
  expect_found(report(Gain::Fault::first_of_all, true), "fused form", "A_adjoint of a stack is not the sum");
}

TEST(CheckOperator, WhatTheOperatorThrowsIsAFinding) {
  const auto refuses = [](const at::Tensor& /*x*/) -> at::Tensor { throw InvalidArgument("not today"); };
  expect_found(report_of(refuses, &twice), "calls", "the operator threw: not today");
  expect_found(report_of(&twice, refuses), "calls", "the operator threw: not today");
  const auto only_single = [](const at::Tensor& x) {
    check(!x.is_complex() && x.scalar_type() == at::kDouble, "Maps: double only");
    return twice(x);
  };
  const OperatorReport report = report_of(only_single, only_single);
  EXPECT_TRUE(report.passed()) << report;
  EXPECT_NE(report.text().find("takes Double; not Float: Maps: double only"), std::string::npos) << report;
}

TEST(CheckOperator, RefusesWrongArguments) {
  const auto op = std::make_shared<Maps>(&twice, &twice);
  EXPECT_THROW((void)check_operator(nullptr, image()), InvalidArgument);
  EXPECT_THROW((void)check_operator(op, at::Tensor()), InvalidArgument);
  EXPECT_THROW((void)check_operator(op, at::ones({2, 2}, at::kLong)), InvalidArgument);
  EXPECT_THROW((void)check_operator(op, image(), {.others = {nullptr}}), InvalidArgument);
  EXPECT_THROW((void)check_operator(op, image(), {.tol = -1.0}), InvalidArgument);
}

}  // namespace
}  // namespace adjoin::check_operator_test
