// SPDX-License-Identifier: BSD-3-Clause
// All that is asked of a linear operator, tried in one call that explains what fails.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/params.hpp"
#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

/// What one check of an operator found.
struct Finding {
  enum class Verdict : std::uint8_t { passed, failed, not_tried };
  /// "calls", "devices", "dtypes", "input unchanged", "determinism", "linearity", "adjoint", "vjp", "batches" or "fused
  /// form".
  std::string check = {};
  Verdict verdict = Verdict::passed;
  /// What was measured; what is wrong, and where to look; or why there was nothing to try.
  std::string explanation = {};
};
/// "passed", "failed" or "not tried".
std::string_view to_string(Finding::Verdict verdict);

/// The findings of check_operator, in the order in which faults are best mended.
struct OperatorReport {
  std::string name = {};
  std::vector<Finding> findings = {};

  /// Whether no check failed.
  bool passed() const { return failed().empty(); }
  /// The names of the checks that failed.
  std::vector<std::string> failed() const;
  /// One paragraph a finding, for people.
  std::string text() const;
};
/// Prints text(), for EXPECT_TRUE(report.passed()) << report.
std::ostream& operator<<(std::ostream& stream, const OperatorReport& report);

struct CheckOptions {
  /// Other operators of the class: the fused form is that of the stack of all of them. None: three times the operator.
  std::vector<LinearPhysicsPtr> others = {};
  /// The dtypes to try besides that of the image; one that the operator refuses is not held against it.
  std::vector<at::ScalarType> dtypes = {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble};
  /// Whether dimension 0 of images and measurements is that of a batch.
  bool batches = true;
  /// The relative error that is allowed; 0 for 1e-5 in single and 1e-10 in double precision. Operators that
  /// approximate, as non-uniform transforms do, need their own accuracy.
  double tol = 0.0;
  /// Of the random images and measurements.
  std::uint64_t seed = 0;
  Params params = {};
};

/// Tries an operator on random images like x, whose values count only for what is left of them afterwards:
///
/// - calls: A and A_adjoint take the image and give one back;
/// - devices: results are on the device of the argument, on every device that the operator takes;
/// - dtypes: results have the argument's precision, float and double, real and complex, where these are taken;
/// - input unchanged: no method writes into its arguments;
/// - determinism: the result depends on nothing but the arguments, also after other calls;
/// - linearity: A and A_adjoint of 0, of a sum, of a multiple (a complex one for complex images);
/// - adjoint: ⟨A u, v⟩ = ⟨u, A_adjoint v⟩, the real parts where only the image is real;
/// - vjp: A_vjp is A_adjoint, and autograd's derivatives of both are these, where autograd sees into them;
/// - batches: each item of a batch is treated as if it were alone;
/// - fused form: A_adjoint_A and A_A_adjoint are what their names say, and a stack of the operators is their plain sum.
///
/// A check that another's failure would fail is not tried. Takes some fifty calls of A and of A_adjoint. Throws
/// InvalidArgument for an undefined operator and for an x that is no floating-point or complex tensor with entries;
/// what the operator throws is a finding.
OperatorReport check_operator(const LinearPhysicsPtr& op, const at::Tensor& x, const CheckOptions& options = {});

}  // namespace adjoin
