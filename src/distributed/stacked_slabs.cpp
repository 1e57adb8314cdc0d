// Stacks on sharded images: slabs in are gathered, sums are scattered to slabs.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/fused.hpp"

namespace adjoin {

namespace {

// What an image of these sizes looks like, without its memory.
at::Tensor shape_of_image(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty({1}, options.requires_grad(false)).expand(sizes);
}

// Whole images (batch and channels) to each rank.
ImageSpace cut_at_images(at::IntArrayRef sizes, int rank, int ranks) {
  ImageSpace space{.sizes = sizes.vec(), .axis = {}, .begins = {0}, .rank = rank, .reducer = nullptr};
  for (int r = 0; r < ranks; ++r) {
    space.begins.push_back(space.begins.back() + images_of_part(sizes, r, ranks).numel);
  }
  return space;
}

bool is_cut_at_images(const ImageSpace& space) {
  return !space.axis && space.begins == cut_at_images(space.sizes, space.rank, space.ranks()).begins;
}

// The sizes of this rank's images, one to an item.
std::vector<std::int64_t> sizes_of_own_images(const ImageSpace& space) {
  std::vector<std::int64_t> sizes = space.sizes;
  if (sizes.size() >= 2) {
    sizes[0] = images_of_part(space.sizes, space.rank, space.ranks()).images;
    sizes[1] = 1;
  }
  return sizes;
}

std::string described(const ShardedImage& x) {
  return x.defined() && x.space != nullptr ? c10::str(x.scalar_type(), " ", x.space->text()) : "none";
}

CallArguments arguments_of(const char* name, const ShardedImage& x) {
  CallArguments arguments;
  return arguments.add(name, described(x));
}

CallArguments arguments_of(std::optional<std::int64_t> axis) {
  CallArguments arguments;
  return arguments.add("axis", axis ? std::to_string(*axis) : std::string("none"));
}

}  // namespace

// ---- How images are cut ------------------------------------------------------------------------------------------

// In the stack's own space, whose inner products are sums by its own exchange.
std::shared_ptr<const ImageSpace> DistributedStackedLinearPhysics::kept_space(ImageSpace space) const {
  constexpr std::size_t most = 4;
  space.reducer = exchange_->alone() ? nullptr : exchange_;
  const auto known = std::ranges::find_if(spaces_, [&](const auto& one) { return same_space(*one, space); });
  if (known != spaces_.end()) {
    return *known;
  }
  if (spaces_.size() == most) {
    spaces_.erase(spaces_.begin());
  }
  return spaces_.emplace_back(std::make_shared<const ImageSpace>(std::move(space)));
}

std::shared_ptr<const ImageSpace> DistributedStackedLinearPhysics::image_space(at::IntArrayRef sizes,
                                                                               std::optional<std::int64_t> axis) const {
  const int ranks = context_.size();
  const bool by_images = !axis && joint_normal_.form().defined() && sizes.size() >= 2 && sizes[0] * sizes[1] >= ranks;
  return kept_space(by_images ? cut_at_images(sizes, rank(), ranks) : evenly_cut(sizes, axis, rank(), ranks));
}

std::shared_ptr<const ImageSpace> DistributedStackedLinearPhysics::chosen_space(at::IntArrayRef sizes,
                                                                                at::ScalarType dtype,
                                                                                std::optional<std::int64_t> axis,
                                                                                const Params& params) const {
  if (!axis && !exchange_->alone()) {
    const at::Tensor like = shape_of_image(sizes, at::TensorOptions(dtype).device(context_.device()));
    JointNormal::ForCall joint(joint_normal_, *exchange_, local_, like, params);
    if (!joint.made()) {
      joint.make();
    }
  }
  return image_space(sizes, axis);
}

ShardedImage DistributedStackedLinearPhysics::own_slab(const char* argument, const ShardedImage& x) const {
  check(x.defined() && x.space != nullptr, argument, ": must be a sharded image, got none");
  const auto* const other = dynamic_cast<const Exchange*>(x.space->reducer.get());
  const bool is_ours = other == nullptr ? x.space->ranks() == 1 : &other->communicator() == &exchange_->communicator();
  check(is_ours && x.space->ranks() == context_.size(), argument, ": must be a sharded image of the stack's own ",
        context_.size(), " ranks, got one of another context with ", x.space->ranks());
  check(x.local.sizes() == x.space->local_sizes(), argument, ": the slab must have the shape ",
        at::IntArrayRef(x.space->local_sizes()), ", got ", x.local.sizes());
  check_tensor(argument, x.local);
  return {x.local.contiguous().resolve_conj().resolve_neg(), other == exchange_.get() ? x.space : kept_space(*x.space)};
}

void DistributedStackedLinearPhysics::check_not_followed(const char* method, bool records, const Params& params) const {
  check(!records && !uses_followed(params), method,
        ": gradients do not pass through sharded images: use replicated ones, or torch.no_grad()");
}

ShardedImage DistributedStackedLinearPhysics::shard_image(const at::Tensor& x, std::optional<std::int64_t> axis) const {
  return exchange_->local([&] {
    check_tensor("x", x);
    return slab_of(x.detach(), image_space(x.sizes(), axis));
  });
}

at::Tensor DistributedStackedLinearPhysics::gather(const ShardedImage& x) const {
  return exchange_->call("gather", arguments_of("x", x), [&] { return whole(own_slab("gather: x", x)); });
}

// ---- The operator ------------------------------------------------------------------------------------------------

TensorList DistributedStackedLinearPhysics::A(const ShardedImage& x, const CallOptions& options) const {
  if (!options.gather) {
    return A_sharded(x, options.params).local;
  }
  return exchange_->call("A", arguments_of("x", x), [&] {
    const ShardedImage own = own_slab("A: x", x);
    check_not_followed("A", records_gradients(own.local), options.params);
    return A(exchange_->assemble(*image_plans_, own), options);
  });
}

// A failure of this rank's operators follows the message, and is told by another.
ShardedTensorList DistributedStackedLinearPhysics::A_sharded(const ShardedImage& x, const Params& params) const {
  return exchange_->call("A_sharded", arguments_of("x", x), [&] {
    const ShardedImage own = own_slab("A_sharded: x", x);
    check_not_followed("A_sharded", records_gradients(own.local), params);
    const c10::NoGradGuard no_grad;
    const at::Tensor whole = exchange_->assemble(*image_plans_, own);
    TensorList y;
    exchange_->agree([&] {
      y = local_.A(whole, params);
      for (at::Tensor& entry : y) {
        entry = entry.is_alias_of(whole) ? entry.clone() : entry;
      }
    });
    return sharded(std::move(y));
  });
}

ShardedImage DistributedStackedLinearPhysics::A_adjoint_sharded(const Measurements& y, std::optional<std::int64_t> axis,
                                                                const Params& params) const {
  CallArguments arguments = arguments_of(axis);
  if (y.is_whole(*space_)) {
    arguments.add_list("y", y.list());
  }
  return exchange_->call("A_adjoint_sharded", arguments, [&] {
    check_not_followed("A_adjoint_sharded", records_gradients(y.list()), params);
    const auto part = [&](const at::Tensor& out) {
      return weighted(local_.A_adjoint_sum(local_part("A_adjoint_sharded: y", y), out, params), out, weight());
    };
    return exchange_->reduce_to_slab(image_plans_->sums, part, [&](at::IntArrayRef sizes, at::ScalarType dtype) {
      return chosen_space(sizes, dtype, axis, params);
    });
  });
}

ShardedImage DistributedStackedLinearPhysics::A_adjoint_A(const ShardedImage& x, const Params& params) const {
  return exchange_->call("A_adjoint_A", arguments_of("x", x), [&] {
    const ShardedImage own = own_slab("A_adjoint_A: x", x);
    check_not_followed("A_adjoint_A", records_gradients(own.local), params);
    return normal(own, params, weight());
  });
}

// By the joint form of all ranks, of which each applies it to its own images and tells that it could; else on the whole
// image, of which the sums of the ranks' parts are scattered.
ShardedImage DistributedStackedLinearPhysics::normal(const ShardedImage& x, const Params& params, double weight) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor like = shape_of_image(x.sizes(), x.local.options());
  JointNormal::ForCall joint(joint_normal_, *exchange_, local_, like, params);
  if (!exchange_->alone() && !joint.made()) {
    joint.make();
  }
  while (!exchange_->alone() && joint.by_images() && is_cut_at_images(*x.space)) {
    std::array<double, 1> stale = {joint.is_current() ? 0.0 : 1.0};
    at::Tensor result;
    exchange_->agree_max(stale, [&] {
      if (stale[0] == 0.0) {
        const at::Tensor images = x.local.view(sizes_of_own_images(*x.space));
        result = images.numel() == 0
                     ? images
                     : weighted(local_.apply_normal_form(joint_normal_.form(), images, 0, 1, {}), {}, weight);
      }
    });
    if (stale[0] == 0.0) {
      return {result.view({-1}), x.space};
    }
    joint.make();
  }
  const at::Tensor whole = exchange_->assemble(*image_plans_, x);
  const auto part = [&](const at::Tensor& out) { return normal_of_whole(whole, out, params, weight); };
  return exchange_->reduce_to_slab(image_plans_->sums, part, [&](at::IntArrayRef, at::ScalarType) { return x.space; },
                                   {.agreement = exchange_->alone() ? nullptr : &joint, .like = whole});
}

}  // namespace adjoin
