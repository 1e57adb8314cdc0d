// SPDX-License-Identifier: BSD-3-Clause
// Parts that go from rank to rank in pieces, a step of which stays in the caches until it is reduced.
#include "comm/backend/mpi_exchange.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/reduce_kernels.hpp"

namespace adjoin::mpi {

namespace {

using Counts = std::vector<std::int64_t>;

/// What comes from all ranks in one step, together: few enough to stay in the caches until it is reduced, many enough
/// that a message takes longer than to start it.
constexpr std::int64_t bytes_of_step = std::int64_t{1} << 20;
constexpr std::int64_t least_bytes_of_piece = std::int64_t{16} << 10;
/// Of a message: a little less than what Open MPI sends over TCP at once. Of longer messages it sends the beginning,
/// and the rest when the receiver has answered; that answer goes behind the data of the other direction, so that data
/// goes in one direction after the other.
constexpr std::int64_t most_bytes_of_message = std::int64_t{60} << 10;
constexpr int tag = 78;

const std::byte* bytes_at(const at::Tensor& tensor, std::int64_t index) {
  return static_cast<const std::byte*>(tensor.const_data_ptr()) +
         index * static_cast<std::int64_t>(tensor.element_size());
}

std::byte* mutable_bytes_at(const at::Tensor& tensor, std::int64_t index) {
  return static_cast<std::byte*>(tensor.mutable_data_ptr()) + index * static_cast<std::int64_t>(tensor.element_size());
}

std::int64_t of(int rank, const Counts& values) { return values[static_cast<std::size_t>(rank)]; }

/// A whole number of cache lines, and so of elements of any kind.
std::int64_t bytes_of_piece(int size) {
  constexpr std::int64_t cache_line = 64;
  return std::max(bytes_of_step / std::max(size - 1, 1) / cache_line * cache_line, least_bytes_of_piece);
}

Counts begins_of(const Counts& counts) {
  Counts begins(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), begins.begin(), std::int64_t{0});
  return begins;
}

/// The elements of piece `index` of a part of `count`.
std::int64_t length_of_piece(std::int64_t count, std::int64_t piece, std::int64_t index) {
  return std::clamp(count - index * piece, std::int64_t{0}, piece);
}

void send(Work& work, const std::byte* from, std::int64_t bytes, int to, MPI_Comm comm) {
  for (std::int64_t begin = 0; begin < bytes; begin += most_bytes_of_message) {
    const auto length = static_cast<int>(std::min(most_bytes_of_message, bytes - begin));
    work.check_start(MPI_Isend(from + begin, length, MPI_BYTE, to, tag, comm, work.new_request()), "MPI_Isend");
  }
}

void receive(Work& work, std::byte* to, std::int64_t bytes, int from, MPI_Comm comm) {
  for (std::int64_t begin = 0; begin < bytes; begin += most_bytes_of_message) {
    const auto length = static_cast<int>(std::min(most_bytes_of_message, bytes - begin));
    work.check_start(MPI_Irecv(to + begin, length, MPI_BYTE, from, tag, comm, work.new_request()), "MPI_Irecv");
  }
}

}  // namespace

Pending start_exchange(const std::shared_ptr<Waiter>& waiter, const std::vector<at::Tensor>& sends,
                       const std::vector<at::Tensor>& receives) {
  auto work = std::make_unique<Work>(waiter);
  for (std::size_t r = 0; r < receives.size(); ++r) {
    if (receives[r].defined()) {
      work->keep(receives[r]);
      receive(*work, mutable_bytes_at(receives[r], 0), receives[r].numel(), static_cast<int>(r), waiter->comm());
    }
  }
  for (std::size_t r = 0; r < sends.size(); ++r) {
    if (sends[r].defined()) {
      work->keep(sends[r]);
      send(*work, bytes_at(sends[r], 0), sends[r].numel(), static_cast<int>(r), waiter->comm());
    }
  }
  return Pending(std::move(work));
}

/// One piece of the part of each rank, under way.
struct PairwiseCollectives::Step {
  std::unique_ptr<Work> work;
  /// Of this rank's piece.
  std::int64_t begin = 0;
  std::int64_t length = 0;
  /// The piece as each rank has it, in their order.
  std::vector<const void*> sources;
};

PairwiseCollectives::PairwiseCollectives(std::shared_ptr<Waiter> waiter)
    : waiter_(std::move(waiter)),
      rank_(waiter_->rank()),
      size_(waiter_->size()),
      received_(at::empty({2, size_ - 1, bytes_of_piece(size_)}, at::kByte)) {}

