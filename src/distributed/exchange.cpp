#include "adjoin/distributed/exchange.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "adjoin/core/serialize.hpp"
#include "adjoin/core/sole_holder.hpp"
#include "adjoin/physics/fused.hpp"

namespace adjoin {

namespace {

// Elements that travel behind the payload of a reduction: how many ranks failed, must plan anew, must agree anew.
constexpr std::int64_t status_elements = 3;
// Bytes of a segment's status header; also the alignment of what follows it.
constexpr std::int64_t header_bytes = 64;
// Results of one kind that may wait for their next use.
constexpr std::size_t max_held = 3;

struct Status {
  bool failed = false;
  bool changed = false;
  bool stale = false;
};

std::int64_t aligned(std::int64_t bytes) { return (bytes + header_bytes - 1) / header_bytes * header_bytes; }

std::int64_t numel_of(at::IntArrayRef sizes) {
  std::int64_t numel = 1;
  for (const std::int64_t size : sizes) {
    numel *= size;
  }
  return numel;
}

// A contiguous tensor in the memory of `base`, `byte_offset` bytes from its start. Made directly: going through
// narrow, view and reshape costs microseconds.
at::Tensor alias(const at::Tensor& base, std::int64_t byte_offset, at::IntArrayRef sizes, at::ScalarType dtype) {
  at::Tensor view = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(base.storage()), base.key_set(),
                                                             c10::scalarTypeToTypeMeta(dtype));
  view.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  view.unsafeGetTensorImpl()->set_storage_offset(
      (base.storage_offset() * static_cast<std::int64_t>(base.element_size()) + byte_offset) /
      static_cast<std::int64_t>(c10::elementSize(dtype)));
  return view;
}

// Copies `from` to `to`, of equal shape, unless it lies there; a plain copy of memory where that is right.
void copy_into(at::Tensor& to, const at::Tensor& from) {
  if (from.numel() == 0 || from.const_data_ptr() == to.const_data_ptr()) {
    return;
  }
  if (to.is_cpu() && from.is_cpu() && to.scalar_type() == from.scalar_type() && from.is_contiguous() &&
      !from.is_conj() && !from.is_neg()) {
    std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
  } else {
    to.copy_(from);
  }
}

// Calls f with the C++ type of a CPU tensor of a common dtype and returns true; false for other dtypes and devices.
template <class F>
bool with_cpu_type(const at::Tensor& t, F f) {
  if (!t.is_cpu()) {
    return false;
  }
  switch (t.scalar_type()) {
    case at::kFloat:
      f(float{});
      return true;
    case at::kDouble:
      f(double{});
      return true;
    case at::kComplexFloat:
      f(c10::complex<float>{});
      return true;
    case at::kComplexDouble:
      f(c10::complex<double>{});
      return true;
    default:
      return false;
  }
}

// The status behind `numel` elements of a flat tensor.
void write_status(at::Tensor& flat, std::int64_t numel, Status status) {
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    T* words = static_cast<T*>(flat.mutable_data_ptr()) + numel;
    words[0] = static_cast<T>(status.failed ? 1.0F : 0.0F);
    words[1] = static_cast<T>(status.changed ? 1.0F : 0.0F);
    words[2] = static_cast<T>(status.stale ? 1.0F : 0.0F);
  });
  if (!done) {
    flat.narrow(0, numel, 1).fill_(status.failed ? 1 : 0);
    flat.narrow(0, numel + 1, 1).fill_(status.changed ? 1 : 0);
    flat.narrow(0, numel + 2, 1).fill_(status.stale ? 1 : 0);
  }
}

Status read_status(const at::Tensor& flat, std::int64_t numel) {
  Status status;
  const bool done = with_cpu_type(flat, [&](auto zero) {
    using T = decltype(zero);
    const T* words = static_cast<const T*>(flat.const_data_ptr()) + numel;
    status = {words[0] != zero, words[1] != zero, words[2] != zero};
  });
  if (!done) {
    const at::Tensor words = flat.narrow(0, numel, status_elements).ne(0).cpu();
    const auto* flags = static_cast<const bool*>(words.const_data_ptr());
    status = {flags[0], flags[1], flags[2]};
  }
  return status;
}

