// SPDX-License-Identifier: BSD-3-Clause
// Sharded to gathered: the tensors of all ranks, by one of three strategies.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/accumulate.h>

#include <algorithm>

#include "adjoin/distributed/exchange/exchange.hpp"
#include "distributed/exchange/copy_into.hpp"
#include "distributed/exchange/new_plan.hpp"
#include "distributed/exchange/status.hpp"

namespace adjoin {

namespace {

bool fits(const GatherPlan::Entry& entry, const at::Tensor& result) {
  return result.sizes() == entry.sizes && result.scalar_type() == entry.dtype;
}

at::Tensor tensor_of(const GatherPlan& plan, const ResultMemory& memory, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  return memory.tensor(i, plan.entries[i].sizes, plan.entries[i].dtype);
}

// The tensors at `places` are those of `own`.
TensorList all_tensors(const GatherPlan& plan, const ResultMemory& memory, const std::vector<std::int64_t>& own,
                       TensorList places) {
  TensorList results(plan.entries.size());
  for (std::size_t k = 0; k < own.size(); ++k) {
    results[static_cast<std::size_t>(own[k])] = std::move(places[k]);
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i].defined()) {
      results[i] = tensor_of(plan, memory, static_cast<std::int64_t>(i));
    }
  }
  return results;
}

// What the ranks tell each other about the layout of their results.
Params layout_of(const TensorList& results) {
  std::vector<std::int64_t> dtypes;
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> sizes;
  for (const at::Tensor& result : results) {
    dtypes.push_back(static_cast<std::int64_t>(result.scalar_type()));
    dims.push_back(result.dim());
    sizes.insert(sizes.end(), result.sizes().begin(), result.sizes().end());
  }
  return {{"dtypes", dtypes}, {"dims", dims}, {"sizes", sizes}};
}

}  // namespace

GatherStrategy gather_strategy_from_string(std::string_view name) {
  for (const GatherStrategy strategy :
       {GatherStrategy::naive, GatherStrategy::concatenated, GatherStrategy::broadcast}) {
    if (name == to_string(strategy)) {
      return strategy;
    }
  }
  throw InvalidArgument(
      c10::str("gather_strategy: must be 'naive', 'concatenated' or 'broadcast', got '", std::string(name), "'"));
}

std::string_view to_string(GatherStrategy strategy) {
  switch (strategy) {
    case GatherStrategy::naive:
      return "naive";
    case GatherStrategy::concatenated:
      return "concatenated";
    case GatherStrategy::broadcast:
      return "broadcast";
  }
  return "unknown";
}

TensorList Exchange::gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, LocalResults all,
                            LocalResult one) {
  const c10::NoGradGuard no_grad;
  if (alone_) {
    return all({});
  }
  plan.agreed = plan.agreed && plan.strategy == strategy && plan.owners == sharding.owners();
  switch (strategy) {
    case GatherStrategy::naive:
      return gather_naive(sharding, all);
    case GatherStrategy::concatenated:
      return gather_concatenated(plan, sharding, all);
    case GatherStrategy::broadcast:
      return gather_broadcast(plan, sharding, one);
  }
  throw InvalidArgument("gather_strategy: unknown value");
}

TensorList Exchange::gather_naive(const Sharding& sharding, LocalResults all) {
  commit();
  std::optional<Failure> failure = take_deferred();
  const double sample = take_sample();
  Params mine{{"sample", sample}};
  if (!failure) {
    failure = failures_.of([&] { mine.set("results", all({})); });
  }
  const std::vector<Params> everything = confer(mine, failure);
  if (std::ranges::any_of(everything, [&](const Params& theirs) {
        return unlike_samples(theirs.get<double>("sample"), everything[0].get<double>("sample"));
      })) {
    compare(method_, *arguments_);
  }
  TensorList results(static_cast<std::size_t>(sharding.num_items()));
  for (int r = 0; r < static_cast<int>(everything.size()); ++r) {
    const auto theirs = everything[static_cast<std::size_t>(r)].get<TensorList>("results");
    const std::vector<std::int64_t>& items = sharding.items_of(r);
    for (std::size_t k = 0; k < items.size(); ++k) {
      results[static_cast<std::size_t>(items[k])] = theirs[k].to(device_);
    }
  }
  return results;
}

TensorList Exchange::gather_concatenated(GatherPlan& plan, const Sharding& sharding, LocalResults all) {
  const std::vector<std::int64_t>& own = sharding.items_of(rank());
  std::optional<Failure> failure = take_deferred();
  TensorList mine;
  bool computed = false;
  const double sample = take_sample();
  NewPlan made([&] { plan.agreed = false; });
  while (true) {
    ResultMemory* memory = plan.agreed ? &plan.results.take() : nullptr;
    TensorList places;
    for (std::size_t k = 0; k < own.size() && memory != nullptr; ++k) {
      places.push_back(tensor_of(plan, *memory, own[k]));
    }
    commit();
    if (!computed && !failure) {
      failure = failures_.of([&] { mine = all(places); });
      computed = true;
    }
    if (memory != nullptr) {
      bool changed = false;
      for (std::size_t k = 0; k < mine.size() && !failure; ++k) {
        if (fits(plan.entries[static_cast<std::size_t>(own[k])], mine[k])) {
          failure = failures_.of([&] { copy_into(places[k], mine[k]); });
        } else {
          changed = true;
        }
      }
      at::Tensor bytes = memory->whole();
      write_header(bytes, plan.headers[static_cast<std::size_t>(rank())],
                   {.confer = failure || changed, .sample = sample});
      communicator_->all_gather_v_inplace(bytes, plan.counts);
      const Verdict verdict = read_headers(bytes, plan.headers);
      if (!verdict.confer) [[likely]] {
        if (verdict.unlike) [[unlikely]] {
          compare(method_, *arguments_);
        }
        return all_tensors(plan, *memory, own, std::move(places));
      }
    }
    const std::vector<Params> layouts = confer(layout_of(mine), failure);
    made.begin();
    plan_gather(plan, sharding, GatherStrategy::concatenated, layouts);
  }
}

