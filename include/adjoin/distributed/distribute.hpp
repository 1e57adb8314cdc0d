// SPDX-License-Identifier: BSD-3-Clause
// distribute(): the distributed form of what one process has: a stack, a list, a factory, a denoiser. That of data
// fidelities is in optim/distribute.hpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/processing.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"

namespace adjoin {

/// What a stack of operators of type P becomes: linear when P is.
template <std::derived_from<Physics> P>
using DistributedStackOf =
    std::conditional_t<std::derived_from<P, LinearPhysics>, DistributedStackedLinearPhysics, DistributedStackedPhysics>;

/// The stack [operators[0]; …; operators[n − 1]] over the ranks of `context`. Every rank passes the same list, and uses
/// the operators that it owns; a factory saves making the others. Collective.
template <std::derived_from<Physics> P>
DistributedStackOf<P> distribute(const std::vector<std::shared_ptr<P>>& operators, DistributedContext& context,
                                 const DistributedOptions& options = {}) {
  const auto pick = [&](std::int64_t index, at::Device /*device*/, const Params& /*shared*/) -> PhysicsPtr {
    return operators[static_cast<std::size_t>(index)];
  };
  return {context, static_cast<std::int64_t>(operators.size()), pick, options};
}

/// The same for the operators of a stack; its own reduction and fusion count for nothing, those of `options` do.
inline DistributedStackedLinearPhysics distribute(const StackedLinearPhysics& stack, DistributedContext& context,
                                                  const DistributedOptions& options = {}) {
  const auto pick = [&](std::int64_t index, at::Device /*device*/, const Params& /*shared*/) -> PhysicsPtr {
    return stack[static_cast<std::size_t>(index)].shared_from_this();
  };
  return {context, static_cast<std::int64_t>(stack.size()), pick, options};
}

/// A function (index, device, shared) that returns a shared pointer to an operator.
template <class F>
concept OperatorFactory = requires(F& factory, std::int64_t index, at::Device device, const Params& shared) {
  requires std::derived_from<typename std::invoke_result_t<F&, std::int64_t, at::Device, const Params&>::element_type,
                             Physics>;
  { factory(index, device, shared) } -> std::convertible_to<PhysicsPtr>;
};

/// The stack of the operators factory(0, …), …, factory(num_operators − 1, …), each made by the rank that owns it. A
/// factory that is declared to return linear operators gives a linear stack.
template <OperatorFactory F>
auto distribute(F factory, DistributedContext& context, std::int64_t num_operators,
                const DistributedOptions& options = {}) {
  using P = std::invoke_result_t<F&, std::int64_t, at::Device, const Params&>::element_type;
  return DistributedStackOf<P>(context, num_operators, PhysicsFactory(std::move(factory)), options);
}

/// What DistributedProcessing takes: a function of tiles, of (tiles, sigma), or of (tiles, params).
template <class F>
concept ProcessorLike =
    std::invocable<const F&, const at::Tensor&, const Params&> || std::invocable<const F&, const at::Tensor&, double> ||
    std::invocable<const F&, const at::Tensor&>;

/// The denoiser, or any function that keeps the shape of images, in tiles over the ranks. As the denoiser of a prior:
/// PnP(std::cref(tiled)). Collective.
template <ProcessorLike F>
DistributedProcessing distribute(F processor, DistributedContext& context, const TilingOptions& options = {}) {
  return DistributedProcessing(context, std::move(processor), options);
}

}  // namespace adjoin
