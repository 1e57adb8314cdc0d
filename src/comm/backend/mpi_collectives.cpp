// SPDX-License-Identifier: BSD-3-Clause
// Which of MPI's functions make each collective, or messages of our own where those cannot be waited for with an end.
#include "comm/backend/mpi_collectives.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace adjoin::mpi {

namespace {

/// Up to this size of a host array, and of each rank's part, MPI's non-blocking reduction is as quick as messages
/// between all pairs.
constexpr std::size_t small_reduction_bytes = std::size_t{32} << 10;
constexpr std::size_t small_part_bytes = std::size_t{4} << 10;

/// Calls `transfer(begin, count)` for consecutive pieces of `numel` elements, of at most `limit` each.
template <class Transfer>
void in_pieces(std::int64_t numel, std::int64_t limit, const Transfer& transfer) {
  for (std::int64_t begin = 0; begin < numel; begin += limit) {
    transfer(begin, static_cast<int>(std::min(limit, numel - begin)));
  }
}

std::byte* element(const at::Tensor& tensor, std::int64_t index) {
  return static_cast<std::byte*>(tensor.mutable_data_ptr()) + static_cast<std::size_t>(index) * tensor.element_size();
}

}  // namespace

Collectives::Collectives(MPI_Comm comm, std::shared_ptr<Waiter> waiter, std::int64_t max_count)
    : comm_(comm), waiter_(std::move(waiter)), pairwise_(waiter_), max_count_(max_count) {}

bool Collectives::is_small(const at::Tensor& tensor) const {
  return tensor.nbytes() <=
         std::max(small_reduction_bytes, small_part_bytes * static_cast<std::size_t>(waiter_->size()));
}

template <class Reduce>
void Collectives::for_reduction(const at::Tensor& input, at::Tensor& output, ReduceOp op, const Reduce& reduce) const {
  const MPI_Datatype type = reduction_type(output.scalar_type());
  const MPI_Op operation = mpi::operation(output.scalar_type(), op);
  const bool in_place = input.is_same(output);
  in_pieces(output.numel(), max_count_, [&](std::int64_t begin, int count) {
    reduce(in_place ? MPI_IN_PLACE : element(input, begin), element(output, begin), count, type, operation);
  });
}

Pending Collectives::start_reduction(const at::Tensor& input, at::Tensor& output, ReduceOp op, MPI_Comm comm) const {
  auto work = std::make_unique<Work>(waiter_, input, output);
  for_reduction(input, output, op, [&](const void* from, void* to, int count, MPI_Datatype type, MPI_Op operation) {
    work->check_start(MPI_Iallreduce(from, to, count, type, operation, comm, work->new_request()), "MPI_Iallreduce");
  });
  return Pending(std::move(work));
}

Pending Collectives::start_all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const {
  return start_reduction(input, output, op, comm_);
}

Pending Collectives::announce(at::Tensor& values) const {
  return start_reduction(values, values, ReduceOp::max, waiter_->comm());
}

void Collectives::all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const {
  if (is_small(output)) {
    start_all_reduce(input, output, op).wait();
  } else if (output.is_cpu()) {
    pairwise_.all_reduce(input, output, op);
  } else {
    waiter_->meet();
    for_reduction(input, output, op, [&](const void* from, void* to, int count, MPI_Datatype type, MPI_Op operation) {
      check_code(MPI_Allreduce(from, to, count, type, operation, comm_), "MPI_Allreduce");
    });
  }
}

void Collectives::all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) const {
  if (buffer.is_cpu() && !is_small(buffer)) {
    pairwise_.all_gather(buffer.view(-1), counts);
  } else {
    start_all_gather_v(buffer, counts).wait();
  }
}

Pending Collectives::start_all_gather_v(at::Tensor& buffer, const std::vector<std::int64_t>& counts) const {
  auto work = std::make_unique<Work>(waiter_, buffer);
  if (buffer.numel() > max_count_) {
    std::int64_t begin = 0;
    for (int root = 0; root < waiter_->size(); ++root) {
      const std::int64_t numel = counts[static_cast<std::size_t>(root)];
      add_broadcast(*work, buffer, begin, numel, root);
      begin += numel;
    }
    return Pending(std::move(work));
  }
  for (const std::int64_t count : counts) {
    work->offsets.push_back(work->counts.empty() ? 0 : work->offsets.back() + work->counts.back());
    work->counts.push_back(static_cast<int>(count));
  }
  work->check_start(
      MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, buffer.mutable_data_ptr(), work->counts.data(),
                      work->offsets.data(), transport_type(buffer.scalar_type()), comm_, work->new_request()),
      "MPI_Iallgatherv");
  return Pending(std::move(work));
}

Pending Collectives::start_broadcast(at::Tensor& tensor, int root) const {
  auto work = std::make_unique<Work>(waiter_, tensor);
  add_broadcast(*work, tensor, 0, tensor.numel(), root);
  return Pending(std::move(work));
}

void Collectives::add_broadcast(Work& work, const at::Tensor& tensor, std::int64_t offset, std::int64_t numel,
                                int root) const {
  in_pieces(numel, max_count_, [&](std::int64_t begin, int count) {
    work.check_start(MPI_Ibcast(element(tensor, offset + begin), count, transport_type(tensor.scalar_type()), root,
                                comm_, work.new_request()),
                     "MPI_Ibcast");
  });
}

void Collectives::scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                          ReduceOp op) const {
  if (is_small(input) && input.numel() <= max_count_) {
    Work work(waiter_, input, output);
    work.counts.assign(counts.begin(), counts.end());
    work.check_start(MPI_Ireduce_scatter(input.const_data_ptr(), output.mutable_data_ptr(), work.counts.data(),
                                         reduction_type(input.scalar_type()), operation(input.scalar_type(), op), comm_,
                                         work.new_request()),
                     "MPI_Ireduce_scatter");
    work.wait();
  } else if (input.is_cpu()) {
    pairwise_.reduce_scatter(input, output, counts, op);
  } else {
    scatter_to_one_after_the_other(input, output, counts, op);
  }
}

void Collectives::scatter_to_one_after_the_other(const at::Tensor& input, const at::Tensor& output,
                                                 const std::vector<std::int64_t>& counts, ReduceOp op) const {
  const MPI_Datatype type = reduction_type(input.scalar_type());
  const MPI_Op operation = mpi::operation(input.scalar_type(), op);
  Work work(waiter_, input, output);
  std::int64_t first = 0;
  for (int root = 0; root < waiter_->size(); ++root) {
    const std::int64_t numel = counts[static_cast<std::size_t>(root)];
    in_pieces(numel, max_count_, [&](std::int64_t begin, int count) {
      void* const to = root == waiter_->rank() ? element(output, begin) : nullptr;
      work.check_start(
          MPI_Ireduce(element(input, first + begin), to, count, type, operation, root, comm_, work.new_request()),
          "MPI_Ireduce");
    });
    first += numel;
  }
  work.wait();
}

}  // namespace adjoin::mpi
