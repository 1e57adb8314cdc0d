// The MPI engine: MPI-3.1 between nodes, shared memory among the ranks of a node.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <limits>
#include <memory>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// How the ranks of a node reduce and gather host memory.
enum class NodeReduction : std::uint8_t {
  automatic,  ///< in shared memory, in the quicker of the next two ways, which is measured
  in_place,   ///< contributions and results lie where the other ranks see them
  in_pieces,  ///< they lie in memory of each rank's own and go through a window
  mpi         ///< by MPI alone
};

struct MpiOptions {
  /// The same on every rank.
  NodeReduction node_reduction = NodeReduction::automatic;
  /// Treat every `ranks_per_node` consecutive ranks as a node of their own; 0: ask MPI. Lets the hierarchical
  /// reduction be tested on one machine.
  int ranks_per_node = 0;
  /// Most elements handed to one MPI call, whose counts are int; larger tensors go in pieces. Smaller values are for
  /// tests. The same on every rank.
  std::int64_t max_count = std::numeric_limits<int>::max();
};

/// A communicator over a duplicate of `comm`. Collective. MPI must be initialised.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, const MpiOptions& options = {});

/// Keeps MPI initialised: initialises it unless that was done before, and then finalises it at destruction.
class MpiSession {
 public:
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

 private:
  bool owner_ = false;
};

}  // namespace adjoin
