// SPDX-License-Identifier: BSD-3-Clause
// How torch's backends make each collective: what none of them does, sums of complex numbers or parts of unlike
// lengths, is made of what they do.
#include "comm/backend/group_collectives.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/sole_holder.hpp"
#include "comm/and_then.hpp"
#include "comm/backend/reducible.hpp"
#include "comm/backend/staging.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin {

namespace {

/// Of the messages of exchanges; what users send has other tags as a rule.
constexpr int exchange_tag = 0x61646a;
/// Up to this size a gather is as quick by the backend's own.
constexpr std::int64_t small_gather_bytes = std::int64_t{64} << 10;

/// The bytes of each rank's part of the flat `buffer`.
std::vector<at::Tensor> bytes_of_parts(const at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const at::Tensor bytes = as_bytes(buffer);
  const auto item = static_cast<std::int64_t>(buffer.element_size());
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t count : counts) {
    parts.push_back(count > 0 ? bytes.narrow(0, begin, count * item) : at::Tensor());
    begin += count * item;
  }
  return parts;
}

}  // namespace

GroupCollectives::GroupCollectives(ProcessGroupPtr group, std::shared_ptr<GroupWaiter> waiter,
                                   std::optional<std::chrono::milliseconds> timeout)
    : rank_(group->getRank()),
      size_(group->getSize()),
      devices_(std::move(group)),
      waiter_(std::move(waiter)),
      timeout_(timeout) {}

template <class Start>
c10::intrusive_ptr<c10d::Work> GroupCollectives::between_two(const Start& start) const {
  try {
    c10::intrusive_ptr<c10d::Work> work = start();
    work->wait(timeout_.value_or(::kNoTimeout));
    return work;
  } catch (const c10::Error& e) {
    throw CommunicationError(c10::str("torch.distributed: ", e.what_without_backtrace()));
  } catch (const std::exception& e) {
    throw CommunicationError(c10::str("torch.distributed: ", e.what()));
  }
}

void GroupCollectives::send(const at::Tensor& tensor, int to, int tag) {
  const c10::NoGradGuard no_grad;
  const at::Tensor moved = devices_.on_backend(tensor);
  std::vector<at::Tensor> tensors = {as_bytes(moved)};
  between_two([&] { return devices_.backend_of(moved)->send(tensors, to, tag); });
}

int GroupCollectives::recv(at::Tensor& tensor, int from, int tag) {
  const c10::NoGradGuard no_grad;
  const at::Tensor moved = devices_.on_backend(tensor);
  std::vector<at::Tensor> tensors = {as_bytes(moved)};
  const auto work = between_two([&] {
    const auto backend = devices_.backend_of(moved);
    return from < 0 ? backend->recvAnysource(tensors, tag) : backend->recv(tensors, from, tag);
  });
  unstage(moved, tensor);
  return from < 0 ? work->sourceRank() : from;
}

bool GroupCollectives::exchanges() const { return devices_.backend_of_host()->getBackendName() == "gloo"; }

// Gloo sends when it has heard that the other rank receives, by a message that goes behind what was sent before: so all
// receive first. Its own collectives send first, and then often in one direction after the other.
Pending GroupCollectives::start_exchange(const std::vector<at::Tensor>& sends,
                                         const std::vector<at::Tensor>& receives) {
  std::vector<at::Tensor> all = sends;
  all.insert(all.end(), receives.begin(), receives.end());
  auto work = std::make_unique<GroupWork>(waiter_, std::move(all), GroupWork::Finish{}, timeout_);
  const auto backend = devices_.backend_of_host();
  const auto for_each = [&](const std::vector<at::Tensor>& messages, const auto& start) {
    for (int r = 0; r < size_; ++r) {
      std::vector<at::Tensor> one = {messages[static_cast<std::size_t>(r)]};
      if (one.front().defined()) {
        work->add([&] { return start(one, r); });
      }
    }
  };
  for_each(receives, [&](std::vector<at::Tensor>& one, int r) { return backend->recv(one, r, exchange_tag); });
  for_each(sends, [&](std::vector<at::Tensor>& one, int r) { return backend->send(one, r, exchange_tag); });
  return Pending(std::move(work));
}

template <class Options>
void GroupCollectives::limit(Options& options) const {
  if (timeout_) {
    options.timeout = *timeout_;
  }
}

/// No backend multiplies complex numbers: they are gathered and multiplied here.
Pending GroupCollectives::start_complex_product(const at::Tensor& tensor) {
  const bool half = tensor.scalar_type() == at::kComplexHalf;
  const at::Tensor factor = tensor.view({-1}).to(half ? at::kComplexFloat : tensor.scalar_type());
  at::Tensor factors = at::empty({size_, tensor.numel()}, factor.options());
  factors[rank_].copy_(factor);
  Pending gathered =
      start_all_gather_v(factors, std::vector<std::int64_t>(static_cast<std::size_t>(size_), tensor.numel()));
  return and_then(std::move(gathered), [factors, product = tensor] {
    const c10::NoGradGuard no_grad;
    product.copy_(factors.prod(0).view(product.sizes()));
  });
}

