// SPDX-License-Identifier: BSD-3-Clause
// Checks that γ is positive, and one number for each item.
#include "adjoin/physics/gamma.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>

#include "adjoin/core/errors.hpp"

namespace adjoin {

Gamma::Gamma(const at::Tensor& values) : tensor_(values) {
  check(values.defined() && values.numel() >= 1 && !values.is_complex(),
        "gamma: must be a number, or a real tensor of one number or one an item, got ",
        values.defined() ? c10::str(values.scalar_type(), " ", values.sizes()) : "an undefined tensor");
  const at::Tensor flat = values.detach().to(at::kCPU, at::kDouble).contiguous().view({-1});
  values_.assign(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel());
}

void Gamma::check_positive(const char* method) const {
  for (const double value : values_) {
    check(std::isfinite(value) && value > 0.0, method, ": gamma must be finite and above 0, got ", value);
  }
}

std::vector<double> Gamma::for_items(const char* method, std::int64_t items) const {
  check(is_single() || static_cast<std::int64_t>(values_.size()) == items, method,
        ": gamma must hold one number, or one for each of the ", items, " items of the batch, got ", values_.size());
  return is_single() ? std::vector<double>(static_cast<std::size_t>(items), values_[0]) : values_;
}

std::string Gamma::text() const {
  std::ostringstream text;
  text << std::setprecision(std::numeric_limits<double>::max_digits10);
  for (std::size_t i = 0; i < values_.size(); ++i) {
    text << (i == 0 ? "" : ", ") << values_[i];
  }
  return text.str();
}

}  // namespace adjoin
