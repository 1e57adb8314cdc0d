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
/// Of a message, whose length MPI counts in an int.
constexpr std::int64_t most_bytes_of_message = std::int64_t{1} << 30;
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
  work.check_start(MPI_Isend(from, static_cast<int>(bytes), MPI_BYTE, to, tag, comm, work.new_request()), "MPI_Isend");
}

void receive(Work& work, std::byte* to, std::int64_t bytes, int from, MPI_Comm comm) {
  work.check_start(MPI_Irecv(to, static_cast<int>(bytes), MPI_BYTE, from, tag, comm, work.new_request()), "MPI_Irecv");
}

}  // namespace

/// One piece of the part of each rank, under way.
struct PairwiseReductions::Step {
  std::unique_ptr<Work> work;
  /// Of this rank's piece.
  std::int64_t begin = 0;
  std::int64_t length = 0;
  /// The piece as each rank has it, in their order.
  std::vector<const void*> sources;
};

PairwiseReductions::PairwiseReductions(std::shared_ptr<Waiter> waiter)
    : waiter_(std::move(waiter)),
      rank_(waiter_->rank()),
      size_(waiter_->size()),
      received_(at::empty({2, size_ - 1, bytes_of_piece(size_)}, at::kByte)) {}

std::int64_t PairwiseReductions::piece_elements(const at::Tensor& input) const {
  return bytes_of_piece(size_) / static_cast<std::int64_t>(input.element_size());
}

PairwiseReductions::Step PairwiseReductions::start_step(const at::Tensor& input, at::Tensor& output,
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

void PairwiseReductions::reduce_scatter(const at::Tensor& input, at::Tensor& output, const Counts& counts,
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

void PairwiseReductions::all_reduce(const at::Tensor& input, at::Tensor& output, ReduceOp op) const {
  const at::Tensor all = output.view(-1);
  const std::int64_t numel = all.numel();
  const auto item = static_cast<std::int64_t>(all.element_size());
  Counts counts(static_cast<std::size_t>(size_));
  for (int r = 0; r < size_; ++r) {
    counts[static_cast<std::size_t>(r)] = numel * (r + 1) / size_ - numel * r / size_;
  }
  const Counts begins = begins_of(counts);
  at::Tensor own = all.narrow(0, of(rank_, begins), of(rank_, counts));
  reduce_scatter(input, own, counts, op);
  Work work(waiter_, output);
  const std::int64_t most = most_bytes_of_message / item;
  const auto in_messages = [&](int r, const auto& transfer) {
    for (std::int64_t begin = 0; begin < of(r, counts); begin += most) {
      transfer(mutable_bytes_at(all, of(r, begins) + begin), std::min(most, of(r, counts) - begin) * item);
    }
  };
  for (int distance = 1; distance < size_; ++distance) {
    const int from = (rank_ - distance + size_) % size_;
    in_messages(from,
                [&](std::byte* place, std::int64_t bytes) { receive(work, place, bytes, from, waiter_->comm()); });
  }
  for (int distance = 1; distance < size_; ++distance) {
    const int to = (rank_ + distance) % size_;
    in_messages(rank_, [&](std::byte* place, std::int64_t bytes) { send(work, place, bytes, to, waiter_->comm()); });
  }
  work.wait();
}

}  // namespace adjoin::mpi
