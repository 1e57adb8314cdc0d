// The ranks of a node, by MPI: MPI-3 shared-memory windows.
#pragma once

#include "mpi_support.hpp"
#include "node.hpp"

namespace adjoin {

class MpiNode : public Node {
 public:
  /// The ranks of `comm`, which must be on one node and which must outlive this and its windows.
  explicit MpiNode(const mpi::OwnedComm& comm) : comm_(comm), rank_(comm.rank()), size_(comm.size()) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  /// The destruction of the window is collective too.
  std::shared_ptr<SharedWindow> allocate(std::size_t bytes) override;
  void all_reduce_min(std::span<int> values) override;
  /// Never: a launcher of MPI ends all ranks when one ends.
  std::optional<std::string> lost(int, std::chrono::milliseconds) override { return std::nullopt; }

 private:
  const mpi::OwnedComm& comm_;
  int rank_;
  int size_;
};

}  // namespace adjoin
