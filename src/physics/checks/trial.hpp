// SPDX-License-Identifier: BSD-3-Clause
// What the checks of an operator share: the operator, random samples of each dtype that it takes, and how a check ends.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/physics/check_operator.hpp"

namespace adjoin::checks {

/// Ends a check: something is wrong, or there is nothing to try.
struct Fault {
  std::string explanation;
};
struct Nothing {
  std::string explanation;
};

template <class... Parts>
void expect(bool condition, const Parts&... parts) {
  if (!condition) {
    throw Fault{c10::str(parts...)};
  }
}

/// ‖a − b‖ / ‖b‖, or ‖a − b‖ where b is zero; infinite for other shapes.
double difference(const at::Tensor& a, const at::Tensor& b);

/// What an error says, without a traceback.
std::string first_line(const std::exception& error);

/// A random image and measurement of a dtype that the operator takes.
struct Sample {
  at::ScalarType dtype;
  at::Tensor u = {};
  at::Tensor Au = {};
  /// Never nearly orthogonal to A u, so that a wrong factor is seen.
  at::Tensor v = {};
};

/// An operator that is tried.
class Trial {
 public:
  Trial(LinearPhysicsPtr op, const at::Tensor& x, const CheckOptions& options)
      : op_(std::move(op)), x_(x.detach().clone()), options_(options) {}

  const LinearPhysics& op() const { return *op_; }
  const LinearPhysicsPtr& pointer() const { return op_; }
  const at::Tensor& x() const { return x_; }
  const CheckOptions& options() const { return options_; }
  std::vector<Sample>& samples() { return samples_; }

  at::Tensor A(const at::Tensor& u) const { return op_->A(u, options_.params); }
  at::Tensor A_adjoint(const at::Tensor& v, const at::Tensor& image) const {
    return op_->A_adjoint_for(v, image, options_.params);
  }
  /// A_adjoint(v), or an undefined tensor where measurements do not tell the size of the image.
  at::Tensor A_adjoint_if_known(const at::Tensor& v) const;

  /// The methods as functions of an image and measurements.
  using Method = std::function<at::Tensor(const at::Tensor& u, const at::Tensor& v)>;
  std::vector<std::pair<const char*, Method>> methods() const;

  /// A new random tensor like another.
  at::Tensor drawn(const at::Tensor& like);
  /// The relative error that is allowed.
  double tol(at::ScalarType dtype) const;

 private:
  LinearPhysicsPtr op_;
  at::Tensor x_;
  CheckOptions options_;
  std::vector<Sample> samples_;
  std::uint64_t draws_ = 0;
};

/// The checks. They return what they measured, or throw Fault or Nothing; those of a sample return the largest error.
std::string calls(Trial& trial);
std::string devices(Trial& trial);
std::string dtypes(Trial& trial);  // makes the samples
std::string input_unchanged(Trial& trial);
std::string determinism(Trial& trial);
double linearity(Trial& trial, const Sample& sample);
double adjoint(Trial& trial, const Sample& sample);
double vjp(Trial& trial, const Sample& sample);
std::string batches(Trial& trial);
double fused_form(Trial& trial, const Sample& sample);
/// What there was to fuse.
std::string forms_tried(const Trial& trial);

}  // namespace adjoin::checks
