// SPDX-License-Identifier: BSD-3-Clause
// That A and A_adjoint are linear, and the adjoints and derivatives of each other.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "adjoin/core/vector_space.hpp"
#include "physics/checks/adjoint_diagnosis.hpp"
#include "physics/checks/trial.hpp"

namespace adjoin::checks {

namespace {

template <class Map>
double linear(Trial& trial, const char* name, const Map& map, const at::Tensor& a, double allowed) {
  const at::Tensor b = trial.drawn(a);
  const at::Tensor of_a = map(a);
  const at::Tensor of_b = map(b);
  const double norm = std::max(adjoin::norm(of_a), adjoin::norm(of_b));
  const double size = norm > 0.0 ? norm : 1.0;
  const double offset = adjoin::norm(map(at::zeros(a.sizes(), a.options()))) / size;
  expect(offset <= allowed, name, " of zeros is not zero: its norm is ", offset, " of that of ", name,
         " of a random tensor, where ", allowed,
         " is allowed. A linear operator has no offset: what is added belongs into y.");
  const double sum = adjoin::norm(map(a + b) - of_a - of_b) / size;
  expect(sum <= allowed, name, " of a sum is not the sum of its results: they are ", sum,
         " of their norm apart, where ", allowed,
         " is allowed. A clamp, an absolute value, a threshold or a normalisation of the argument is not linear.");
  const at::Scalar factor = a.is_complex() ? at::Scalar(c10::complex<double>(-1.7, 0.6)) : at::Scalar(-1.7);
  const double multiple = adjoin::norm(map(a * factor) - of_a * factor) / size;
  expect(multiple <= allowed, name, " of ", a.is_complex() ? "-1.7 + 0.6i" : "-1.7",
         " times a tensor is not so many times ", name, " of the tensor: they are ", multiple,
         " of their norm apart, where ", allowed, " is allowed.",
         a.is_complex() ? " A real part, an absolute value or a conjugate of the argument is not linear." : "");
  return std::max({offset, sum, multiple});
}

void expect_image(const Sample& sample, const char* name, const at::Tensor& image) {
  expect(image.sizes() == sample.u.sizes(), name, " gave an image of shape ", image.sizes(), ", that of A was ",
         sample.u.sizes());
}

}  // namespace

double linearity(Trial& trial, const Sample& sample) {
  const auto A = [&](const at::Tensor& u) { return trial.A(u); };
  const auto adjoint = [&](const at::Tensor& v) { return trial.A_adjoint(v, sample.u); };
  return std::max(linear(trial, "A", A, sample.u, trial.tol(sample.dtype)),
                  linear(trial, "A_adjoint", adjoint, sample.v, trial.tol(sample.dtype)));
}

double adjoint(Trial& trial, const Sample& sample) {
  const double allowed = trial.tol(sample.dtype);
  const SupposedAdjoint pair{.A = [&](const at::Tensor& u) { return trial.A(u); },
                             .A_adjoint = [&](const at::Tensor& v) { return trial.A_adjoint(v, sample.u); },
                             .u = sample.u,
                             .Au = sample.Au,
                             .v = sample.v,
                             .tol = allowed};
  expect_image(sample, "A_adjoint", pair.A_adjoint(sample.v));
  const double mismatch = mismatch_of(pair);
  expect(mismatch <= allowed, "<A u, v> and <u, A_adjoint v> are ", mismatch, " of |A u| |v| apart, where ", allowed,
         " is allowed. ",
         mismatch <= 1e-5 ? "That is the accuracy of an approximation: is it the one that is meant, say tol=. " : "",
         mismatch <= 1e-5 ? "" : diagnose(pair));
  const at::Tensor known = trial.A_adjoint_if_known(sample.v);
  if (!known.defined()) {
    return mismatch;
  }
  const double other = difference(known, pair.A_adjoint(sample.v));
  expect(other <= allowed, "A_adjoint(y) and A_adjoint_for(y, image) are ", other,
         " of their norm apart: image_like gives images of another size or dtype than A takes");
  return mismatch;
}

double vjp(Trial& trial, const Sample& sample) {
  const double allowed = trial.tol(sample.dtype);
  const at::Tensor product = trial.op().A_vjp(sample.u, sample.v, trial.options().params);
  expect_image(sample, "A_vjp", product);
  const double own = difference(product, in_space_of(sample.u, trial.A_adjoint(sample.v, sample.u)));
  expect(own <= allowed, "A_vjp(x, v) is not A_adjoint(v): they are ", own, " of their norm apart, where ", allowed,
         " is allowed");
  const c10::AutoGradMode grad(true);
  const at::Tensor leaf = sample.u.clone().requires_grad_();
  const at::Tensor y = trial.A(leaf);
  if (!y.requires_grad()) {
    throw Nothing{c10::str("A_vjp is A_adjoint to ", own,
                           ", but autograd does not see into A: training through it needs a torch.autograd.Function")};
  }
  const double forward = difference(torch::autograd::grad({y}, {leaf}, {sample.v})[0], product);
  expect(forward <= allowed, "autograd's derivative of A is not A_vjp: they are ", forward,
         " of their norm apart, where ", allowed,
         " is allowed. A detaches a part of its work, or a custom backward is wrong.");
  const at::Tensor v = sample.v.clone().requires_grad_();
  const at::Tensor back = trial.A_adjoint(v, sample.u);
  if (!back.requires_grad()) {
    return forward;
  }
  const at::Tensor u = back.is_complex() ? sample.u.to(back.scalar_type()) : sample.u;
  const double backward = difference(torch::autograd::grad({back}, {v}, {u})[0], in_space_of(v, trial.A(sample.u)));
  expect(backward <= allowed, "autograd's derivative of A_adjoint is not A: they are ", backward,
         " of their norm apart, where ", allowed, " is allowed. A custom backward is wrong.");
  return std::max({own, forward, backward});
}

}  // namespace adjoin::checks