// The status header of a segment of a byte buffer.
void write_header(at::Tensor& buffer, std::int64_t offset, Status status) {
  const std::array<std::uint8_t, 2> words = {static_cast<std::uint8_t>(status.failed),
                                             static_cast<std::uint8_t>(status.changed)};
  if (buffer.is_cpu()) {
    std::memcpy(static_cast<std::uint8_t*>(buffer.mutable_data_ptr()) + offset, words.data(), words.size());
  } else {
    buffer.narrow(0, offset, 1).fill_(words[0]);
    buffer.narrow(0, offset + 1, 1).fill_(words[1]);
  }
}

Status read_headers(const at::Tensor& buffer, const std::vector<std::int64_t>& offsets) {
  Status status;
  for (const std::int64_t offset : offsets) {
    const at::Tensor words = buffer.is_cpu() ? buffer : buffer.narrow(0, offset, 2).cpu();
    const auto* bytes = static_cast<const std::uint8_t*>(words.const_data_ptr()) + (buffer.is_cpu() ? offset : 0);
    status.failed = status.failed || bytes[0] != 0;
    status.changed = status.changed || bytes[1] != 0;
  }
  return status;
}

std::vector<Params> exchange_params(Communicator& communicator, const Params& mine) {
  std::vector<Params> all;
  for (const std::string& bytes : communicator.all_gather_bytes(serialize(mine))) {
    all.push_back(deserialize_params(bytes));
  }
  return all;
}

