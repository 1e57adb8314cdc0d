// SPDX-License-Identifier: BSD-3-Clause
// Partial to replicated: sums over the ranks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/accumulate.h>

#include <algorithm>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/physics/fused.hpp"
#include "distributed/exchange/copy_into.hpp"
#include "distributed/exchange/new_plan.hpp"
#include "distributed/exchange/status.hpp"

namespace adjoin {

namespace {

// Where a sum goes: to memory of the caller's own or that all ranks of a node read, or a slab of it to each rank; added
// up from parts of the whole or gathered from the images of each rank.
class Destination {
 public:
  // `space`: how the sum is cut into slabs; null where it is not.
  Destination(ReducePlan& plan, Exchange::Memory memory, bool by_images, std::shared_ptr<const ImageSpace> space)
      : plan_(plan), numel_(c10::multiply_integers(plan.sizes)), by_images_(by_images), space_(std::move(space)) {
    if (memory == Exchange::Memory::own && space_ == nullptr) {
      own_ = &plan.results.take();
    } else if (is_slab()) {
      plan.buffer->provide_parts(space_->counts());
    } else {
      plan.buffer->provide_shared();
    }
    place_ = by_images && own_ != nullptr ? result() : in(plan.buffer->input());
    if (is_slab() && !space_->is_flat()) {
      std::vector<std::int64_t> ordered = in_slab_order(place_, *space_).sizes().vec();
      place_ = in_image_order(plan.buffer->input().narrow(0, 0, numel_).view(ordered), *space_);
    }
    if (is_slab()) {
      slab_ = at::empty(space_->local_sizes(), place_.options());
      ordered_ = space_->is_flat() ? slab_ : at::empty(in_slab_order(slab_, *space_).sizes(), place_.options());
    }
  }

  const std::shared_ptr<const ImageSpace>& space() const { return space_; }
  // Where this rank's part is best written.
  const at::Tensor& place() const { return place_; }

  // Brings a part that fits the plan to its place; an undefined one contributes nothing.
  void fill(const at::Tensor& part) {
    if (part.defined()) {
      copy_into(place_, part);
    } else {
      place_.zero_();
    }
  }

  // The collective, among `ranks` ranks.
  Verdict collect(const Status& status, int ranks) {
    at::Tensor input = plan_.buffer->input();
    write_status(input, numel_, status);
    if (is_slab()) {
      plan_.buffer->reduce_scatter(ordered_, space_->counts());
      if (!space_->is_flat()) {
        slab_.copy_(in_image_order(ordered_, *space_));
      }
      return read_status(input, numel_, ranks);
    }
    if (own_ == nullptr) {
      shared_ = by_images_ ? plan_.buffer->all_gather_shared(plan_.counts) : plan_.buffer->all_reduce_shared();
      return read_status(by_images_ ? input : shared_, numel_, ranks);
    }
    if (by_images_) {
      at::Tensor images = own_->whole().narrow(0, 0, numel_);
      plan_.buffer->all_gather(images, plan_.counts);
      return read_status(input, numel_, ranks);
    }
    at::Tensor sum = own_->whole();
    plan_.buffer->all_reduce(sum);
    return read_status(sum, numel_, ranks);
  }

  at::Tensor result() const {
    if (is_slab()) {
      return slab_;
    }
    if (space_ != nullptr) {
      return slab_of(in(shared_), space_).local;
    }
    return own_ != nullptr ? own_->tensor(0, plan_.sizes, plan_.dtype) : in(shared_);
  }

 private:
  // Images that are gathered are cut thereafter.
  bool is_slab() const { return space_ != nullptr && !by_images_; }
  at::Tensor in(const at::Tensor& flat) const {
    return tensor_at(flat.storage(), flat.storage_offset() * static_cast<std::int64_t>(flat.element_size()),
                     plan_.sizes, plan_.dtype, flat);
  }

