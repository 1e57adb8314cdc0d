// SPDX-License-Identifier: BSD-3-Clause
// Reductions that read contributions where they were computed, and write the sum where all ranks read it.
#include "comm/shared_memory/reduce_buffer.hpp"

#include <ATen/ATen.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

NodeReduceBuffer::NodeReduceBuffer(Communicator& communicator, NodeTransfers& transfers, AcrossNodes* across_nodes,
                                   std::int64_t numel, at::ScalarType dtype)
    : ReduceBuffer(communicator), transfers_(transfers), across_nodes_(across_nodes) {
  const std::int64_t with_room = numel + numel / parts_of_room;
  const std::size_t bytes = static_cast<std::size_t>(with_room) * c10::elementSize(dtype);
  const NodeGroup& group = transfers_.group();
  if (bytes > private_bytes && group.size() > 1 && transfers_.contributes_in_place()) {
    if (const std::shared_ptr<SharedWindow> window = transfers_.group().acquire(bytes)) {
      for (int r = 0; r < group.size(); ++r) {
        contributions_.push_back(window->segment(r));
      }
      input_ = tensor_in(window, group.rank(), with_room, dtype).narrow(0, 0, numel);
      return;
    }
  }
  input_ = at::empty({with_room}, dtype).narrow(0, 0, numel);
}

void NodeReduceBuffer::all_reduce_impl(at::Tensor& output, ReduceOp op) {
  if (goes_in_pieces()) {
    across_nodes_->all_reduce(contribution(), {output, false}, op);
    return;
  }
  const auto numel = static_cast<std::size_t>(input_.numel());
  if (contributions_.empty()) {
    transfers_.all_reduce(input_.scalar_type(), op, input_.const_data_ptr(), output.mutable_data_ptr(), numel);
  } else {
    transfers_.all_reduce(input_.scalar_type(), op, contributions_, output.mutable_data_ptr(), numel);
  }
  if (across_nodes_ != nullptr) {
    across_nodes_->combine(output, op);
  }
}

at::Tensor NodeReduceBuffer::next_shared_result() {
  at::Tensor& result = shared_results_[1 - last_shared_];
  const bool in_pieces = goes_in_pieces();
  const bool shares =
      input_.nbytes() > private_bytes && (across_nodes_ == nullptr || in_pieces) && transfers_.group().size() > 1;
  if (shares && !result.defined()) {
    if (const std::shared_ptr<SharedWindow> window = transfers_.group().acquire(input_.nbytes(), 1)) {
      result = tensor_in(window, 0, input_.numel(), input_.scalar_type());
    }
  }
  if (in_pieces && !result.defined()) {
    result = at::empty_like(input_);
    is_own_[1 - last_shared_] = true;
  }
  return result;
}

AcrossNodes::Result NodeReduceBuffer::next_result_in_pieces() {
  next_shared_result();
  return {shared_results_[1 - last_shared_], !is_own_[1 - last_shared_]};
}

// Results lie in two places in turn: a rank that writes to a result's memory again has passed the first step of that
// reduction, which every rank makes when it no longer reads the result before the last. A collective that fails leaves
// the turn as it was, on all ranks.
const at::Tensor& NodeReduceBuffer::all_reduce_shared_impl(ReduceOp op) {
  if (goes_in_pieces()) {
    across_nodes_->all_reduce(contribution(), next_result_in_pieces(), op);
    return taken();
  }
  const at::Tensor result = next_shared_result();
  if (!result.defined()) {
    return ReduceBuffer::all_reduce_shared_impl(op);
  }
  const auto numel = static_cast<std::size_t>(input_.numel());
  if (contributions_.empty()) {
    transfers_.all_reduce_shared(input_.scalar_type(), op, input_.const_data_ptr(), result.mutable_data_ptr(), numel);
  } else {
    transfers_.all_reduce_shared(input_.scalar_type(), op, contributions_, result.mutable_data_ptr(), numel);
  }
  return taken();
}

const at::Tensor& NodeReduceBuffer::taken() {
  last_shared_ = 1 - last_shared_;
  is_scattered_ = false;
  return shared_results_[last_shared_];
}