std::int64_t PairwiseCollectives::piece_elements(const at::Tensor& input) const {
  return bytes_of_piece(size_) / static_cast<std::int64_t>(input.element_size());
}

PairwiseCollectives::Step PairwiseCollectives::start_step(const at::Tensor& input, at::Tensor& output,
                                                          const Counts& counts, std::int64_t index) const {
  const std::int64_t piece = piece_elements(input);
  const auto item = static_cast<std::int64_t>(input.element_size());
  const Counts begins = begins_of(counts);
  Step step{.work = std::make_unique<Work>(waiter_, input, output, received_),
            .begin = index * piece,
            .length = length_of_piece(of(rank_, counts), piece, index),
            .sources = std::vector<const void*>(static_cast<std::size_t>(size_))};
  auto* const room = static_cast<std::byte*>(received_.mutable_data_ptr());
  step.sources[static_cast<std::size_t>(rank_)] = bytes_at(input, of(rank_, begins) + step.begin);
  for (int distance = 1; distance < size_; ++distance) {
    const int from = (rank_ - distance + size_) % size_;
    if (step.length > 0) {
      const std::int64_t place = (index % 2) * (size_ - 1) + distance - 1;
      std::byte* const there = room + place * bytes_of_piece(size_);
      receive(*step.work, there, step.length * item, from, waiter_->comm());
      step.sources[static_cast<std::size_t>(from)] = there;
    }
  }
  for (int distance = 1; distance < size_; ++distance) {
    const int to = (rank_ + distance) % size_;
    const std::int64_t length = length_of_piece(of(to, counts), piece, index);
    if (length > 0) {
      send(*step.work, bytes_at(input, of(to, begins) + step.begin), length * item, to, waiter_->comm());
    }
  }
  return step;
}

void PairwiseCollectives::reduce_scatter(const at::Tensor& input, at::Tensor& output, const Counts& counts,
                                         ReduceOp op) const {
  const std::int64_t piece = piece_elements(input);
  const std::int64_t steps = (std::ranges::max(counts) + piece - 1) / piece;
  Step next = steps > 0 ? start_step(input, output, counts, 0) : Step{};
  for (std::int64_t index = 0; index < steps; ++index) {
    Step step = std::exchange(next, index + 1 < steps ? start_step(input, output, counts, index + 1) : Step{});
    step.work->wait();
    if (step.length > 0) {
      reduce_arrays(input.scalar_type(), op, mutable_bytes_at(output, step.begin), step.sources,
                    static_cast<std::size_t>(step.length));
    }
  }
}

void PairwiseCollectives::all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const {
  const at::Tensor all = output.view(-1);
  const std::int64_t numel = all.numel();
  Counts counts(static_cast<std::size_t>(size_));
  for (int r = 0; r < size_; ++r) {
    counts[static_cast<std::size_t>(r)] = numel * (r + 1) / size_ - numel * r / size_;
  }
  const Counts begins = begins_of(counts);
  at::Tensor own = all.narrow(0, of(rank_, begins), of(rank_, counts));
  reduce_scatter(input, own, counts, op);
  all_gather(all, counts);
}

void PairwiseCollectives::all_gather(const at::Tensor& buffer, const Counts& counts) const {
  const std::int64_t piece = piece_elements(buffer);
  const auto item = static_cast<std::int64_t>(buffer.element_size());
  const std::int64_t steps = (std::ranges::max(counts) + piece - 1) / piece;
  const Counts begins = begins_of(counts);
  const auto start = [&](std::int64_t index) {
    const auto place = [&](int r) { return mutable_bytes_at(buffer, of(r, begins) + index * piece); };
    const auto bytes = [&](int r) { return length_of_piece(of(r, counts), piece, index) * item; };
    auto work = std::make_unique<Work>(waiter_, buffer);
    for (int distance = 1; distance < size_; ++distance) {
      const int from = (rank_ - distance + size_) % size_;
      receive(*work, place(from), bytes(from), from, waiter_->comm());
    }
    for (int distance = 1; distance < size_; ++distance) {
      send(*work, place(rank_), bytes(rank_), (rank_ + distance) % size_, waiter_->comm());
    }
    return work;
  };
  std::unique_ptr<Work> next = steps > 0 ? start(0) : nullptr;
  for (std::int64_t index = 0; index < steps; ++index) {
    const std::unique_ptr<Work> work = std::exchange(next, index + 1 < steps ? start(index + 1) : nullptr);
    work->wait();
  }
}

}  // namespace adjoin::mpi
