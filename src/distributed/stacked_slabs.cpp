// SPDX-License-Identifier: BSD-3-Clause
// Stacks on sharded images: slabs in are gathered, sums are scattered to slabs.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <utility>

#include "adjoin/core/differentiable.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/fused.hpp"
#include "core/duals.hpp"
#include "core/shape_of_image.hpp"
#include "distributed/like_input.hpp"
#include "distributed/solve_arguments.hpp"

namespace adjoin {

namespace {

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

CallArguments arguments_of(const char* name, const ShardedImage& x) {
  CallArguments arguments;
  return arguments.add(name, described(x));
}

CallArguments arguments_of(std::optional<std::int64_t> axis) {
  CallArguments arguments;
  return arguments.add("axis", described(axis));
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
  if (has_grid()) {
    const SliceGrid& grid = slices_->grid();
    const auto dims = static_cast<std::int64_t>(grid.image.size());
    check(sizes == at::IntArrayRef(grid.image), "image: must have the sizes of the stack's grid, ",
          at::IntArrayRef(grid.image), ", got ", sizes);
    check(!axis || *axis == grid.axis || *axis + dims == grid.axis, "axis: images are cut along axis ", grid.axis,
          " on the stack's grid, got ", axis.value_or(0));
    return slices_->space();
  }
  const int ranks = context_.size();
  const bool by_images = !axis && joint_normal_.exists() && sizes.size() >= 2 && sizes[0] * sizes[1] >= ranks;
  return kept_space(by_images ? cut_at_images(sizes, rank(), ranks) : evenly_cut(sizes, axis, rank(), ranks));
}

std::shared_ptr<const ImageSpace> DistributedStackedLinearPhysics::chosen_space(at::IntArrayRef sizes,
                                                                                at::ScalarType dtype,
                                                                                std::optional<std::int64_t> axis,
                                                                                const Params& params) const {
  if (!axis && !exchange_->alone() && !has_grid()) {
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
  if (has_grid()) {
    check(slices_->has_images_of(*x.space), argument, ": must be a sharded image of the stack's grid, ",
          slices_->space()->text(), ", got ", x.space->text(),
          same_space(*x.space, *slices_->space()) ? " by a stack of other groups of ranks" : "");
  } else {
    const bool is_ours = other == nullptr ? x.space->reducer == nullptr && x.space->ranks() == 1
                                          : &other->communicator() == &exchange_->communicator();
    check(is_ours && x.space->ranks() == context_.size(), argument, ": must be a sharded image of the stack's own ",
          context_.size(), " ranks, got one of another context or grid with ", x.space->ranks());
  }
  check(x.local.sizes() == x.space->local_sizes(), argument, ": the slab must have the shape ",
        at::IntArrayRef(x.space->local_sizes()), ", got ", x.local.sizes());
  check_tensor(argument, x.local);
  const bool is_kept = !has_grid() && other == exchange_.get();
  return {x.local.contiguous().resolve_conj().resolve_neg(),
          has_grid() ? slices_->space() : (is_kept ? x.space : kept_space(*x.space))};
}

// Throws on all ranks.
void DistributedStackedLinearPhysics::check_not_followed(const char* method, bool records, const Params& params) const {
  const bool uses = uses_followed(params);
  if (records || uses) {
    exchange_->call(method, {}, [&] {
      check(false, method, ": gradients of ", records ? "solves" : "what operators are made of",
            " do not pass through sharded images: use replicated ones, or torch.no_grad()");
    });
  }
}

// What `of` makes of a slab that autograd follows, where `back` maps slabs of gradients back.
template <class Of, class Back>
at::Tensor DistributedStackedLinearPhysics::followed_slab(const at::Tensor& local, const Of& of,
                                                          const Back& back) const {
  if (is_dual(local)) {
    return with_tangent(of(primal_of(local)), of(tangent_of(local)));
  }
  const auto forward = [&]() -> Tensors { return {of(local.detach())}; };
  const auto backward = [this, back, real = !local.is_complex(), version = local_.version(),
                         keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
    return {like_input(of_unchanged(version, [&] { return back(gradients[0]); }), real)};
  };
  return differentiable({local}, forward, backward)[0];
}

ShardedImage DistributedStackedLinearPhysics::shard_image(const at::Tensor& x, std::optional<std::int64_t> axis) const {
  return exchange_->local([&] {
    check_tensor("x", x);
    const auto space = image_space(x.sizes(), axis);
    if (!records_gradients(x)) {
      return slab_of(x, space);
    }
    const auto back = [this, space](const at::Tensor& g) { return gather(ShardedImage{g, space}); };
    return ShardedImage{
        followed_slab(x, [&](const at::Tensor& image) { return slab_of(image, space).local; }, back), space};
  });
}

at::Tensor DistributedStackedLinearPhysics::gather(const ShardedImage& x) const {
  if (x.defined() && x.space != nullptr && records_gradients(x.local)) {
    const auto of = [&](const at::Tensor& local) { return gather(ShardedImage{local, x.space}); };
    const auto back = [space = x.space](const at::Tensor& g) { return slab_of(g, space).local; };
    return followed_slab(x.local, of, back);
  }
  return everyone_->call("gather", arguments_of("x", x), [&] { return whole(own_slab("gather: x", x)); });
}

// ---- What differs on a grid ---------------------------------------------------------------------------------------

at::Tensor DistributedStackedLinearPhysics::read_by_operators(const ShardedImage& x) const {
  return has_grid() ? x.local : exchange_->assemble(*image_plans_, x);
}

ShardedImage DistributedStackedLinearPhysics::sum_to_slab(Exchange::Partial part, Exchange::Cut cut) const {
  return has_grid() ? as_slab(exchange_->reduce(image_plans_->sums, part))
                    : exchange_->reduce_to_slab(image_plans_->sums, part, cut);
}

ShardedImage DistributedStackedLinearPhysics::as_slab(const at::Tensor& sum) const {
  const std::vector<std::int64_t> expected = slices_->space()->local_sizes();
  check(sum.sizes() == expected, "grid: the slices of this rank must have the shape ", at::IntArrayRef(expected),
        ", got an image of ", sum.sizes());
  return {sum.contiguous().resolve_conj().resolve_neg(), slices_->space()};
}

TensorList DistributedStackedLinearPhysics::gather_slices(const char* method, const CallArguments& arguments,
                                                          const std::function<TensorList()>& own) const {
  const GatherStrategy strategy =
      gather_strategy_ == GatherStrategy::naive ? GatherStrategy::naive : GatherStrategy::concatenated;
  return everyone_->call(method, arguments, [&] {
    return slices_->joined(everyone_->gather(
        measurement_plans_->items, slices_->pieces(), strategy, [&](const TensorList& /*out*/) { return own(); },
        [](std::size_t /*position*/) { return at::Tensor(); }));
  });
}

// ---- The operator ------------------------------------------------------------------------------------------------

TensorList DistributedStackedLinearPhysics::A(const ShardedImage& x, const CallOptions& options) const {
  if (!options.gather) {
    return A_sharded(x, options.params).local;
  }
  check_not_followed("A", false, options.params);
  if (x.defined() && records_gradients(x.local)) {
    return measured_slab(x, options.params, true);
  }
  if (has_grid()) {
    return gather_slices("A", arguments_of("x", x),
                         [&] { return local_.A(own_slab("A: x", x).local, options.params); });
  }
  return exchange_->call("A", arguments_of("x", x),
                         [&] { return A(exchange_->assemble(*image_plans_, own_slab("A: x", x)), options); });
}

// A failure of this rank's operators follows the message, and is told by another.
ShardedTensorList DistributedStackedLinearPhysics::A_sharded(const ShardedImage& x, const Params& params) const {
  check_not_followed("A_sharded", false, params);
  if (x.defined() && records_gradients(x.local)) {
    return sharded(measured_slab(x, params, false));
  }
  const auto measured_of = [&](const at::Tensor& image) {
    TensorList y = local_.A(image, params);
    for (at::Tensor& entry : y) {
      entry = entry.is_alias_of(image) ? entry.clone() : entry;
    }
    return y;
  };
  const c10::NoGradGuard no_grad;
  if (has_grid()) {
    return sharded(exchange_->local([&] { return measured_of(own_slab("A_sharded: x", x).local); }));
  }
  return exchange_->call("A_sharded", arguments_of("x", x), [&] {
    const at::Tensor image = exchange_->assemble(*image_plans_, own_slab("A_sharded: x", x));
    TensorList y;
    exchange_->agree([&] { y = measured_of(image); });
    return sharded(std::move(y));
  });
}

// Measurements of a slab that autograd follows: all, or this rank's.
TensorList DistributedStackedLinearPhysics::measured_slab(const ShardedImage& x, const Params& params, bool all) const {
  const auto of = [&](const at::Tensor& local) {
    return A(ShardedImage{local, x.space}, {.gather = all, .params = params});
  };
  if (is_dual(x.local)) {
    TensorList y = of(primal_of(x.local));
    const TensorList tangents = of(tangent_of(x.local));
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = with_tangent(y[i], tangents[i]);
    }
    return y;
  }
  const auto backward = [this, params, space = x.space, real = !x.is_complex(), version = local_.version(),
                         keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
    const TensorList list(gradients);
    const auto cut = [&](at::IntArrayRef, at::ScalarType) { return space; };
    const auto pulled = [&] { return scattered("gradient", list, cut, {}, params, 1.0).local; };
    return {like_input(of_unchanged(version, pulled), real)};
  };
  return TensorList(differentiable({x.local}, [&] { return of(x.local.detach()).tensors(); }, backward));
}

ShardedImage DistributedStackedLinearPhysics::A_adjoint_sharded(const Measurements& y, std::optional<std::int64_t> axis,
                                                                const Params& params) const {
  check_not_followed("A_adjoint_sharded", false, params);
  if (has_grid()) {
    (void)image_space(slices_->grid().image, axis);
  }
  const auto cut = [&](at::IntArrayRef sizes, at::ScalarType dtype) {
    return chosen_space(sizes, dtype, axis, params);
  };
  return scattered("A_adjoint_sharded", y, cut, arguments_of(axis), params, weight());
}

ShardedImage DistributedStackedLinearPhysics::scattered(const char* name, const Measurements& y, Exchange::Cut cut,
                                                        const CallArguments& options, const Params& params,
                                                        double weight) const {
  const TensorList list = y.list();
  const bool all = holds_all(y);
  if (!records_gradients(list)) {
    CallArguments arguments = options;
    if (all) {
      arguments.add_list("y", list);
    }
    return exchange_->call(name, arguments, [&] {
      const auto part = [&](const at::Tensor& out) {
        return weighted(local_.A_adjoint_sum(local_part("A_adjoint: y", y), out, params), out, weight);
      };
      return sum_to_slab(part, cut);
    });
  }
  std::shared_ptr<const ImageSpace> space;
  const auto of = [&](const TensorList& inputs) {
    const ShardedImage sum = scattered(name, inputs, cut, options, params, weight);
    space = sum.space;
    return sum.local;
  };
  if (std::ranges::any_of(list, is_dual)) {
    const at::Tensor primal = of(primals_of(list));
    return {with_tangent(primal, of(tangents_of(list))), space};
  }
  TensorList detached;
  for (const at::Tensor& entry : list) {
    detached.push_back(entry.detach());
  }
  // The space is known once the sum has been made.
  const auto known = std::make_shared<std::shared_ptr<const ImageSpace>>();
  const auto backward = [this, all, params, weight, real = which_are_real(list), known, version = local_.version(),
                         keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
    const auto measured = [&] { return A(ShardedImage{gradients[0], *known}, {.gather = all, .params = params}); };
    return like_inputs(of_unchanged(version, measured), weight, real).tensors();
  };
  const auto forward = [&]() -> Tensors {
    const at::Tensor local = of(detached);
    *known = space;
    return {local};
  };
  const at::Tensor local = differentiable(list.tensors(), forward, backward)[0];
  return {local, space};
}

ShardedImage DistributedStackedLinearPhysics::A_adjoint_A(const ShardedImage& x, const Params& params) const {
  check_not_followed("A_adjoint_A", false, params);
  if (x.defined() && records_gradients(x.local)) {
    const auto of = [this, params, space = x.space](const at::Tensor& local) {
      return A_adjoint_A(ShardedImage{local, space}, params).local;
    };
    return {followed_slab(x.local, of, of), x.space};
  }
  return exchange_->call("A_adjoint_A", arguments_of("x", x),
                         [&] { return normal(own_slab("A_adjoint_A: x", x), params, weight()); });
}

// By the joint form of all ranks, of which each applies it to its own images and tells that it could; else on the whole
// image, of which the sums of the ranks' parts are scattered.
ShardedImage DistributedStackedLinearPhysics::normal(const ShardedImage& x, const Params& params, double weight) const {
  const c10::NoGradGuard no_grad;
  if (has_grid()) {
    return as_slab(normal(Exchange::Memory::own, x.local, params, weight));
  }
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