Pending GroupCollectives::start_all_reduce(at::Tensor& tensor, ReduceOp op) {
  const c10::NoGradGuard no_grad;
  if (tensor.is_complex() && op == ReduceOp::product) {
    return start_complex_product(tensor);
  }
  Reducible reducible = as_reducible(tensor, op);
  reducible.tensor = devices_.on_backend(reducible.tensor);
  GroupWork::Finish finish;
  if (!reducible.tensor.is_alias_of(tensor)) {
    finish = [tensor, reducible] {
      (tensor.is_complex() ? at::view_as_real(tensor) : tensor).copy_(reducible.values_of(reducible.tensor));
    };
  }
  auto work = std::make_unique<GroupWork>(waiter_, std::vector{tensor, reducible.tensor}, std::move(finish));
  std::vector<at::Tensor> tensors = {reducible.tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = reducible.op;
  limit(options);
  work->add([&] { return devices_.backend_of(reducible.tensor)->allreduce(tensors, options); });
  return Pending(std::move(work));
}

bool GroupCollectives::is_sent_by_broadcasts(const std::vector<std::int64_t>& counts, std::int64_t total) const {
  return std::ranges::max(counts) * size_ > 2 * total;
}

bool GroupCollectives::is_exchanged(std::int64_t bytes) const { return bytes > small_gather_bytes && exchanges(); }

at::Tensor GroupCollectives::gathering_memory(std::int64_t numel, const at::Tensor& buffer) const {
  const bool is_provided = buffer.is_cpu() && buffer.scalar_type() == at::kByte && gathering_.defined() &&
                           gathering_.numel() >= numel && is_sole_holder(gathering_);
  return is_provided ? gathering_.narrow(0, 0, numel) : at::empty({numel}, buffer.options());
}

void GroupCollectives::add_broadcast(GroupWork& work, const at::Tensor& tensor, int root) const {
  std::vector<at::Tensor> tensors = {as_bytes(tensor)};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  limit(options);
  work.add([&] { return devices_.backend_of(tensor)->broadcast(tensors, options); });
}

Pending GroupCollectives::start_broadcasts(const at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const at::Tensor moved = devices_.on_backend(buffer.view({-1}));
  GroupWork::Finish finish;
  if (moved.device() != buffer.device()) {
    finish = [buffer, moved] { buffer.copy_(moved.view(buffer.sizes())); };
  }
  auto work = std::make_unique<GroupWork>(waiter_, std::vector{buffer, moved}, std::move(finish));
  std::int64_t begin = 0;
  for (int root = 0; root < size_; ++root) {
    const std::int64_t count = counts[static_cast<std::size_t>(root)];
    if (count > 0) {
      add_broadcast(*work, moved.narrow(0, begin, count), root);
    }
    begin += count;
  }
  return Pending(std::move(work));
}

/// Backends gather equal parts. Unequal ones are padded, or broadcast one by one where that moves much less; or all are
/// sent from rank to rank.
Pending GroupCollectives::start_all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  if (buffer.is_cpu() && is_exchanged(static_cast<std::int64_t>(buffer.nbytes()))) {
    std::vector<at::Tensor> parts = bytes_of_parts(buffer.view({-1}), counts);
    std::vector<at::Tensor> sends(static_cast<std::size_t>(size_), parts[static_cast<std::size_t>(rank_)]);
    sends[static_cast<std::size_t>(rank_)].reset();
    parts[static_cast<std::size_t>(rank_)].reset();
    return start_exchange(sends, parts);
  }
  const std::int64_t longest = std::ranges::max(counts);
  const bool equal = longest * size_ == buffer.numel();
  if (is_sent_by_broadcasts(counts, buffer.numel())) {
    return start_broadcasts(buffer, counts);
  }
  const auto begin = std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0});
  const at::Tensor flat = buffer.view({-1});
  const at::Tensor memory = gathering_memory(longest * (equal ? 1 : 1 + size_), buffer);
  at::Tensor mine = memory.narrow(0, 0, longest);
  const std::int64_t count = counts[static_cast<std::size_t>(rank_)];
  mine.narrow(0, 0, count).copy_(flat.narrow(0, begin, count));
  mine.narrow(0, count, longest - count).zero_();
  mine = devices_.on_backend(mine);
  const bool in_place = equal && mine.device() == buffer.device();
  const bool has_room = !equal && mine.device() == memory.device();
  const at::Tensor all = in_place   ? flat
                         : has_room ? memory.narrow(0, longest, size_ * longest)
                                    : at::empty({size_ * longest}, mine.options());
  GroupWork::Finish finish;
  if (!in_place) {
    finish = [flat, all, counts, longest] {
      std::int64_t offset = 0;
      for (std::size_t r = 0; r < counts.size(); ++r) {
        flat.narrow(0, offset, counts[r]).copy_(all.narrow(0, static_cast<std::int64_t>(r) * longest, counts[r]));
        offset += counts[r];
      }
    };
  }
  auto work = std::make_unique<GroupWork>(waiter_, std::vector{mine, all}, std::move(finish));
  at::Tensor input = as_bytes(mine);
  at::Tensor output = as_bytes(all);
  c10d::AllgatherOptions options;
  limit(options);
  work->add([&] { return devices_.backend_of(mine)->_allgather_base(output, input, options); });
  return Pending(std::move(work));
}

