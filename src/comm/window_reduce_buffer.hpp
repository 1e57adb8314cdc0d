// Reduce buffers among the ranks of a node.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "node_group.hpp"

namespace adjoin {

/// Combines host memory in place with that of the other nodes; called by one rank of each node.
using AcrossNodes = std::function<void(void* values, std::int64_t numel, at::ScalarType dtype, ReduceOp op)>;

/// Each rank's contribution lies in a window. Small ones lie in two places in turn: a rank that arrives at a reduction
/// has finished reading the one before, whose place may so be written again.
class WindowReduceBuffer : public ReduceBuffer {
 public:
  /// `window` has at least bytes_needed() a rank; `across_nodes` is empty where all ranks share one node.
  WindowReduceBuffer(Communicator& communicator, NodeGroup& group, const std::shared_ptr<SharedWindow>& window,
                     AcrossNodes across_nodes, std::int64_t numel, at::ScalarType dtype);

  static std::size_t bytes_needed(std::int64_t numel, at::ScalarType dtype);

  const at::Tensor& input() const override { return inputs_[place_]; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override;
  const at::Tensor& all_reduce_shared_impl(ReduceOp op) override;

 private:
  void reduce(const std::vector<void*>& places, void* output, ReduceOp op);
  /// Each rank reduces a share of the contributions into `shared`, which all see; then every rank may read it.
  void reduce_shares(const std::vector<void*>& places, void* shared, ReduceOp op);
  void reduce_across_nodes(void* shared, ReduceOp op);
  /// Memory for results that all ranks read, two in turn; false on every rank where there is none.
  bool has_shared_results();

  NodeGroup& group_;
  AcrossNodes across_nodes_;
  std::int64_t numel_;
  at::ScalarType dtype_;
  bool alternates_ = true;
  std::size_t place_ = 0;
  std::array<at::Tensor, 2> inputs_;
  /// For each place, where every rank has it.
  std::array<std::vector<void*>, 2> places_;
  std::array<at::Tensor, 2> shared_results_;
  std::size_t next_shared_ = 0;
};

/// For contributions of at most NodeGroup::few_bytes, which travel with their signal.
class FewReduceBuffer : public ReduceBuffer {
 public:
  FewReduceBuffer(Communicator& communicator, NodeGroup& group, std::int64_t numel, at::ScalarType dtype);

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override;

 private:
  NodeGroup& group_;
  at::Tensor input_;
};

}  // namespace adjoin