  ReducePlan& plan_;
  std::int64_t numel_;
  bool by_images_;
  std::shared_ptr<const ImageSpace> space_;
  ResultMemory* own_ = nullptr;  // null: shared, or a slab
  at::Tensor place_;
  at::Tensor shared_;
  at::Tensor slab_;
  /// The slab in the order in which it is scattered.
  at::Tensor ordered_;
};

// What the ranks tell each other about the layout of their parts; empty without a part.
Params layout_of(const at::Tensor& part) {
  Params layout;
  if (part.defined()) {
    layout.set("sizes", part.sizes().vec()).set("dtype", static_cast<std::int64_t>(part.scalar_type()));
  }
  return layout;
}

}  // namespace

at::Tensor Exchange::reduce(ReducePlan& plan, Partial partial, const ReduceOptions& options) {
  const c10::NoGradGuard no_grad;
  return alone_ ? partial({}) : reduced(plan, partial, nullptr, options).tensor;
}

ShardedImage Exchange::reduce_to_slab(ReducePlan& plan, Partial partial, Cut cut, const ReduceOptions& options) {
  const c10::NoGradGuard no_grad;
  if (alone_) {
    const at::Tensor image = partial({});
    std::shared_ptr<const ImageSpace> space = cut(image.sizes(), image.scalar_type());
    const std::vector<std::int64_t> sizes = space->local_sizes();
    return {image.contiguous().resolve_conj().view(sizes), std::move(space)};
  }
  Reduced slab = reduced(plan, partial, &cut, options);
  return {std::move(slab.tensor), std::move(slab.space)};
}

Exchange::Reduced Exchange::reduced(ReducePlan& plan, Partial partial, const Cut* cut, const ReduceOptions& options) {
  Agreement* const agreement = options.agreement;
  std::optional<Failure> failure = take_deferred();
  at::Tensor mine;
  bool computed = false;
  bool planned = false;
  const double sample = take_sample();
  NewPlan made([&] { plan.buffer.reset(); });
  while (true) {
    if (agreement != nullptr && !agreement->made()) {
      agreement->make();
    }
    const bool stale = agreement != nullptr && !agreement->is_current();
    if (!plan.buffer && options.like.defined() && !computed) {
      const std::vector<Params> all = confer(layout_of(options.like), failure);
      made.begin();
      plan_reduce(plan, all, options.like);
    }
    std::optional<Destination> to;
    const std::shared_ptr<const ImageSpace> space =
        cut != nullptr && plan.buffer ? cut_of(plan, *cut, planned) : nullptr;
    if (plan.buffer && (space == nullptr || space->sizes == plan.sizes)) {
      if (space == nullptr && options.memory == Memory::own && !plan.has_results) {
        plan.results.provide_visible(*communicator_);
        plan.has_results = true;
      }
      to.emplace(plan, options.memory, agreement != nullptr && agreement->by_images(), space);
    }
    commit();
    if (!computed && !failure && !stale) {
      failure = failures_.of([&] { mine = partial(to ? to->place() : at::Tensor()); });
      computed = true;
    }
    if (to) {
      const bool changed = mine.defined() && (mine.sizes() != plan.sizes || mine.scalar_type() != plan.own_dtype);
      if (!failure && !stale && !changed) {
        failure = failures_.of([&] { to->fill(mine); });
      }
      const bool ready = !failure && !stale && !changed;
      if (ready && planned && mine.defined() && mine.scalar_type() == plan.dtype) {
        mine = to->place();  // what was computed before there was a place takes no memory beside it
      }
      const Verdict verdict = to->collect({.confer = !ready, .sample = sample}, communicator_->size());
      if (!verdict.confer) [[likely]] {
        if (verdict.unlike) [[unlikely]] {
          compare(method_, *arguments_);
        }
        return {to->result(), to->space()};
      }
    }
    // Some rank has failed, or has another layout, or a part that rests on what no longer holds; or nothing is agreed.
    if (!failure && mine.defined() && to) {
      failure = failures_.of([&] { mine = mine.clone(); });  // it may lie in the buffer that is about to go
    }
    const std::vector<Params> all = confer(stale ? Params{{"stale", true}} : layout_of(mine), failure);
    if (std::ranges::any_of(all, [](const Params& report) { return report.contains("stale"); })) {
      agreement->make();
      mine.reset();
      computed = false;
    } else {
      made.begin();
      plan_reduce(plan, all, mine);
      planned = true;
    }
  }
}

// How a sum of this plan is cut; `planned`: it was made for this sum. What is wrong is so on all ranks alike.
std::shared_ptr<const ImageSpace> Exchange::cut_of(const ReducePlan& plan, const Cut& cut, bool planned) const {
  std::shared_ptr<const ImageSpace> space;
  try {
    space = cut(plan.sizes, plan.dtype);
  } catch (const InvalidArgument& error) {
    failures_.throw_agreed({.rank = first_rank_, .reason = error.what()}, {}, true);
  }
  if (planned && space->sizes != plan.sizes) {
    failures_.throw_agreed(
        {.rank = first_rank_,
         .reason = c10::str(method_, ": the sum has the shape ", at::IntArrayRef(plan.sizes),
                            ", but is to be cut as an image of shape ", at::IntArrayRef(space->sizes))},
        {}, true);
  }
  return space;
}

void Exchange::plan_reduce(ReducePlan& plan, const std::vector<Params>& layouts, const at::Tensor& mine) {
  std::optional<std::vector<std::int64_t>> sizes;
  int first = 0;
  at::ScalarType dtype = at::kFloat;
  for (int r = 0; r < static_cast<int>(layouts.size()); ++r) {
    const Params& theirs = layouts[static_cast<std::size_t>(r)];
    if (theirs.empty()) {
      continue;
    }
    const auto their_sizes = theirs.get<std::vector<std::int64_t>>("sizes");
    const auto their_dtype = static_cast<at::ScalarType>(theirs.get<std::int64_t>("dtype"));
    if (!at::isFloatingType(their_dtype) && !at::isComplexType(their_dtype)) {
      failures_.throw_agreed(
          first_rank_ + r,
          c10::str(method_, ": a sum over ranks needs floating-point or complex tensors, got ", their_dtype));
    }
    if (!sizes) {
      sizes = their_sizes;
      dtype = their_dtype;
      first = first_rank_ + r;
    } else if (*sizes != their_sizes) {
      failures_.throw_agreed(first_rank_ + r, c10::str(method_, ": every rank's part must have one shape, got ",
                                                       at::IntArrayRef(their_sizes), " here and ",
                                                       at::IntArrayRef(*sizes), " on rank ", first));
    }
    dtype = at::promote_types(dtype, their_dtype);
  }
  if (!sizes) {
    failures_.throw_agreed(first_rank_, c10::str(method_, ": no rank has anything to add up"));
  }
  prepare(plan, *sizes, dtype);
  plan.own_dtype = mine.defined() ? mine.scalar_type() : dtype;
}

void Exchange::prepare(ReducePlan& plan, at::IntArrayRef sizes, at::ScalarType dtype) {
  const c10::InferenceMode normal(false);
  const std::int64_t numel = c10::multiply_integers(sizes);
  const std::int64_t total = numel + status_elements;
  plan.buffer.reset();
  plan.results.set_layout(total, dtype, device_, {{0, numel * static_cast<std::int64_t>(c10::elementSize(dtype))}});
  plan.has_results = false;
  plan.buffer = communicator_->reduce_buffer(total, dtype, device_);
  plan.sizes = sizes.vec();
  plan.dtype = plan.own_dtype = dtype;
  plan.counts.clear();
  for (int r = 0; r < communicator_->size(); ++r) {
    plan.counts.push_back(images_of_part(plan.sizes, r, communicator_->size()).numel);
  }
}

// ---- Slab to replicated ------------------------------------------------------------------------------------------

at::Tensor Exchange::assemble(CallPlans& plans, const ShardedImage& x) {
  const c10::NoGradGuard no_grad;
  const ImageSpace& space = *x.space;
  if (alone_) {
    return x.local.view(space.sizes);
  }
  const std::optional<Failure> failure = take_deferred();
  const double sample = take_sample();
  const auto fits = [&](const ReducePlan& plan) {
    return plan.buffer && plan.sizes == space.sizes && plan.dtype == x.scalar_type();
  };
  // The sums of a stack are mostly of such images, and their buffer does for both.
  const bool with_sums = !plans.sums.buffer || fits(plans.sums);
  ReducePlan& plan = with_sums ? plans.sums : plans.slabs;
  if (with_sums) {
    plans.slabs.buffer.reset();
  }
  NewPlan made([&] { plan.buffer.reset(); });
  if (!fits(plan)) {
    made.begin();
    prepare(plan, space.sizes, x.scalar_type());
  }
  const at::Tensor part = space.is_flat() ? x.local : in_slab_order(x.local, space).contiguous();
  at::Tensor image = space.is_flat() ? at::Tensor() : at::empty(space.sizes, x.local.options());
  plan.buffer->provide_parts(space.counts());
  commit();
  at::Tensor input = plan.buffer->input();
  write_status(input, space.numel(), {.confer = failure.has_value(), .sample = sample});
  const at::Tensor& whole = plan.buffer->all_gather_shared(part, space.counts());
  const Verdict verdict = read_status(input, space.numel(), communicator_->size());
  if (verdict.confer) [[unlikely]] {
    confer({}, failure);
  }
  if (verdict.unlike) [[unlikely]] {
    compare(method_, *arguments_);
  }
  if (space.is_flat()) {
    return tensor_at(whole.storage(), whole.storage_offset() * static_cast<std::int64_t>(whole.element_size()),
                     space.sizes, plan.dtype, whole);
  }
  at::Tensor in_order = in_slab_order(image, space);
  in_order.copy_(whole.narrow(0, 0, space.numel()).view(in_order.sizes()));
  return image;
}

}  // namespace adjoin
