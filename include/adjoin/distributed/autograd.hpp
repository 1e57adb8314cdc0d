// Lets torch's automatic differentiation pass through collective calls.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace adjoin {

/// Evaluates forward(), which is not recorded itself, as one differentiable operation of `inputs`: `backward` maps
/// gradients of the outputs to gradients of the inputs, and may be differentiable in turn. The differential of a
/// collective is a collective: every rank must run it, in the same order.
std::vector<at::Tensor> differentiable(
    const std::vector<at::Tensor>& inputs, const std::function<std::vector<at::Tensor>()>& forward,
    std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& gradients)> backward);

}  // namespace adjoin
