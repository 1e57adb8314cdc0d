// SPDX-License-Identifier: BSD-3-Clause
// The public calls of reduce buffers: checked, counted and compared, with plain forms for engines that have no better
// ones.
#include "adjoin/comm/reduce_buffer.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <numeric>

#include "adjoin/core/errors.hpp"
#include "comm/argument_checks.hpp"
#include "comm/backend/staging.hpp"
#include "comm/making.hpp"

namespace adjoin {

namespace {

using Kind = CollectiveSpec::Kind;

}  // namespace

void ReduceBuffer::check_output(const char* method, const at::Tensor& output, std::int64_t numel) const {
  const at::Tensor& source = input();
  check(output.defined(), method, ": output must be a tensor, got an undefined one");
  check(output.scalar_type() == source.scalar_type(), method, ": output must have dtype ", source.scalar_type(),
        ", got ", output.scalar_type());
  check(output.numel() == numel, method, ": output must have ", numel, " elements, got ", output.numel());
  check(output.device() == source.device(), method, ": output must lie on ", source.device(), ", got ",
        output.device());
  check(is_dense(output), method, ": output must be contiguous, got strides ", output.strides());
  check(output.numel() == 0 || output.const_data_ptr() != source.const_data_ptr(), method,
        ": output must not be the buffer's input()");
}

void ReduceBuffer::check_part(const char* method, const at::Tensor& part,
                              const std::vector<std::int64_t>& counts) const {
  const std::int64_t own = counts[static_cast<std::size_t>(communicator_.rank())];
  check(part.defined() && part.scalar_type() == input().scalar_type() && part.device() == input().device() &&
            part.numel() == own && is_dense(part),
        method, ": part must be a contiguous tensor of ", own, " ", input().scalar_type(), " on ", input().device(),
        ", got ", part.defined() ? c10::str(part.scalar_type(), " ", part.sizes(), " on ", part.device()) : "none");
}

CollectiveSpec ReduceBuffer::reduction(const char* method, ReduceOp op, bool shared) const {
  const at::Tensor& source = input();
  check_reducible(method, source.scalar_type(), op);
  return {.method = method,
          .kind = shared ? Kind::shared_buffer_reduction : Kind::buffer_reduction,
          .dtype = source.scalar_type(),
          .op = op,
          .numel = source.numel(),
          .buffer = number_};
}

CollectiveSpec ReduceBuffer::gather(const char* method, const std::vector<std::int64_t>& counts, bool shared) const {
  check_counts(method, counts, communicator_.size());
  check(sum_of(counts) <= input().numel(), method, ": counts must add up to at most ", input().numel(), ", got ",
        counts);
  check_reducible(method, input().scalar_type(), ReduceOp::sum);
  return {.method = method,
          .kind = shared ? Kind::shared_buffer_gather : Kind::buffer_gather,
          .dtype = input().scalar_type(),
          .numel = input().numel(),
          .sizes = counts,
          .buffer = number_};
}

void ReduceBuffer::all_reduce(at::Tensor& output, ReduceOp op) {
  constexpr const char* method = "ReduceBuffer::all_reduce";
  const Communicator::Making making(communicator_, method, [&] {
    check_output(method, output, input().numel());
    return reduction(method, op, false);
  });
  count_reduction(communicator_.counters_, output.nbytes());
  if (output.numel() > 0) {
    all_reduce_impl(output, op);
  } else {
    communicator_.meet();
  }
}

const at::Tensor& ReduceBuffer::all_reduce_shared(ReduceOp op) {
  constexpr const char* method = "ReduceBuffer::all_reduce_shared";
  const Communicator::Making making(communicator_, method, [&] { return reduction(method, op, true); });
  count_reduction(communicator_.counters_, input().nbytes());
  if (input().numel() == 0) {
    communicator_.meet();
    return input();
  }
  return all_reduce_shared_impl(op);
}

void ReduceBuffer::all_gather(at::Tensor& output, const std::vector<std::int64_t>& counts) {
  constexpr const char* method = "ReduceBuffer::all_gather";
  const Communicator::Making making(communicator_, method, [&] {
    const CollectiveSpec collective = gather(method, counts, false);
    check_output(method, output, sum_of(counts));
    return collective;
  });
  count_gather(communicator_.counters_, input().nbytes());
  if (input().numel() > 0) {
    all_gather_impl(output, counts);
  } else {
    communicator_.meet();
  }
}

const at::Tensor& ReduceBuffer::all_gather_shared(const std::vector<std::int64_t>& counts) {
  constexpr const char* method = "ReduceBuffer::all_gather_shared";
  const Communicator::Making making(communicator_, method, [&] { return gather(method, counts, true); });
  count_gather(communicator_.counters_, input().nbytes());
  if (input().numel() == 0) {
    communicator_.meet();
    return input();
  }
  return all_gather_shared_impl(counts);
}

const at::Tensor& ReduceBuffer::all_gather_shared(const at::Tensor& part, const std::vector<std::int64_t>& counts) {
  constexpr const char* method = "ReduceBuffer::all_gather_shared";
  const Communicator::Making making(communicator_, method, [&] {
    const CollectiveSpec collective = gather(method, counts, true);
    check_part(method, part, counts);
    return collective;
  });
  count_gather(communicator_.counters_, input().nbytes());
  if (input().numel() == 0) {
    communicator_.meet();
    return input();
  }
  return all_gather_part_impl(part, counts);
}

void ReduceBuffer::reduce_scatter(at::Tensor& part, const std::vector<std::int64_t>& counts) {
  constexpr const char* method = "ReduceBuffer::reduce_scatter";
  const Communicator::Making making(communicator_, method, [&] {
    CollectiveSpec collective = gather(method, counts, false);
    check_part(method, part, counts);
    collective.kind = Kind::buffer_scatter;
    return collective;
  });
  count_scatter(communicator_.counters_, input().nbytes());
  if (input().numel() > 0) {
    reduce_scatter_impl(part, counts);
  } else {
    communicator_.meet();
  }
}

at::Tensor ReduceBuffer::tail(const std::vector<std::int64_t>& counts) const {
  const std::int64_t parts = sum_of(counts);
  return input().narrow(0, parts, input().numel() - parts);
}

const at::Tensor& ReduceBuffer::all_gather_part_impl(const at::Tensor& part, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part own = own_part(counts);
  input().narrow(0, own.begin, own.count).copy_(part.view(-1));
  return ReduceBuffer::all_gather_shared_impl(counts);
}

void ReduceBuffer::reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part own = own_part(counts);
  const at::Tensor& result = all_reduce_shared_impl(ReduceOp::sum);
  part.copy_(result.narrow(0, own.begin, own.count).view(part.sizes()));
  const std::int64_t parts = sum_of(counts);
  tail(counts).copy_(result.narrow(0, parts, input().numel() - parts));
}

