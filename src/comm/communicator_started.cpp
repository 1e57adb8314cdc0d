// SPDX-License-Identifier: BSD-3-Clause
// Collectives that are started now and waited for later, or put off until the next one of the call is made.
#include <ATen/ATen.h>

#include <utility>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/core/versions.hpp"
#include "comm/and_then.hpp"
#include "comm/argument_checks.hpp"
#include "comm/backend/staging.hpp"
#include "comm/descriptions.hpp"
#include "comm/making.hpp"

namespace adjoin {

namespace {

/// A collective on a staged copy, which returns to the tensor of the caller when it is finished.
Pending unstage_later(Pending work, const at::Tensor& staged, const at::Tensor& tensor) {
  if (staged.is_same(tensor)) {
    return work;
  }
  return and_then(std::move(work), [staged, target = tensor]() mutable { unstage(staged, target); });
}

}  // namespace

template <class Describe, class Start, class Make>
Pending Communicator::started_or_deferred(const char* method, const at::Tensor& tensor, const Describe& describe,
                                          const Start& start, Make make) {
  if (deferred_ && (!tensor.defined() || tensor.is_cpu())) {
    Pending started = deferred_->add(Making::described(*this, method, describe), std::move(make));
    count_change(tensor);
    return started;
  }
  const Making making(*this, method, describe);
  count_change(tensor);
  if (!calls_) {
    return {};
  }
  meet();
  return tensor.numel() == 0 ? Pending() : start();
}

Pending Communicator::start_all_reduce(at::Tensor& tensor, ReduceOp op) {
  constexpr const char* method = "start_all_reduce";
  const auto describe = [&] { return reduction_of(method, tensor, op); };
  const auto start = [&] {
    at::Tensor own = staged(tensor);
    return unstage_later(start_all_reduce_impl(own, op), own, tensor);
  };
  const auto make = [this, tensor, op]() mutable { reduce_in_place(tensor, op); };
  Pending started = started_or_deferred(method, tensor, describe, start, make);
  count_reduction(counters_, tensor.nbytes());
  return started;
}

Pending Communicator::start_all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  constexpr const char* method = "start_all_gather_v_inplace";
  const auto describe = [&] {
    check_gather_buffer(method, buffer, counts, size());
    return gather_of(method, buffer.scalar_type(), counts);
  };
  const auto start = [&] {
    at::Tensor own = staged(buffer);
    return unstage_later(start_all_gather_v_impl(own, counts), own, buffer);
  };
  const auto make = [this, buffer, counts]() mutable { gather_in_place(buffer, counts); };
  Pending started = started_or_deferred(method, buffer, describe, start, make);
  count_gather(counters_, buffer.nbytes());
  return started;
}

Pending Communicator::start_broadcast(at::Tensor& tensor, int root) {
  constexpr const char* method = "start_broadcast";
  const auto describe = [&] { return broadcast_of(method, tensor, root, size()); };
  const auto start = [&] {
    at::Tensor own = staged(tensor);
    Pending work = start_broadcast_impl(own, root);
    return rank() == root ? std::move(work) : unstage_later(std::move(work), own, tensor);
  };
  const auto make = [this, tensor, root]() mutable { broadcast_in_place(tensor, root); };
  Pending started = started_or_deferred(method, tensor, describe, start, make);
  count_other(counters_, tensor.nbytes());
  return started;
}

}  // namespace adjoin