bool any_failed(const std::vector<Params>& all) {
  return std::ranges::any_of(all, [](const Params& p) { return p.contains("failed"); });
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

void ResultPool::provide_visible(Communicator& communicator, std::int64_t numel, at::ScalarType dtype,
                                 at::Device device) {
  visible_.clear();
  for (int result = 0; result < 2 && device.is_cpu(); ++result) {
    if (at::Tensor tensor = communicator.visible(numel, dtype); tensor.defined()) {
      visible_.push_back(std::move(tensor));
    }
  }
}

at::Tensor ResultPool::take(std::int64_t numel, at::ScalarType dtype, at::Device device) {
  for (const std::vector<at::Tensor>* tensors : {&visible_, &held_}) {
    for (const at::Tensor& held : *tensors) {
      if (is_sole_holder(held) && held.numel() == numel && held.scalar_type() == dtype && held.device() == device) {
        return held;
      }
    }
  }
  at::Tensor fresh = at::empty({numel}, at::TensorOptions(dtype).device(device));
  if (held_.size() == max_held) {
    held_.erase(held_.begin());
  }
  held_.push_back(fresh);
  return fresh;
}

Exchange::Exchange(std::shared_ptr<Communicator> communicator, at::Device device, std::vector<std::int64_t> indices)
    : communicator_(std::move(communicator)), device_(device), indices_(std::move(indices)) {}

// ---- Failures ----------------------------------------------------------------------------------------------------

Exchange::Failure Exchange::describe(const std::exception_ptr& exception) const {
  try {
    std::rethrow_exception(exception);
  } catch (const RankFailure& e) {
    return {e.rank, e.operator_index, e.reason, exception};
  } catch (const OperatorFailure& e) {
    const bool known = e.index >= 0 && e.index < static_cast<std::int64_t>(indices_.size());
    return {rank(), known ? indices_[static_cast<std::size_t>(e.index)] : e.index, e.what(), exception};
  } catch (const c10::Error& e) {
    return {rank(), -1, e.what_without_backtrace(), exception};
  } catch (const std::exception& e) {
    return {rank(), -1, e.what(), exception};
  } catch (...) {
    return {rank(), -1, "an exception of unknown type", exception};
  }
}

void Exchange::defer(const std::exception_ptr& exception) {
  if (!deferred_) {
    deferred_ = describe(exception);
  }
}

std::optional<Exchange::Failure> Exchange::take_deferred() { return std::exchange(deferred_, std::nullopt); }

void Exchange::throw_local(std::exception_ptr exception) const {
  const Failure failure = describe(exception);
  try {
    std::rethrow_exception(std::move(exception));
  } catch (...) {
    std::throw_with_nested(RankFailure(failure.rank, failure.operator_index, failure.reason));
  }
}

void Exchange::throw_agreed(const std::optional<Failure>& mine) {
  Params report;
  if (mine) {
    report.set("rank", std::int64_t{mine->rank}).set("operator", mine->operator_index).set("reason", mine->reason);
  }
  const std::vector<Params> all = exchange_params(*communicator_, report);
  for (int r = 0; r < static_cast<int>(all.size()); ++r) {
    const Params& theirs = all[static_cast<std::size_t>(r)];
    if (theirs.empty()) {
      continue;
    }
    if (r == rank()) {
      throw_local(mine->exception);
    }
    const auto first = [&] {
      return RankFailure(static_cast<int>(theirs.get<std::int64_t>("rank")), theirs.get<std::int64_t>("operator"),
                         theirs.get<std::string>("reason"));
    };
    if (!mine) {
      throw first();
    }
    // The same error as everywhere, around what failed on this rank.
    try {
      std::rethrow_exception(mine->exception);
    } catch (...) {
      std::throw_with_nested(first());
    }
  }
  throw CommunicationError("a rank reported a failure but did not say which");
}

// ---- Reduce ------------------------------------------------------------------------------------------------------

at::Tensor Exchange::reduce(const char* what, ReducePlan& plan, Partial partial, const ReduceOptions& options) {
  const c10::NoGradGuard no_grad;
  std::optional<Failure> failure = take_deferred();
  if (alone()) {
    try {
      if (failure) {
        std::rethrow_exception(failure->exception);
      }
      return partial({});
    } catch (...) {
      throw_local(std::current_exception());
    }
  }

  const bool in_place = options.by_images && options.memory == Memory::own;
  const std::int64_t behind = in_place ? 0 : status_elements;  // the images
  const auto make_plan = [&](const at::Tensor& like) {
    plan_reduce(what, plan, like, failure);
    if (options.memory == Memory::own) {
      plan.results.provide_visible(*communicator_, numel_of(plan.sizes) + behind, plan.dtype, device_);
    }
  };
  if (!plan.buffer && options.like.defined()) {
    make_plan(options.like);
  }
  at::Tensor output;
  at::Tensor payload;
  const auto place_payload = [&] {
    if (plan.buffer) {
      if (options.memory == Memory::own) {
        output = plan.results.take(numel_of(plan.sizes) + behind, plan.dtype, device_);
      }
      payload = alias(in_place ? output : plan.buffer->input(), 0, plan.sizes, plan.dtype);
    }
  };
  place_payload();
  at::Tensor mine;
  if (!failure) {
    try {
      mine = partial(payload);
    } catch (...) {
      failure = describe(std::current_exception());
    }
  }
  if (!plan.buffer) {
    make_plan(mine);
    place_payload();
  }
  while (true) {
    const std::int64_t numel = numel_of(plan.sizes);
    at::Tensor input = plan.buffer->input();
    const bool changed = mine.defined() && (mine.sizes() != plan.sizes || mine.scalar_type() != plan.own_dtype);
    if (!failure && !changed) {
      if (!mine.defined()) {
        payload.zero_();
      } else {
        copy_into(payload, mine);
        if (mine.scalar_type() == plan.dtype) {
          mine = payload;  // its own memory is not needed any more
        }
      }
    }
    write_status(input, numel, {failure.has_value(), changed, options.stale != nullptr && *options.stale});
    if (in_place) {
      plan.buffer->all_gather(output, plan.counts);
    } else if (options.memory == Memory::own) {
      plan.buffer->all_reduce(output);
    } else {
      output = options.by_images ? plan.buffer->all_gather_shared(plan.counts) : plan.buffer->all_reduce_shared();
    }
    const Status status = read_status(options.by_images ? input : output, numel);
    if (status.failed) [[unlikely]] {
      throw_agreed(failure);
    }
    if (status.stale) [[unlikely]] {
      *options.stale = true;
      return {};
    }
    if (!status.changed) [[likely]] {
      return alias(output, 0, plan.sizes, plan.dtype);
    }
    if (mine.defined()) {
      mine = mine.clone();  // it may lie in the buffer that is about to go
    }
    make_plan(mine);
    place_payload();
  }
}

void Exchange::plan_reduce(const char* what, ReducePlan& plan, const at::Tensor& mine,
                           std::optional<Failure>& failure) {
  Params layout;
  if (failure) {
    layout.set("failed", true);
  } else if (mine.defined()) {
    layout.set("sizes", mine.sizes().vec()).set("dtype", static_cast<std::int64_t>(mine.scalar_type()));
  }
  const std::vector<Params> all = exchange_params(*communicator_, layout);
  if (any_failed(all)) {
    throw_agreed(failure);
  }
  std::optional<std::vector<std::int64_t>> sizes;
  int first = 0;
  at::ScalarType dtype = at::kFloat;
  for (int r = 0; r < static_cast<int>(all.size()); ++r) {
    const Params& theirs = all[static_cast<std::size_t>(r)];
    if (theirs.empty()) {
      continue;
    }
    const auto their_sizes = theirs.get<std::vector<std::int64_t>>("sizes");
    const auto their_dtype = static_cast<at::ScalarType>(theirs.get<std::int64_t>("dtype"));
    if (!at::isFloatingType(their_dtype) && !at::isComplexType(their_dtype)) {
      throw RankFailure(
          r, -1, c10::str(what, ": a sum over ranks needs floating-point or complex tensors, got ", their_dtype));
    }
    if (!sizes) {
      sizes = their_sizes;
      dtype = their_dtype;
      first = r;
    } else if (*sizes != their_sizes) {
      throw RankFailure(r, -1,
                        c10::str(what, ": every rank's part must have one shape, got ", at::IntArrayRef(their_sizes),
                                 " here and ", at::IntArrayRef(*sizes), " on rank ", first));
    }
    dtype = at::promote_types(dtype, their_dtype);
  }
  if (!sizes) {
    throw RankFailure(0, -1, c10::str(what, ": no rank has anything to add up"));
  }
  plan.results.clear();
  plan.buffer.reset();
  plan.buffer = communicator_->reduce_buffer(numel_of(*sizes) + status_elements, dtype, device_);
  plan.sizes = *sizes;
  plan.dtype = dtype;
  plan.counts.clear();
  for (int r = 0; r < communicator_->size(); ++r) {
    plan.counts.push_back(images_of_part(plan.sizes, r, communicator_->size()).numel);
  }
  plan.own_dtype = mine.defined() ? mine.scalar_type() : dtype;
}

// ---- Gather ------------------------------------------------------------------------------------------------------

TensorList Exchange::gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, LocalResults all,
                            LocalResult one) {
  const c10::NoGradGuard no_grad;
  if (alone()) {
    try {
      if (std::optional<Failure> failure = take_deferred()) {
        std::rethrow_exception(failure->exception);
      }
      return all({});
    } catch (...) {
      throw_local(std::current_exception());
    }
  }
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
  std::optional<Failure> failure = take_deferred();
  Params message;
  if (!failure) {
    try {
      message.set("results", all({}));
    } catch (...) {
      failure = describe(std::current_exception());
    }
  }
  if (failure) {
    message = Params{{"failed", true}};
  }
  const std::vector<Params> everything = exchange_params(*communicator_, message);
  if (any_failed(everything)) {
    throw_agreed(failure);
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

namespace {

bool fits(const GatherPlan::Entry& entry, const at::Tensor& result) {
  return result.sizes() == entry.sizes && result.scalar_type() == entry.dtype;
}

at::Tensor slot(const at::Tensor& buffer, const GatherPlan::Entry& entry) {
  return alias(buffer, entry.offset, entry.sizes, entry.dtype);
}

std::int64_t total_bytes(const GatherPlan& plan) {
  std::int64_t total = 0;
  for (const std::int64_t count : plan.counts) {
    total += count;
  }
  return total;
}

}  // namespace

TensorList Exchange::gather_concatenated(GatherPlan& plan, const Sharding& sharding, LocalResults all) {
  std::optional<Failure> failure = take_deferred();
  at::Tensor buffer;
  TensorList places;
  const auto take_buffer = [&] {
    buffer = plan.results.take(total_bytes(plan), at::kByte, device_);
    places = TensorList();
    for (const std::int64_t index : indices_) {
      places.push_back(slot(buffer, plan.entries[static_cast<std::size_t>(index)]));
    }
  };
  if (plan.agreed) {
    take_buffer();
  }
  TensorList mine;
  if (!failure) {
    try {
      mine = all(places);
    } catch (...) {
      failure = describe(std::current_exception());
    }
  }
  if (!plan.agreed) {
    plan_gather(plan, sharding, GatherStrategy::concatenated, mine, failure);
  }
  while (true) {
    if (!buffer.defined()) {
      take_buffer();
    }
    bool changed = false;
    for (std::size_t k = 0; k < mine.size() && !failure; ++k) {
      const GatherPlan::Entry& entry = plan.entries[static_cast<std::size_t>(indices_[k])];
      if (fits(entry, mine[k])) {
        copy_into(places[k], mine[k]);
      } else {
        changed = true;
      }
    }
    write_header(buffer, plan.headers[static_cast<std::size_t>(rank())], {failure.has_value(), changed});
    communicator_->all_gather_v_inplace(buffer, plan.counts);
    const Status status = read_headers(buffer, plan.headers);
    if (status.failed) [[unlikely]] {
      throw_agreed(failure);
    }
    if (!status.changed) [[likely]] {
      return views(plan, buffer);
    }
    plan_gather(plan, sharding, GatherStrategy::concatenated, mine, failure);
    buffer.reset();
  }
}

TensorList Exchange::gather_broadcast(GatherPlan& plan, const Sharding& sharding, LocalResult one) {
  std::optional<Failure> failure = take_deferred();
  TensorList mine(indices_.size());
  const auto compute = [&](std::size_t position) {
    if (failure || mine[position].defined()) {
      return;
    }
    try {
      mine[position] = one(position);
    } catch (...) {
      failure = describe(std::current_exception());
    }
  };
  if (!plan.agreed) {
    for (std::size_t k = 0; k < indices_.size(); ++k) {
      compute(k);
    }
    plan_gather(plan, sharding, GatherStrategy::broadcast, mine, failure);
  }
  while (true) {
    at::Tensor buffer = plan.results.take(total_bytes(plan), at::kByte, device_);
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
          at::Tensor place = slot(buffer, entry);
          copy_into(place, mine[position]);
        }
        write_header(buffer, plan.headers[i], {failure.has_value(), changed});
        ++position;
      }
      segments.push_back(alias(buffer, plan.headers[i], {header_bytes + aligned(entry.nbytes)}, at::kByte));
      pending.push_back(communicator_->start_broadcast(segments.back(), owner));
    }
    for (Pending& broadcast : pending) {
      broadcast.wait();
    }
    const Status status = read_headers(buffer, plan.headers);
    if (status.failed) [[unlikely]] {
      throw_agreed(failure);
    }
    if (!status.changed) [[likely]] {
      segments.clear();
      return views(plan, buffer);
    }
    plan_gather(plan, sharding, GatherStrategy::broadcast, mine, failure);
  }
}

