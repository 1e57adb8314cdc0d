// SPDX-License-Identifier: BSD-3-Clause
// Where results are and of which dtype.
#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "adjoin/core/vector_space.hpp"
#include "physics/checks/trial.hpp"

namespace adjoin::checks {

namespace {

std::string list(const std::vector<at::ScalarType>& dtypes) {
  std::string text;
  for (std::size_t i = 0; i < dtypes.size(); ++i) {
    text += c10::str(i == 0 ? "" : i + 1 == dtypes.size() ? " and " : ", ", dtypes[i]);
  }
  return text;
}

void expect_on_device(const Trial& trial, const at::Tensor& u) {
  const at::Tensor y = trial.A(u);
  expect(y.device() == u.device(), "A of an image on ", u.device(), " gave measurements on ", y.device());
  for (const auto& [name, method] : trial.methods()) {
    const at::Tensor result = method(u, y);
    expect(result.device() == u.device(), name, " of tensors on ", u.device(), " gave a result on ", result.device());
  }
}

// What is to be said of an operator whose own tensors are of higher precision than the image.
std::string promoted(const Sample& sample) {
  const bool higher =
      at::toRealValueType(sample.Au.scalar_type()) == at::kDouble && at::toRealValueType(sample.dtype) != at::kDouble;
  return higher ? c10::str("its measurements are ", sample.Au.scalar_type(),
                           ", of higher precision than the image: convert the operator's tensors to that of the image")
                : std::string();
}

void expect_precision(const Trial& trial, const Sample& sample) {
  const auto [dtype, u, Au, _] = sample;
  expect(at::toRealValueType(Au.scalar_type()) == at::toRealValueType(dtype), "A of a ", dtype, " image gave ",
         Au.scalar_type(), " measurements: their precision must be that of the image");
  for (const auto& [name, method] : trial.methods()) {
    const std::string called = name;
    if (called == "A") {
      continue;
    }
    const at::ScalarType result = method(u, Au).scalar_type();
    // The adjoint of a complex operator is complex, also for a real image.
    const bool may_be_complex = Au.is_complex() && called != "A_vjp";
    expect(result == dtype || (may_be_complex && result == at::toComplexType(dtype)), called, " for a ", dtype,
           " image and ", Au.scalar_type(), " measurements gave ", result, ", expected ", dtype,
           may_be_complex && !u.is_complex() ? " or its complex" : "");
  }
}

at::Tensor beside(Trial& trial, const at::Tensor& Au) {
  const at::Tensor random = trial.drawn(Au);
  const double norm = adjoin::norm(Au);
  return norm > 0.0 ? Au / norm + random / adjoin::norm(random) : random;
}

}  // namespace

std::string calls(Trial& trial) {
  const at::Tensor u = trial.drawn(trial.x());
  const at::Tensor y = trial.A(u);
  expect(y.defined() && y.numel() > 0, "A gave measurements without entries");
  const at::Tensor back = trial.A_adjoint(y, u);
  expect(back.sizes() == u.sizes(), "A_adjoint(A(x)) has the shape ", back.sizes(), ", and x ", u.sizes());
  return c10::str("images ", u.sizes(), ", measurements ", y.sizes());
}

std::string devices(Trial& trial) {
  expect_on_device(trial, trial.drawn(trial.x()));
  const at::Device other = trial.x().device().is_cpu() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (other.is_cuda() && !at::hasCUDA()) {
    return c10::str("results are on ", trial.x().device(), ", where the image is; there is no other device to try");
  }
  const at::Tensor there = trial.drawn(trial.x()).to(other);
  try {
    (void)trial.A(there);
  } catch (const std::exception& error) {
    return c10::str("results are on ", trial.x().device(), ", where the image is; not taken on ", other, ": ",
                    first_line(error));
  }
  expect_on_device(trial, there);
  return c10::str("results are where the image is, on ", trial.x().device(), " and ", other);
}

std::string dtypes(Trial& trial) {
  std::vector<at::ScalarType> all = {trial.x().scalar_type()};
  std::ranges::copy_if(trial.options().dtypes, std::back_inserter(all), [&](auto t) { return t != all.front(); });
  std::vector<at::ScalarType> taken;
  std::string refused;
  for (const at::ScalarType dtype : all) {
    Sample sample{.dtype = dtype, .u = trial.drawn(at::empty(trial.x().sizes(), trial.x().options().dtype(dtype)))};
    std::string why_not;
    try {
      sample.Au = trial.A(sample.u.clone());
      why_not = promoted(sample);
    } catch (const std::exception& error) {
      why_not = first_line(error);
    }
    if (!why_not.empty()) {
      expect(dtype != trial.x().scalar_type(), "A of the ", dtype, " image: ", why_not);
      refused += c10::str("; not ", dtype, ": ", why_not);
      continue;
    }
    expect_precision(trial, sample);
    sample.v = beside(trial, sample.Au);
    trial.samples().push_back(std::move(sample));
    taken.push_back(dtype);
  }
  return "takes " + list(taken) + refused;
}

}  // namespace adjoin::checks
