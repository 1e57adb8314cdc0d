// SPDX-License-Identifier: BSD-3-Clause
// Samples of an operator, drawn anew for each check, and tolerances by dtype.
#include "physics/checks/trial.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"

namespace adjoin::checks {

double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) {
    return std::numeric_limits<double>::infinity();
  }
  const double size = adjoin::norm(b);
  return adjoin::norm(a - b) / (size > 0.0 ? size : 1.0);
}

std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, std::min(text.find('\n'), std::size_t{300}));
}

at::Tensor Trial::A_adjoint_if_known(const at::Tensor& v) const {
  try {
    return op_->A_adjoint(v, options_.params);
  } catch (const InvalidArgument&) {
    return {};
  }
}

std::vector<std::pair<const char*, Trial::Method>> Trial::methods() const {
  return {
      {"A", [this](const at::Tensor& u, const at::Tensor&) { return A(u); }},
      {"A_adjoint", [this](const at::Tensor& u, const at::Tensor& v) { return A_adjoint(v, u); }},
      {"A_vjp", [this](const at::Tensor& u, const at::Tensor& v) { return op_->A_vjp(u, v, options_.params); }},
      {"A_adjoint_A", [this](const at::Tensor& u, const at::Tensor&) { return op_->A_adjoint_A(u, options_.params); }}};
}

at::Tensor Trial::drawn(const at::Tensor& like) { return adjoin::randn_like(like, options_.seed + draws_++); }

double Trial::tol(at::ScalarType dtype) const {
  return options_.tol > 0.0 ? options_.tol : at::toRealValueType(dtype) == at::kDouble ? 1e-10 : 1e-5;
}

}  // namespace adjoin::checks
