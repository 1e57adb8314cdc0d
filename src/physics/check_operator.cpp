// SPDX-License-Identifier: BSD-3-Clause
// The checks in the order in which they build on each other, and the report of them.
#include "adjoin/physics/check_operator.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <ostream>

#include "adjoin/core/errors.hpp"
#include "physics/checks/trial.hpp"

namespace adjoin {

namespace {

// Tries one check unless one of those before it that it builds on did not pass.
template <class Check>
void run(OperatorReport& report, const char* name, const std::vector<std::string>& needs, const Check& check) {
  Finding finding{.check = name};
  const auto obstacle = std::ranges::find_if(report.findings, [&](const Finding& one) {
    return one.verdict != Finding::Verdict::passed && std::ranges::find(needs, one.check) != needs.end();
  });
  try {
    if (obstacle != report.findings.end()) {
      throw checks::Nothing{c10::str("waits for \"", obstacle->check, "\"")};
    }
    finding.explanation = check();
  } catch (const checks::Nothing& nothing) {
    finding.verdict = Finding::Verdict::not_tried;
    finding.explanation = nothing.explanation;
  } catch (const checks::Fault& fault) {
    finding.verdict = Finding::Verdict::failed;
    finding.explanation = fault.explanation;
  } catch (const std::exception& error) {
    finding.verdict = Finding::Verdict::failed;
    finding.explanation = "the operator threw: " + checks::first_line(error);
  }
  report.findings.push_back(std::move(finding));
}

// The check of every sample, and the largest error.
std::string of_samples(checks::Trial& trial, double (*check)(checks::Trial&, const checks::Sample&)) {
  double largest = -1.0;
  std::string nothing;
  for (const checks::Sample& sample : trial.samples()) {
    try {
      largest = std::max(largest, check(trial, sample));
    } catch (const checks::Nothing& why) {
      nothing = why.explanation;
    } catch (const checks::Fault& fault) {
      throw checks::Fault{c10::str(fault.explanation, " (Images of ", sample.dtype, ".)")};
    }
  }
  if (largest < 0.0) {
    throw checks::Nothing{nothing};
  }
  return c10::str("holds to ", largest);
}

}  // namespace

std::string_view to_string(Finding::Verdict verdict) {
  return verdict == Finding::Verdict::passed ? "passed" : verdict == Finding::Verdict::failed ? "failed" : "not tried";
}

std::vector<std::string> OperatorReport::failed() const {
  std::vector<std::string> names;
  for (const Finding& finding : findings) {
    if (finding.verdict == Finding::Verdict::failed) {
      names.push_back(finding.check);
    }
  }
  return names;
}

std::string OperatorReport::text() const {
  const std::size_t count = failed().size();
  std::string text = c10::str("check_operator: ", name, ": ");
  text += count == 0 ? "no check failed" : c10::str(count, " of ", findings.size(), " checks failed");
  for (const Finding& finding : findings) {
    text += c10::str("\n  ", finding.check, " ", to_string(finding.verdict), ": ", finding.explanation);
  }
  return text;
}

std::ostream& operator<<(std::ostream& stream, const OperatorReport& report) { return stream << report.text(); }

OperatorReport check_operator(const LinearPhysicsPtr& op, const at::Tensor& x, const CheckOptions& options) {
  check(op != nullptr, "check_operator: op must be an operator, got a null pointer");
  check(std::ranges::all_of(options.others, [](const auto& other) { return other != nullptr; }),
        "check_operator: others must be operators, got a null pointer");
  check(x.defined() && x.numel() > 0 && (x.is_floating_point() || x.is_complex()), "check_operator: x must be a ",
        "floating-point or complex tensor with entries, got ",
        x.defined() ? c10::str(x.scalar_type(), " ", x.sizes()) : "an undefined tensor");
  check(options.tol >= 0.0, "check_operator: tol must not be below zero, got ", options.tol);
  const c10::NoGradGuard no_grad;
  checks::Trial trial(op, x, options);
  OperatorReport report{.name = op->name()};
  const auto each = [&](auto check) { return [&trial, check] { return of_samples(trial, check); }; };
  run(report, "calls", {}, [&] { return checks::calls(trial); });
  run(report, "devices", {"calls"}, [&] { return checks::devices(trial); });
  run(report, "dtypes", {"devices"}, [&] { return checks::dtypes(trial); });
  run(report, "input unchanged", {"dtypes"}, [&] { return checks::input_unchanged(trial); });
  run(report, "determinism", {"dtypes", "input unchanged"}, [&] { return checks::determinism(trial); });
  run(report, "linearity", {"determinism"}, each(&checks::linearity));
  run(report, "adjoint", {"linearity"}, each(&checks::adjoint));
  run(report, "vjp", {"adjoint"}, each(&checks::vjp));
  run(report, "batches", {"determinism"}, [&] { return checks::batches(trial); });
  run(report, "fused form", {"adjoint"},
      [&] { return of_samples(trial, &checks::fused_form) + checks::forms_tried(trial); });
  return report;
}

}  // namespace adjoin
