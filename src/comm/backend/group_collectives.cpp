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

/// Backends gather equal parts. Unequal ones are padded, or broadcast one by one where that moves much less.
Pending GroupCollectives::start_all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
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
  const bool has_enough = gathering_.defined() && gathering_.numel() >= bytes;
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
  const bool exchanges = backend == "gloo" || backend == "nccl" || backend == "mpi" || backend == "ucc";
  if (!exchanges || (!input.is_cpu() && op != ReduceOp::sum)) {
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
  GroupWork work(waiter_, {moved, parts});
  std::vector<std::int64_t> received(static_cast<std::size_t>(size_), own * item);
  std::vector<std::int64_t> sent = counts;
  for (std::int64_t& count : sent) {
    count *= item;
  }
  at::Tensor from = as_bytes(moved);
  at::Tensor to = as_bytes(parts);
  c10d::AllToAllOptions options;
  limit(options);
  work.add([&] { return devices_.backend_of(moved)->alltoall_base(to, from, received, sent, options); });
  work.wait();
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
  reduce_arrays(input.scalar_type(), op, output.mutable_data_ptr(), sources, static_cast<std::size_t>(own));
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
