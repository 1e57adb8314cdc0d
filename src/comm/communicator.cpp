// SPDX-License-Identifier: BSD-3-Clause
// The collectives that return when they are made: each says what it is going to make, counts it, and lets the engine
// make it.
#include "adjoin/comm/communicator.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/versions.hpp"
#include "comm/argument_checks.hpp"
#include "comm/backend/staging.hpp"
#include "comm/descriptions.hpp"
#include "comm/making.hpp"
#include "comm/texts.hpp"

namespace adjoin {

namespace {

using Kind = CollectiveSpec::Kind;

}  // namespace

Communicator::Communicator() = default;

Communicator::~Communicator() = default;

// ---- Collectives --------------------------------------------------------------------------------------------------

at::Tensor Communicator::staged(const at::Tensor& tensor) const {
  const bool reachable = reaches(tensor.device());
  return stage(tensor, reachable, !reachable || !follows_streams(tensor.device()));
}

void Communicator::all_reduce(at::Tensor& tensor, ReduceOp op) {
  const Making making(*this, "all_reduce", [&] { return reduction_of("all_reduce", tensor, op); });
  count_reduction(counters_, tensor.nbytes());
  if (calls_) {
    reduce_in_place(tensor, op);
  }
  count_change(tensor);
}

void Communicator::reduce_in_place(at::Tensor& tensor, ReduceOp op) {
  if (tensor.numel() == 0) {
    meet();
    return;
  }
  at::Tensor own = staged(tensor);
  all_reduce_impl(own, op);
  unstage(own, tensor);
}

void Communicator::all_reduce(std::span<double> values, ReduceOp op) {
  const auto numel = static_cast<std::int64_t>(values.size());
  const Making making(*this, "all_reduce", [&] {
    return CollectiveSpec{
        .method = "all_reduce", .kind = Kind::numbers, .dtype = at::kDouble, .op = op, .numel = numel};
  });
  count_reduction(counters_, values.size_bytes());
  if (!calls_) {
    return;
  }
  if (values.empty()) {
    meet();
  } else {
    all_reduce_values_impl(values, op);
  }
}

at::Tensor Communicator::all_gather(const at::Tensor& input) {
  const Making making(*this, "all_gather", [&] {
    check_defined("all_gather: input", input);
    return CollectiveSpec{.method = "all_gather",
                          .kind = Kind::gather,
                          .dtype = input.scalar_type(),
                          .numel = size() * input.numel(),
                          .sizes = input.sizes()};
  });
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> shape = {size()};
  shape.insert(shape.end(), input.sizes().begin(), input.sizes().end());
  at::Tensor output = at::empty(shape, input.options());
  output.select(0, rank()).copy_(input);
  count_gather(counters_, output.nbytes());
  if (calls_) {
    gather_in_place(output, std::vector<std::int64_t>(static_cast<std::size_t>(size()), input.numel()));
  }
  return output;
}

at::Tensor Communicator::all_gather_v(const at::Tensor& input, const std::vector<std::int64_t>& counts) {
  const Making making(*this, "all_gather_v", [&] {
    check_defined("all_gather_v: input", input);
    check_counts("all_gather_v", counts, size());
    const std::int64_t own = counts[static_cast<std::size_t>(rank())];
    check(input.dim() == 1 && input.numel() == own, "all_gather_v: input must be one-dimensional with the ", own,
          " elements that counts gives this rank, got shape ", input.sizes());
    return gather_of("all_gather_v", input.scalar_type(), counts);
  });
  const c10::NoGradGuard no_grad;
  at::Tensor output = at::empty({sum_of(counts)}, input.options());
  const auto own = counts.begin() + rank();
  output.narrow(0, std::accumulate(counts.begin(), own, std::int64_t{0}), *own).copy_(input);
  count_gather(counters_, output.nbytes());
  if (calls_) {
    gather_in_place(output, counts);
  }
  return output;
}

void Communicator::all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  const Making making(*this, "all_gather_v_inplace", [&] {
    check_gather_buffer("all_gather_v_inplace", buffer, counts, size());
    return gather_of("all_gather_v_inplace", buffer.scalar_type(), counts);
  });
  count_gather(counters_, buffer.nbytes());
  if (calls_) {
    gather_in_place(buffer, counts);
  }
  count_change(buffer);
}

void Communicator::gather_in_place(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  if (buffer.numel() == 0) {
    meet();
    return;
  }
  at::Tensor own = staged(buffer);
  all_gather_v_impl(own, counts);
  unstage(own, buffer);
}

at::Tensor Communicator::reduce_scatter(const at::Tensor& input, ReduceOp op) {
  const Making making(*this, "reduce_scatter", [&] {
    CollectiveSpec collective = reduction_of("reduce_scatter", input, op);
    check(input.dim() >= 1 && input.size(0) % size() == 0, "reduce_scatter: input must divide along dimension 0 into ",
          size(), " equal parts, got shape ", input.sizes());
    collective.kind = Kind::scatter;
    return collective;
  });
  count_scatter(counters_, input.nbytes());
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape[0] /= size();
  return scattered(input, std::vector<std::int64_t>(static_cast<std::size_t>(size()), input.numel() / size()), op)
      .view(shape);
}

at::Tensor Communicator::reduce_scatter_v(const at::Tensor& input, const std::vector<std::int64_t>& counts,
                                          ReduceOp op) {
  constexpr const char* method = "reduce_scatter_v";
  const Making making(*this, method, [&] {
    CollectiveSpec collective = reduction_of(method, input, op);
    check_counts(method, counts, size());
    check(input.dim() == 1 && input.numel() == sum_of(counts), method, ": input must be one-dimensional with the ",
          sum_of(counts), " elements that counts add up to, got shape ", input.sizes());
    collective.kind = Kind::scatter;
    collective.sizes = counts;
    return collective;
  });
  count_scatter(counters_, input.nbytes());
  const c10::NoGradGuard no_grad;
  return scattered(input, counts, op);
}