void Exchange::plan_gather(GatherPlan& plan, const Sharding& sharding, GatherStrategy strategy, const TensorList& mine,
                           std::optional<Failure>& failure) {
  Params layout;
  if (failure) {
    layout.set("failed", true);
  } else {
    std::vector<std::int64_t> dtypes;
    std::vector<std::int64_t> dims;
    std::vector<std::int64_t> sizes;
    for (const at::Tensor& result : mine) {
      dtypes.push_back(static_cast<std::int64_t>(result.scalar_type()));
      dims.push_back(result.dim());
      sizes.insert(sizes.end(), result.sizes().begin(), result.sizes().end());
    }
    layout.set("dtypes", dtypes).set("dims", dims).set("sizes", sizes);
  }
  const std::vector<Params> all = exchange_params(*communicator_, layout);
  if (any_failed(all)) {
    throw_agreed(failure);
  }

  plan.results.clear();
  plan.entries.assign(static_cast<std::size_t>(sharding.num_items()), {});
  for (int r = 0; r < static_cast<int>(all.size()); ++r) {
    const Params& theirs = all[static_cast<std::size_t>(r)];
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
      entry.nbytes = numel_of(entry.sizes) * static_cast<std::int64_t>(c10::elementSize(entry.dtype));
    }
  }
  // Concatenated: a header and a segment for each rank. Broadcast: a header for each operator.
  plan.headers.clear();
  plan.counts.assign(all.size(), 0);
  std::int64_t offset = 0;
  const auto lay_out = [&](GatherPlan::Entry& entry) {
    entry.offset = offset;
    offset += aligned(entry.nbytes);
  };
  if (strategy == GatherStrategy::broadcast) {
    for (GatherPlan::Entry& entry : plan.entries) {
      plan.headers.push_back(offset);
      offset += header_bytes;
      lay_out(entry);
    }
    plan.counts[0] = offset;
  } else {
    for (int r = 0; r < static_cast<int>(all.size()); ++r) {
      const std::int64_t start = offset;
      plan.headers.push_back(offset);
      offset += header_bytes;
      for (const std::int64_t item : sharding.items_of(r)) {
        lay_out(plan.entries[static_cast<std::size_t>(item)]);
      }
      plan.counts[static_cast<std::size_t>(r)] = offset - start;
    }
  }
  if (strategy == GatherStrategy::concatenated) {
    plan.results.provide_visible(*communicator_, total_bytes(plan), at::kByte, device_);
  }
  plan.agreed = true;
}

