// SPDX-License-Identifier: BSD-3-Clause
// One of each operator that is made of tensors, for tests of what holds for all of them.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/channel_mixing.hpp"
#include "adjoin/operators/diagonal.hpp"
#include "adjoin/operators/downsampling.hpp"
#include "adjoin/operators/inpainting.hpp"
#include "adjoin/operators/matrix.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/mri/non_cartesian_mri.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "adjoin/operators/tomography/sampled_projection.hpp"
#include "adjoin/physics/algebra.hpp"
#include "adjoin/physics/stacked.hpp"

namespace adjoin::specimens {

using Tensors = std::vector<at::Tensor>;

struct Specimen {
  std::string name;
  /// The tensors of operator i of a stack, and the operator that is made of them.
  std::function<Tensors(std::uint64_t i)> tensors;
  std::function<LinearPhysicsPtr(const Tensors&)> make;
  /// Images in double precision, of the sizes that it takes.
  Tensors images;
};

inline at::Tensor drawn(at::IntArrayRef sizes, std::uint64_t seed, at::ScalarType dtype = at::kDouble) {
  return adjoin::randn_like(at::empty(sizes, dtype), seed);
}

inline std::vector<Specimen> all() {
  std::vector<Specimen> result;
  const Tensors two_sizes = {drawn({1, 2, 12, 12}, 1), drawn({1, 2, 15, 14}, 2)};
  for (const std::string padding : {"valid", "circular", "replicate", "reflect", "constant"}) {
    for (const auto method : {ConvolutionMethod::Automatic, ConvolutionMethod::Fft}) {
      result.push_back({"Blur " + padding + (method == ConvolutionMethod::Fft ? " by transforms" : ""),
                        [](std::uint64_t i) { return Tensors{drawn({1, 1, 3, 4}, 10 + i)}; },
                        [=](const Tensors& t) {
                          return std::make_shared<Blur>(
                              t[0], BlurOptions{.padding = padding_from_string(padding), .method = method});
                        },
                        two_sizes});
    }
  }
  result.push_back(
      {"Blur of single precision", [](std::uint64_t i) { return Tensors{drawn({1, 2, 5, 5}, 10 + i, at::kFloat)}; },
       [](const Tensors& t) { return std::make_shared<Blur>(t[0], BlurOptions{.padding = Padding::Circular}); },
       two_sizes});
  result.push_back({"Downsampling",
                    [](std::uint64_t i) { return Tensors{drawn({1, 1, 3, 3}, 10 + i)}; },
                    [](const Tensors& t) { return std::make_shared<Downsampling>(t[0]); },
                    {drawn({1, 1, 7, 9}, 1), drawn({1, 1, 8, 10}, 2)}});
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    result.push_back({c10::str("Diagonal of ", dtype),
                      [=](std::uint64_t i) { return Tensors{drawn({6, 5}, 10 + i, dtype)}; },
                      [](const Tensors& t) { return std::make_shared<Diagonal>(t[0]); },
                      {drawn({1, 2, 6, 5}, 1), drawn({3, 1, 6, 5}, 2)}});
  }
  result.push_back({"Inpainting",
                    [](std::uint64_t i) { return Tensors{(drawn({6, 5}, 10 + i) > 0).to(at::kFloat)}; },
                    [](const Tensors& t) { return std::make_shared<Inpainting>(t[0]); },
                    {drawn({1, 2, 6, 5}, 1)}});
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    result.push_back({c10::str("ChannelMixing of ", dtype),
                      [=](std::uint64_t i) { return Tensors{drawn({3, 2}, 10 + i, dtype)}; },
                      [](const Tensors& t) { return std::make_shared<ChannelMixing>(t[0]); },
                      {drawn({1, 2, 6, 5}, 1), drawn({3, 2, 4, 4}, 2)}});
  }
  result.push_back({"SampledProjection",
                    [](std::uint64_t i) { return Tensors{0.5 * drawn({2, 6, 5, 2}, 10 + i), drawn({6, 5}, 5)}; },
                    [](const Tensors& t) {
                      return std::make_shared<SampledProjection>(t[0], std::array<std::int64_t, 2>{6, 5},
                                                                 SampledProjectionOptions{.weights = t[1]});
                    },
                    {drawn({1, 2, 6, 5}, 1), drawn({3, 1, 6, 5}, 2)}});
  result.push_back({"Matrix",
                    [](std::uint64_t i) { return Tensors{drawn({7, 4}, 10 + i)}; },
                    [](const Tensors& t) { return std::make_shared<Matrix>(t[0]); },
                    {drawn({1, 4}, 1), drawn({3, 4}, 2)}});
  for (const bool cartesian : {false, true}) {
    result.push_back({cartesian ? "MultiCoilMRI, sampled by columns" : "MultiCoilMRI",
                      [=](std::uint64_t i) {
                        const at::Tensor mask = drawn({cartesian ? 1 : 8, 6}, 3) > 0;
                        return Tensors{mask.to(at::kFloat), drawn({1, 2, 8, 6}, 10 + i, at::kComplexDouble)};
                      },
                      [](const Tensors& t) { return std::make_shared<MultiCoilMRI>(t[0], t[1]); },
                      {drawn({1, 2, 8, 6}, 1), drawn({2, 1, 8, 6}, 2, at::kComplexDouble)}});
  }
  if (!has_finufft()) {
    return result;
  }
  result.push_back({"NonuniformFourier",
                    [](std::uint64_t i) { return Tensors{drawn({9, 2}, 10 + i).tanh() / 5.0}; },
                    [](const Tensors& t) {
                      return std::make_shared<NonuniformFourier>(t[0], std::vector<std::int64_t>{8, 6},
                                                                 NonuniformFourierOptions{.eps = 1e-13});
                    },
                    {drawn({1, 2, 8, 6}, 1, at::kComplexDouble), drawn({2, 1, 8, 6}, 2, at::kComplexDouble)}});
  result.push_back(
      {"NonCartesianMRI",
       [](std::uint64_t i) {
         return Tensors{drawn({9, 2}, 3).tanh() / 5.0, drawn({1, 2, 8, 6}, 10 + i, at::kComplexDouble), drawn({9}, 4)};
       },
       [](const Tensors& t) {
         return std::make_shared<NonCartesianMRI>(t[0], t[1], NonCartesianMRIOptions{.eps = 1e-13, .weights = t[2]});
       },
       {drawn({1, 2, 8, 6}, 1), drawn({2, 1, 8, 6}, 2, at::kComplexDouble)}});
  return result;
}