at::Tensor Communicator::scattered(const at::Tensor& input, const std::vector<std::int64_t>& counts, ReduceOp op) {
  if (!calls_) {
    return input.clone(at::MemoryFormat::Contiguous).view(-1);
  }
  const bool reachable = reaches(input.device());
  at::Tensor output = at::empty({counts[static_cast<std::size_t>(rank())]},
                                input.options().device(reachable ? input.device() : at::Device(at::kCPU)));
  if (input.numel() > 0) {
    reduce_scatter_impl(staged(input).view(-1), output, counts, op);
  } else {
    meet();
  }
  return output.to(input.device());
}

void Communicator::broadcast(at::Tensor& tensor, int root) {
  const Making making(*this, "broadcast", [&] { return broadcast_of("broadcast", tensor, root, size()); });
  count_other(counters_, tensor.nbytes());
  if (calls_) {
    broadcast_in_place(tensor, root);
  }
  count_change(tensor);
}

void Communicator::broadcast_in_place(at::Tensor& tensor, int root) {
  if (tensor.numel() == 0) {
    meet();
    return;
  }
  at::Tensor own = staged(tensor);
  broadcast_impl(own, root);
  if (rank() != root) {
    unstage(own, tensor);
  }
}

void Communicator::barrier() {
  const Making making(*this, "barrier", [] { return CollectiveSpec{.method = "barrier", .kind = Kind::barrier}; });
  count_other(counters_, 0);
  if (calls_) {
    barrier_impl();
  }
}

void Communicator::send(const at::Tensor& tensor, int to, int tag) {
  check_defined("send", tensor);
  check(to >= 0 && to < size() && to != rank(), "send: to must be another rank below ", size(), ", got ", to);
  check(tag >= 0, "send: tag must not be negative, got ", tag);
  send_impl(staged(tensor), to, tag);
}

int Communicator::recv(at::Tensor tensor, int from, int tag) {
  check_defined("recv", tensor);
  check(from >= -1 && from < size() && from != rank() && size() > 1, "recv: from must be another rank below ", size(),
        ", or -1 for any, got ", from);
  check(tag >= 0, "recv: tag must not be negative, got ", tag);
  at::Tensor own = staged(tensor);
  const int sender = recv_impl(own, from, tag);
  unstage(own, tensor);
  count_change(tensor);
  return sender;
}

std::string Communicator::broadcast_bytes(const std::string& bytes, int root) {
  CallScope scope = enter({.name = "broadcast_bytes"});
  at::Tensor length = at::full({1}, static_cast<std::int64_t>(bytes.size()), at::kLong);
  broadcast(length, root);
  const auto size_in_bytes = length.item<std::int64_t>();
  std::string result = rank() == root ? bytes : std::string(static_cast<std::size_t>(size_in_bytes), '\0');
  at::Tensor payload = at::empty({size_in_bytes}, at::kByte);
  auto* const data = static_cast<char*>(payload.mutable_data_ptr());
  std::ranges::copy(result, data);
  scope.commit();  // some rank may have had no memory for it
  broadcast(payload, root);
  result.assign(data, result.size());
  return result;
}

std::vector<std::string> Communicator::all_gather_bytes(const std::string& bytes) {
  CallScope scope = enter({.name = "all_gather_bytes"});
  const at::Tensor lengths = all_gather(at::full({}, static_cast<std::int64_t>(bytes.size()), at::kLong));
  const std::vector<std::int64_t> counts(lengths.const_data_ptr<std::int64_t>(),
                                         lengths.const_data_ptr<std::int64_t>() + lengths.numel());
  at::Tensor payload = texts_with_own(bytes, counts, rank());
  scope.commit();  // some rank may have had no memory for it
  all_gather_v_inplace(payload, counts);
  return texts_in(payload, counts);
}

// ---- What is made of a communicator -------------------------------------------------------------------------------

std::unique_ptr<Communicator> Communicator::split(int color, int key) {
  const Making making(
      *this, "split",
      [&] {
        check(color >= 0, "split: color must not be negative, got ", color);
        return CollectiveSpec{.method = "split", .kind = Kind::split};
      },
      true);
  meet();
  return split_impl(color, key);
}

std::unique_ptr<ReduceBuffer> Communicator::reduce_buffer(std::int64_t numel, at::ScalarType dtype, at::Device device) {
  const Making making(
      *this, "reduce_buffer",
      [&] {
        check_reducible("reduce_buffer: dtype", dtype, ReduceOp::sum);
        check(numel >= 0, "reduce_buffer: numel must not be negative, got ", numel);
        return CollectiveSpec{.method = "reduce_buffer",
                              .kind = Kind::making_buffer,
                              .dtype = dtype,
                              .numel = numel,
                              .buffer = buffers_made_};
      },
      true);
  meet();
  // It counts on a rank that has no memory for it, too, or ranks would number later ones apart.
  const auto number = ++buffers_made_;
  std::unique_ptr<ReduceBuffer> buffer = reduce_buffer_impl(numel, dtype, device);
  buffer->number_ = number;
  return buffer;
}

at::Tensor Communicator::visible(std::int64_t numel, at::ScalarType dtype) {
  const Making making(
      *this, "visible",
      [&] {
        check(numel >= 0, "visible: numel must not be negative, got ", numel);
        return CollectiveSpec{.method = "visible", .kind = Kind::making_memory, .dtype = dtype, .numel = numel};
      },
      true);
  meet();
  return calls_ ? visible_impl(numel, dtype) : at::Tensor();
}

}  // namespace adjoin