TensorList Exchange::views(const GatherPlan& plan, const at::Tensor& buffer) const {
  TensorList results;
  results.reserve(plan.entries.size());
  for (const GatherPlan::Entry& entry : plan.entries) {
    results.push_back(alias(buffer, entry.offset, entry.sizes, entry.dtype));
  }
  return results;
}

// ---- Agree -------------------------------------------------------------------------------------------------------

void Exchange::agree(const char* what, const std::string& options, c10::function_ref<void()> local) {
  std::optional<Failure> failure = take_deferred();
  if (!failure) {
    try {
      local();
    } catch (...) {
      failure = describe(std::current_exception());
    }
  }
  if (alone()) {
    if (failure) {
      throw_local(failure->exception);
    }
    return;
  }
  // 52 bits of the hash survive in a double; the largest of h and of -h are opposite only if all are equal.
  const auto hash = static_cast<double>(std::hash<std::string>{}(options) >> 12U);
  std::array<double, 3> message = {failure ? 1.0 : 0.0, hash, -hash};
  communicator_->all_reduce(message, ReduceOp::max);
  if (message[0] > 0.0) {
    throw_agreed(failure);
  }
  if (message[1] != -message[2]) {
    const std::vector<std::string> all = communicator_->all_gather_bytes(options);
    const auto unlike = std::ranges::find_if(all, [&](const std::string& o) { return o != all[0]; });
    throw RankFailure(
        static_cast<int>(unlike - all.begin()), -1,
        c10::str(what, ": options must be equal on every rank, got ", *unlike, " here and ", all[0], " on rank 0"));
  }
}

double Exchange::agree_min(double value) {
  std::optional<Failure> failure = take_deferred();
  if (alone()) {
    if (failure) {
      throw_local(failure->exception);
    }
    return value;
  }
  std::array<double, 2> message = {failure ? 1.0 : 0.0, -value};
  communicator_->all_reduce(message, ReduceOp::max);
  if (message[0] > 0.0) {
    throw_agreed(failure);
  }
  return -message[1];
}

void Exchange::sum(std::span<c10::complex<double>> values) {
  std::optional<Failure> failure = take_deferred();
  if (alone()) {
    if (failure) {
      throw_local(failure->exception);
    }
    return;
  }
  message_.assign(1, failure ? 1.0 : 0.0);
  for (const c10::complex<double>& value : values) {
    message_.push_back(value.real());
    message_.push_back(value.imag());
  }
  communicator_->all_reduce(std::span<double>(message_));
  if (message_[0] > 0.0) {
    throw_agreed(failure);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = {message_[1 + 2 * i], message_[2 + 2 * i]};
  }
}

}  // namespace adjoin
