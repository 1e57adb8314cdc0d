// SPDX-License-Identifier: BSD-3-Clause
// Reduce buffers among the ranks of a node.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "comm/shared_memory/across_nodes.hpp"
#include "comm/shared_memory/transfers.hpp"

namespace adjoin {

/// Reduced through the node's window, or, where writing there costs little, from contributions that lie there.
class NodeReduceBuffer : public ReduceBuffer {
 public:
  /// `across_nodes` is null where all ranks share one node.
  NodeReduceBuffer(Communicator& communicator, NodeTransfers& transfers, AcrossNodes* across_nodes, std::int64_t numel,
                   at::ScalarType dtype);

  const at::Tensor& input() const override { return input_; }
  /// Nothing: ranks that share memory hear of a failure at any time.
  void provide_shared() override {}
  void provide_parts(const std::vector<std::int64_t>& /*counts*/) override {}

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override;
  const at::Tensor& all_reduce_shared_impl(ReduceOp op) override;
  void all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts) override;
  const at::Tensor& all_gather_shared_impl(const std::vector<std::int64_t>& counts) override;
  const at::Tensor& all_gather_part_impl(const at::Tensor& part, const std::vector<std::int64_t>& counts) override;
  void reduce_scatter_impl(at::Tensor& part, const std::vector<std::int64_t>& counts) override;

 private:
  /// The input's storage goes on by an eighth, which takes the half spectra of images from 144 pixels a row on.
  static constexpr std::int64_t parts_of_room = 8;

  std::int64_t item() const { return static_cast<std::int64_t>(input_.element_size()); }
  /// Whether it goes between several nodes in pieces.
  bool goes_in_pieces() const { return across_nodes_ != nullptr && across_nodes_->takes(input_.nbytes()); }
  AcrossNodes::Contribution contribution() const { return {input_, contributions_}; }
  /// Where the next shared result goes; undefined on every rank where results are small, or there is no memory. Where
  /// arrays go in pieces, which all nodes must do alike, it is then this rank's own.
  at::Tensor next_shared_result();
  /// The same as what a collective between nodes needs to know of it.
  AcrossNodes::Result next_result_in_pieces();
  /// That result, once it is there.
  const at::Tensor& taken();
  /// Adds up what lies behind the parts, over the ranks; a step in any case.
  void reduce_tail(const std::vector<std::int64_t>& counts);

  NodeTransfers& transfers_;
  AcrossNodes* across_nodes_;
  at::Tensor input_;
  /// Of every rank, where all see them; otherwise empty.
  std::vector<std::byte*> contributions_;
  std::array<at::Tensor, 2> shared_results_;
  /// Those that the other ranks do not see.
  std::array<bool, 2> is_own_ = {false, false};
  std::size_t last_shared_ = 0;
  /// Whether the latest collective was a scatter, in which all ranks have met.
  bool is_scattered_ = false;
  /// Of gathers whose result is too small to share.
  at::Tensor gathered_;
};

}  // namespace adjoin
