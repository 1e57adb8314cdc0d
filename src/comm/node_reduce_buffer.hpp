// Reduce buffers among the ranks of a node.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>

#include "adjoin/comm/communicator.hpp"
#include "node_transfers.hpp"

namespace adjoin {

/// Combines host memory in place with that of the other nodes; called by one rank of each node.
using AcrossNodes = std::function<void(void* values, std::int64_t numel, at::ScalarType dtype, ReduceOp op)>;

/// Ordinary memory, reduced through the node's window.
class NodeReduceBuffer : public ReduceBuffer {
 public:
  /// `across_nodes` is empty where all ranks share one node.
  NodeReduceBuffer(Communicator& communicator, NodeTransfers& transfers, AcrossNodes across_nodes, std::int64_t numel,
                   at::ScalarType dtype);

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override;
  const at::Tensor& all_reduce_shared_impl(ReduceOp op) override;

 private:
  /// Memory for results that all ranks read, two in turn; false on every rank where there is none.
  bool has_shared_results();

  NodeTransfers& transfers_;
  AcrossNodes across_nodes_;
  at::Tensor input_;
  std::array<at::Tensor, 2> shared_results_;
  std::size_t next_shared_ = 0;
};

}  // namespace adjoin
