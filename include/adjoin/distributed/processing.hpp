// SPDX-License-Identifier: BSD-3-Clause
// A denoiser, or any function of images, applied tile by tile, the tiles spread over the ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/params.hpp"
#include "adjoin/distributed/context.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/distributed/parameters.hpp"
#include "adjoin/distributed/stacked_physics.hpp"
#include "adjoin/distributed/tiling.hpp"

namespace adjoin {

/// What is done to tiles, joined along dimension 0: it keeps their shape and dtype.
using Processor = std::function<at::Tensor(const at::Tensor& tiles, const Params& params)>;

template <class F>
bool is_empty(const F& /*f*/) {
  return false;
}
template <class Signature>
bool is_empty(const std::function<Signature>& f) {
  return !f;
}

/// A Processor from a function of (tiles, params), of (tiles, sigma), as denoisers are, where `sigma` is the parameter
/// of that name, or of the tiles alone.
template <class F>
Processor make_processor(F f) {
  if (is_empty(f)) {
    return {};
  }
  if constexpr (std::invocable<const F&, const at::Tensor&, const Params&>) {
    return f;
  } else if constexpr (std::invocable<const F&, const at::Tensor&, double>) {
    return [f = std::move(f)](const at::Tensor& tiles, const Params& params) {
      return f(tiles, params.get<double>("sigma"));
    };
  } else {
    return [f = std::move(f)](const at::Tensor& tiles, const Params& /*params*/) { return f(tiles); };
  }
}

/// Applies a processor to an image in tiles, each processed by one rank. With `overlap_tiling` and an overlap of at
/// least the radius of the processor's receptive field, the result is that of the processor on the whole image, except
/// perhaps at the image's border: exact there, too, when pad_mode is how the processor pads by itself, or `none`.
///
/// Images are replicated: every rank passes the same x. Creation and every call with `gather` are collective: when the
/// processor or an argument fails on one rank, every rank throws the same RankFailure at that call, and the next call
/// works. Shapes may change from call to call.
class DistributedProcessing : public std::enable_shared_from_this<DistributedProcessing> {
 public:
  template <class F>
  DistributedProcessing(DistributedContext& context, F processor, const TilingOptions& options = {})
      : DistributedProcessing(Made{}, context, make_processor(std::move(processor)), options) {}

  /// The processed image, of x's shape, on every rank, by one reduction of its size; with gather = false this rank's
  /// tiles in an image that is zero elsewhere, without any message. Differentiates with respect to x and the
  /// parameters; the object must outlive the backward pass, which is collective where the call was (it does when a
  /// shared pointer holds it). Throws when the processor changes the shape or the dtype of its tiles.
  at::Tensor operator()(const at::Tensor& x, const CallOptions& options = {}) const;
  /// The same with the parameter `sigma`: so a denoiser in tiles is a denoiser.
  at::Tensor operator()(const at::Tensor& x, double sigma) const {
    return (*this)(x, CallOptions{.params = {{"sigma", sigma}}});
  }

  /// Tensors that the processor uses, such as weights, the same on every rank, that calls differentiate with respect
  /// to; see Parameters. Collective.
  void set_parameters(std::vector<at::Tensor> parameters);

  /// In a handler, where a call's arguments are read: as DistributedStackedPhysics::refuse.
  [[noreturn]] void refuse(const char* method) const;

  /// Of the latest call's image: the number of tiles, and the tiles of this rank.
  std::int64_t num_patches() const { return strategy_ ? strategy_->get_num_patches() : 0; }
  const std::vector<std::int64_t>& local_indices() const { return local_indices_; }

 private:
  struct Made {};
  DistributedProcessing(Made, DistributedContext& context, Processor processor, TilingOptions options);

  /// Chooses the tiles for images of x's shape, unless that was the shape before.
  void prepare(const at::Tensor& x) const;
  /// This rank's tiles, processed, in an image that is zero elsewhere: `out` where that is defined and fits. Undefined
  /// where this rank has none.
  at::Tensor local_part(const at::Tensor& x, const at::Tensor& out, const Params& params) const;
  std::vector<at::Tensor> processed(const std::vector<at::Tensor>& patches, const Params& params) const;

  DistributedContext& context_;
  Processor processor_;
  TilingOptions options_;
  std::shared_ptr<Exchange> exchange_;
  Parameters parameters_;
  mutable std::unique_ptr<DistributedSignalStrategy> strategy_;
  mutable std::vector<std::int64_t> local_indices_;
  std::shared_ptr<CallPlans> plans_ = std::make_shared<CallPlans>();
};

}  // namespace adjoin