void NodeReduceBuffer::all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts) {
  if (goes_in_pieces()) {
    const Part own = own_part(counts);
    const at::Tensor flat = output.view(-1);
    across_nodes_->all_gather(input_, flat.narrow(0, own.begin, own.count), {flat, false}, counts);
    return;
  }
  if (across_nodes_ != nullptr) {
    ReduceBuffer::all_gather_impl(output, counts);
    return;
  }
  transfers_.all_gather(output, counts);
  reduce_tail(counts);
}

const at::Tensor& NodeReduceBuffer::all_gather_shared_impl(const std::vector<std::int64_t>& counts) {
  if (goes_in_pieces()) {
    const Part own = own_part(counts);
    across_nodes_->all_gather(input_, input_.narrow(0, own.begin, own.count), next_result_in_pieces(), counts);
    return taken();
  }
  const at::Tensor result = next_shared_result();
  if (!result.defined()) {
    return ReduceBuffer::all_gather_shared_impl(counts);
  }
  const Part part = own_part(counts);
  transfers_.share(static_cast<const std::byte*>(input_.const_data_ptr()) + part.begin * item(),
                   static_cast<std::byte*>(result.mutable_data_ptr()) + part.begin * item(),
                   static_cast<std::size_t>(part.count * item()));
  reduce_tail(counts);
  return taken();
}

// Where the next reduction's result goes: a gathered image is read until that at most. So the images of a solver lie in
// one place, one after the other. After a scatter nobody reads the last of them, and nobody need be waited for.
const at::Tensor& NodeReduceBuffer::all_gather_part_impl(const at::Tensor& part,
                                                         const std::vector<std::int64_t>& counts) {
  if (goes_in_pieces()) {
    across_nodes_->all_gather(input_, part.view(-1), next_result_in_pieces(), counts);
    return shared_results_[1 - last_shared_];
  }
  if (across_nodes_ != nullptr) {
    return ReduceBuffer::all_gather_part_impl(part, counts);
  }
  const Part own = own_part(counts);
  const auto* const from = static_cast<const std::byte*>(part.const_data_ptr());
  const at::Tensor result = next_shared_result();
  if (!result.defined()) {
    if (!gathered_.defined()) {
      gathered_ = at::empty_like(input_);
    }
    at::Tensor parts = gathered_.narrow(0, 0, std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
    if (own.count > 0) {
      std::memcpy(static_cast<std::byte*>(gathered_.mutable_data_ptr()) + own.begin * item(), from, part.nbytes());
    }
    transfers_.all_gather(parts, counts);
    reduce_tail(counts);
    return gathered_;
  }
  if (!std::exchange(is_scattered_, false)) {
    transfers_.group().synchronize();
  }
  if (own.count > 0) {
    transfers_.write(from, static_cast<std::byte*>(result.mutable_data_ptr()) + own.begin * item(), part.nbytes());
  }
  reduce_tail(counts);
  return shared_results_[1 - last_shared_];
}

void NodeReduceBuffer::reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts) {
  if (goes_in_pieces()) {
    at::Tensor flat = part.view(-1);
    across_nodes_->reduce_scatter(contribution(), flat, counts);
    return;
  }
  if (across_nodes_ != nullptr) {
    ReduceBuffer::reduce_scatter_impl(part, counts);
    return;
  }
  is_scattered_ = true;
  if (contributions_.empty()) {
    transfers_.reduce_scatter(input_.scalar_type(), ReduceOp::sum, input_.const_data_ptr(), part.mutable_data_ptr(),
                              counts);
    reduce_tail(counts);
    return;
  }
  reduce_tail(counts);  // all have contributed
  transfers_.reduce_part(input_.scalar_type(), ReduceOp::sum, contributions_, own_part(counts).begin,
                         part.mutable_data_ptr(), static_cast<std::size_t>(part.numel()));
}

void NodeReduceBuffer::reduce_tail(const std::vector<std::int64_t>& counts) {
  const std::int64_t parts = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (parts < input_.numel()) {
    void* const tail =
        static_cast<std::byte*>(input_.mutable_data_ptr()) + parts * static_cast<std::int64_t>(input_.element_size());
    transfers_.all_reduce(input_.scalar_type(), ReduceOp::sum, tail, tail,
                          static_cast<std::size_t>(input_.numel() - parts));
  } else {
    transfers_.group().synchronize();
  }
}

}  // namespace adjoin
