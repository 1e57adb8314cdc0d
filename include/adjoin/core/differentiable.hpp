// SPDX-License-Identifier: BSD-3-Clause
// Operations with derivatives of our own, in autograd's eyes.
#pragma once

#include <ATen/core/Tensor.h>

#include <exception>
#include <functional>
#include <vector>

namespace adjoin {

using Tensors = std::vector<at::Tensor>;

/// Evaluates forward(), which is not recorded itself, as one differentiable operation of `inputs`: `backward` maps
/// gradients of the outputs to gradients of the inputs, and is made of differentiable operations in turn. The
/// differential of a collective is a collective: every rank must run it, in the same order.
Tensors differentiable(const Tensors& inputs, const std::function<Tensors()>& forward,
                       std::function<Tensors(const Tensors& gradients)> backward);
/// The same, where `backward` needs the outputs.
Tensors differentiable_by_outputs(const Tensors& inputs, const std::function<Tensors()>& forward,
                                  std::function<Tensors(const Tensors& gradients, const Tensors& outputs)> backward);
/// Tensors that cannot be differentiated again, as `inputs` have been used: that throws Error, in which `what` names
/// them.
Tensors differentiable_once(const Tensors& inputs, const Tensors& results, const char* what);

/// The leaves that require gradients among what autograd recorded `tensors` to be made of.
Tensors leaves_of(const Tensors& tensors);

/// Whether autograd knows none of these tensors as computed from another: only then do their gradients add up to that
/// of the whole.
bool are_independent(const Tensors& tensors);

/// The gradients of a real number f(inputs) with respect to `inputs`, and then to `leaves` that f uses beside them,
/// each while all others stay as they are, wherever they come from. They differentiate in turn, as often as f does,
/// with respect to both. f is called again whenever they do.
Tensors partial_gradients(const Tensors& inputs, const Tensors& leaves,
                          std::function<at::Tensor(const Tensors& inputs)> f);

/// Lets a host language throw, from a backward pass, exceptions of its own in place of ours, of whose types torch's
/// engine would not keep more than the message. `translate` may throw; when it returns, the exception goes on as it is.
void set_backward_translator(void (*translate)(const std::exception_ptr& exception));

}  // namespace adjoin