TensorList Exchange::gather_broadcast(GatherPlan& plan, const Sharding& sharding, LocalResult one) {
  std::optional<Failure> failure = take_deferred();
  TensorList mine(sharding.items_of(rank()).size());
  const auto compute = [&](std::size_t position) {
    if (!failure && !mine[position].defined()) {
      failure = failures_.of([&] { mine[position] = one(position); });
    }
  };
  const double sample = take_sample();
  NewPlan made([&] { plan.agreed = false; });
  while (true) {
    if (plan.agreed) {
      const ResultMemory& memory = plan.results.take();
      commit();
      at::Tensor bytes = memory.whole();
      std::vector<at::Tensor> segments;
      std::vector<Pending> pending;
      std::size_t position = 0;
      for (std::size_t i = 0; i < plan.entries.size(); ++i) {
        const GatherPlan::Entry& entry = plan.entries[i];
        const int owner = sharding.owner(static_cast<std::int64_t>(i));
        if (owner == rank()) {
          compute(position);
          const bool changed = !failure && !fits(entry, mine[position]);
          if (!failure && !changed) {
            failure = failures_.of([&] {
              at::Tensor place = tensor_of(plan, memory, static_cast<std::int64_t>(i));
              copy_into(place, mine[position]);
            });
          }
          write_header(bytes, plan.headers[i], {.confer = failure || changed, .sample = sample});
          ++position;
        }
        segments.push_back(
            tensor_at(bytes.storage(), plan.headers[i], {header_bytes + aligned(entry.nbytes)}, at::kByte, bytes));
        pending.push_back(communicator_->start_broadcast(segments.back(), owner));
      }
      for (Pending& broadcast : pending) {
        broadcast.wait();
      }
      const Verdict verdict = read_headers(bytes, plan.headers);
      if (!verdict.confer) [[likely]] {
        if (verdict.unlike) [[unlikely]] {
          compare(method_, *arguments_);
        }
        return all_tensors(plan, memory, {}, {});
      }
    }
    for (std::size_t position = 0; position < mine.size(); ++position) {
      compute(position);
    }
    const std::vector<Params> layouts = confer(failure ? Params() : layout_of(mine), failure);
    made.begin();
    plan_gather(plan, sharding, GatherStrategy::broadcast, layouts);
  }
}

void Exchange::plan_gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy,
                           const std::vector<Params>& layouts) {
  plan.entries.assign(static_cast<std::size_t>(sharding.num_items()), {});
  for (int r = 0; r < static_cast<int>(layouts.size()); ++r) {
    const Params& theirs = layouts[static_cast<std::size_t>(r)];
    const auto dtypes = theirs.get<std::vector<std::int64_t>>("dtypes");
    const auto dims = theirs.get<std::vector<std::int64_t>>("dims");
    const auto sizes = theirs.get<std::vector<std::int64_t>>("sizes");
    const std::vector<std::int64_t>& items = sharding.items_of(r);
    auto next_size = sizes.begin();
    for (std::size_t k = 0; k < items.size(); ++k) {
      GatherPlan::Entry& entry = plan.entries[static_cast<std::size_t>(items[k])];
      entry.dtype = static_cast<at::ScalarType>(dtypes[k]);
      entry.sizes.assign(next_size, next_size + dims[k]);
      next_size += dims[k];
      entry.nbytes = c10::multiply_integers(entry.sizes) * static_cast<std::int64_t>(c10::elementSize(entry.dtype));
    }
  }
  // Concatenated: a header and a segment for each rank. Broadcast: a header for each operator.
  plan.headers.clear();
  plan.counts.assign(layouts.size(), 0);
  std::int64_t offset = 0;
  const auto add_header = [&] {
    plan.headers.push_back(offset);
    offset += header_bytes;
  };
  const auto add = [&](GatherPlan::Entry& entry) {
    entry.offset = offset;
    offset += aligned(entry.nbytes);
  };
  if (strategy == GatherStrategy::broadcast) {
    for (GatherPlan::Entry& entry : plan.entries) {
      add_header();
      add(entry);
    }
  } else {
    for (std::size_t r = 0; r < layouts.size(); ++r) {
      const std::int64_t start = offset;
      add_header();
      for (const std::int64_t item : sharding.items_of(static_cast<int>(r))) {
        add(plan.entries[static_cast<std::size_t>(item)]);
      }
      plan.counts[r] = offset - start;
    }
  }
  std::vector<ResultMemory::Piece> pieces;
  pieces.reserve(plan.entries.size());
  for (const GatherPlan::Entry& entry : plan.entries) {
    pieces.push_back({entry.offset, entry.nbytes});
  }
  plan.results.set_layout(offset, at::kByte, device_, std::move(pieces));
  if (strategy == GatherStrategy::concatenated) {
    plan.results.provide_visible(*communicator_);
    if (device_.is_cpu()) {
      communicator_->provide_gather(plan.counts);
    }
  }
  plan.agreed = true;
  plan.strategy = strategy;
  plan.owners = sharding.owners();
}

}  // namespace adjoin