ReduceBuffer::Part ReduceBuffer::own_part(const std::vector<std::int64_t>& counts) const {
  const auto own = counts.begin() + communicator_.rank();
  return {std::accumulate(counts.begin(), own, std::int64_t{0}), *own};
}

void ReduceBuffer::all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part part = own_part(counts);
  at::Tensor flat = output.view(-1);
  input().narrow(0, part.begin, part.count).copy_(flat.narrow(0, part.begin, part.count));
  flat.copy_(ReduceBuffer::all_gather_shared_impl(counts).narrow(0, 0, flat.numel()));
}

const at::Tensor& ReduceBuffer::all_gather_shared_impl(const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part part = own_part(counts);
  const std::int64_t parts = sum_of(counts);
  const std::int64_t behind = part.begin + part.count;
  input().narrow(0, 0, part.begin).zero_();
  input().narrow(0, behind, parts - behind).zero_();
  const at::Tensor& result = all_reduce_shared_impl(ReduceOp::sum);
  tail(counts).copy_(result.narrow(0, parts, input().numel() - parts));
  return result;
}

void ReduceBuffer::provide_shared() {
  for (at::Tensor& result : results_) {
    if (!result.defined()) {
      result = at::empty_like(input());
    }
  }
}

void ReduceBuffer::provide_parts(const std::vector<std::int64_t>& /*counts*/) { ReduceBuffer::provide_shared(); }

const at::Tensor& ReduceBuffer::all_reduce_shared_impl(ReduceOp op) {
  ReduceBuffer::provide_shared();  // those that share results have none, but for small ones
  at::Tensor& result = results_[next_result_];
  next_result_ = 1 - next_result_;
  all_reduce_impl(result, op);
  return result;
}

}  // namespace adjoin