void GroupCollectives::provide_gather(const std::vector<std::int64_t>& counts) {
  const std::int64_t longest = std::ranges::max(counts);
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const std::int64_t bytes = longest * (longest * size_ == total ? 1 : 1 + size_);
  const bool has_enough = is_exchanged(total) || (gathering_.defined() && gathering_.numel() >= bytes);
  if (!has_enough && !is_sent_by_broadcasts(counts, total)) {
    gathering_ = at::empty({bytes}, at::kByte);
  }
}

void GroupCollectives::scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                               ReduceOp op) {
  const c10::NoGradGuard no_grad;
  const std::int64_t own = counts[static_cast<std::size_t>(rank_)];
  const at::Tensor moved = devices_.on_backend(input);
  const std::string backend = devices_.backend_of(moved)->getBackendName();
  // Those that are known to send parts of unlike lengths from all ranks to all.
  const bool sends_parts = backend == "gloo" || backend == "nccl" || backend == "mpi" || backend == "ucc";
  if (!sends_parts || (!input.is_cpu() && op != ReduceOp::sum)) {
    at::Tensor reduced = input.clone(at::MemoryFormat::Contiguous);
    start_all_reduce(reduced, op).wait();
    output.copy_(reduced.narrow(0, std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0}), own));
    return;
  }
  const auto item = static_cast<std::int64_t>(moved.element_size());
  const bool has_room = moved.is_cpu() && scattering_.defined() && scattering_.numel() >= size_ * own * item &&
                        is_sole_holder(scattering_);
  const at::Tensor parts = has_room ? scattering_.narrow(0, 0, size_ * own * item).view(moved.scalar_type())
                                    : at::empty({size_ * own}, moved.options());
  const bool pairwise = input.is_cpu() && exchanges();
  if (pairwise) {
    std::vector<at::Tensor> sends = bytes_of_parts(input, counts);
    std::vector<at::Tensor> receives =
        bytes_of_parts(parts, std::vector<std::int64_t>(static_cast<std::size_t>(size_), own));
    sends[static_cast<std::size_t>(rank_)].reset();
    receives[static_cast<std::size_t>(rank_)].reset();
    start_exchange(sends, receives).wait();
  } else {
    all_to_all(moved, parts, counts, own);
  }
  if (own == 0) {
    return;
  }
  if (!input.is_cpu()) {
    output.copy_(parts.view({size_, own}).sum(0));
    return;
  }
  const at::Tensor here = parts.to(at::kCPU);
  std::vector<const void*> sources;
  for (int r = 0; r < size_; ++r) {
    sources.push_back(static_cast<const std::byte*>(here.const_data_ptr()) + r * own * item);
  }
  if (pairwise) {
    const std::int64_t begin = std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0});
    sources[static_cast<std::size_t>(rank_)] = static_cast<const std::byte*>(input.const_data_ptr()) + begin * item;
  }
  reduce_arrays(input.scalar_type(), op, output.mutable_data_ptr(), sources, static_cast<std::size_t>(own));
}

void GroupCollectives::all_to_all(const at::Tensor& input, const at::Tensor& parts,
                                  const std::vector<std::int64_t>& counts, std::int64_t own) const {
  const auto item = static_cast<std::int64_t>(input.element_size());
  GroupWork work(waiter_, {input, parts});
  std::vector<std::int64_t> received(static_cast<std::size_t>(size_), own * item);
  std::vector<std::int64_t> sent = counts;
  for (std::int64_t& count : sent) {
    count *= item;
  }
  at::Tensor from = as_bytes(input);
  at::Tensor to = as_bytes(parts);
  c10d::AllToAllOptions options;
  limit(options);
  work.add([&] { return devices_.backend_of(input)->alltoall_base(to, from, received, sent, options); });
  work.wait();
}

void GroupCollectives::provide_scatter(const std::vector<std::int64_t>& counts) {
  const std::int64_t bytes = size_ * counts[static_cast<std::size_t>(rank_)];
  if (!scattering_.defined() || scattering_.numel() < bytes) {
    scattering_ = at::empty({bytes}, at::kByte);
  }
}

Pending GroupCollectives::start_broadcast(at::Tensor& tensor, int root) {
  const c10::NoGradGuard no_grad;
  const at::Tensor moved = devices_.on_backend(tensor);
  GroupWork::Finish finish;
  if (!moved.is_same(tensor)) {
    finish = [tensor, moved] { tensor.copy_(moved); };
  }
  auto work = std::make_unique<GroupWork>(waiter_, std::vector{tensor, moved}, std::move(finish));
  add_broadcast(*work, moved, root);
  return Pending(std::move(work));
}

}  // namespace adjoin
