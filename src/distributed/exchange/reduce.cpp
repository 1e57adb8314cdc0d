// Partial to replicated: sums over the ranks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/accumulate.h>

#include <algorithm>

#include "adjoin/distributed/exchange/exchange.hpp"
#include "adjoin/physics/fused.hpp"
#include "distributed/exchange/copy_into.hpp"
#include "distributed/exchange/new_plan.hpp"
#include "distributed/exchange/status.hpp"

namespace adjoin {

namespace {

// Where a sum goes: to memory of the caller's own or that all ranks of a node read, added up from parts of the whole or
// gathered from the images of each rank.
class Destination {
 public:
  Destination(ReducePlan& plan, Exchange::Memory memory, bool by_images)
      : plan_(plan), numel_(c10::multiply_integers(plan.sizes)), by_images_(by_images) {
    if (memory == Exchange::Memory::own) {
      own_ = &plan.results.take();
    } else {
      plan.buffer->provide_shared();
    }
    place_ = by_images && own_ != nullptr ? result() : in(plan.buffer->input());
  }

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

  at::Tensor result() const { return own_ != nullptr ? own_->tensor(0, plan_.sizes, plan_.dtype) : in(shared_); }

 private:
  at::Tensor in(const at::Tensor& flat) const {
    return tensor_at(flat.storage(), flat.storage_offset() * static_cast<std::int64_t>(flat.element_size()),
                     plan_.sizes, plan_.dtype, flat);
  }

  ReducePlan& plan_;
  std::int64_t numel_;
  bool by_images_;
  ResultMemory* own_ = nullptr;  // null: shared
  at::Tensor place_;
  at::Tensor shared_;
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
  if (alone_) {
    return partial({});
  }
  Agreement* const agreement = options.agreement;
  std::optional<Failure> failure = take_deferred();
  at::Tensor mine;
  bool computed = false;
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
    if (plan.buffer) {
      to.emplace(plan, options.memory, agreement != nullptr && agreement->by_images());
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
      const Verdict verdict = to->collect({.confer = !ready, .sample = sample}, communicator_->size());
      if (!verdict.confer) [[likely]] {
        if (verdict.unlike) [[unlikely]] {
          compare(method_, *arguments_);
        }
        return to->result();
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
    }
  }
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
          r, c10::str(method_, ": a sum over ranks needs floating-point or complex tensors, got ", their_dtype));
    }
    if (!sizes) {
      sizes = their_sizes;
      dtype = their_dtype;
      first = r;
    } else if (*sizes != their_sizes) {
      failures_.throw_agreed(
          r, c10::str(method_, ": every rank's part must have one shape, got ", at::IntArrayRef(their_sizes),
                      " here and ", at::IntArrayRef(*sizes), " on rank ", first));
    }
    dtype = at::promote_types(dtype, their_dtype);
  }
  if (!sizes) {
    failures_.throw_agreed(0, c10::str(method_, ": no rank has anything to add up"));
  }
  const c10::InferenceMode normal(false);
  const std::int64_t numel = c10::multiply_integers(*sizes);
  const std::int64_t total = numel + status_elements;
  plan.buffer.reset();
  plan.results.set_layout(total, dtype, device_, {{0, numel * static_cast<std::int64_t>(c10::elementSize(dtype))}});
  plan.buffer = communicator_->reduce_buffer(total, dtype, device_);
  plan.results.provide_visible(*communicator_);
  plan.sizes = *sizes;
  plan.dtype = dtype;
  plan.own_dtype = mine.defined() ? mine.scalar_type() : dtype;
  plan.counts.clear();
  for (int r = 0; r < communicator_->size(); ++r) {
    plan.counts.push_back(images_of_part(plan.sizes, r, communicator_->size()).numel);
  }
}

}  // namespace adjoin
