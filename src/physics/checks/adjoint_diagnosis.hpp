// SPDX-License-Identifier: BSD-3-Clause
// Why an adjoint is none, as far as simple causes explain it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace adjoin::checks {

/// An operator and what passes for its adjoint, and an image and measurements for which ⟨A u, v⟩ is not near zero.
struct SupposedAdjoint {
  std::function<at::Tensor(const at::Tensor&)> A;
  std::function<at::Tensor(const at::Tensor&)> A_adjoint;
  at::Tensor u;
  at::Tensor Au;
  at::Tensor v;
  double tol;
};

/// |⟨A u, v⟩ − ⟨u, A_adjoint v⟩| / (‖A u‖ ‖v‖); of the real parts where u is real.
double mismatch_of(const SupposedAdjoint& pair);

/// In a sentence: a missing conjugate, a factor, a missing flip, or that none of them explains it.
std::string diagnose(const SupposedAdjoint& pair);

}  // namespace adjoin::checks