/// Results of every method of an operator on image x, one behind the other; A with a graph, too, where that is asked
/// for.
inline at::Tensor everything(const LinearPhysics& op, const at::Tensor& x, bool with_gradients = true) {
  Tensors results;
  const auto add = [&](const at::Tensor& t) {
    results.push_back((t.is_complex() ? at::view_as_real(t.resolve_conj()) : t).detach().flatten().to(at::kDouble));
  };
  const at::Tensor y = op.A(x);
  add(y);
  add(op.A_adjoint_for(y, x));
  add(op.A_vjp(x, y));
  add(op.A_adjoint_A(x));
  add(op.prox_l2(x, y, 0.5, {.max_iter = 3, .tol = 0.0}));
  add(op.A_dagger(y, {.solver = Solver::LSQR, .max_iter = 3, .tol = 0.0, .init = at::zeros_like(x)}));
  add(at::scalar_tensor(op.compute_sqnorm(x, {.max_iter = 5}), at::kDouble));
  if (with_gradients) {
    const at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor recorded = op.A(leaf);
    add(recorded);
    add(torch::autograd::grad({recorded}, {leaf}, {y})[0]);
  }
  return at::cat(results);
}

inline at::Tensor everything(const StackedLinearPhysics& stack, const at::Tensor& x, bool with_gradients = true) {
  Tensors results;
  const auto add = [&](const at::Tensor& t) {
    results.push_back((t.is_complex() ? at::view_as_real(t.resolve_conj()) : t).detach().flatten().to(at::kDouble));
  };
  const TensorList y = stack.A(x);
  for (const at::Tensor& one : y) {
    add(one);
  }
  add(stack.A_adjoint_for(y, x));
  add(stack.A_vjp(x, y));
  add(stack.A_adjoint_A(x));
  add(stack.prox_l2(x, y, 0.5, {.max_iter = 3, .tol = 0.0}));
  add(at::scalar_tensor(stack.compute_sqnorm(x, {.max_iter = 5}), at::kDouble));
  if (with_gradients) {
    const at::Tensor leaf = x.clone().requires_grad_();
    const TensorList recorded = stack.A(leaf);
    add(torch::autograd::grad(recorded.tensors(), {leaf}, y.tensors())[0]);
  }
  return at::cat(results);
}

}  // namespace adjoin::specimens
