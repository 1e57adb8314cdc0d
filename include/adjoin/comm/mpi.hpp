// SPDX-License-Identifier: BSD-3-Clause
// The MPI engine: MPI-3.1 between nodes, shared memory among the ranks of a node.
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/shared_memory.hpp"

namespace adjoin {

struct MpiOptions {
  /// What they leave automatic comes from the environment. The same on every rank.
  SharedMemoryOptions shared_memory = {};
  /// How long a rank waits for one that does not come, before it throws CommunicationError; none: as many seconds as
  /// ADJOIN_TIMEOUT says in the environment, or ten minutes.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// Treat every `ranks_per_node` consecutive ranks as a node of their own; 0: ask MPI. Lets the hierarchical
  /// reduction be tested on one machine.
  int ranks_per_node = 0;
  /// Most elements handed to one MPI call, whose counts are int; larger tensors go in pieces. Smaller values are for
  /// tests. The same on every rank.
  std::int64_t max_count = std::numeric_limits<int>::max();
};

/// A communicator over a duplicate of `comm`. Collective. MPI must be initialised; where it was initialised for
/// fewer threads than MPI_THREAD_SERIALIZED allows, only the thread that calls this may make collective calls.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, const MpiOptions& options = {});
/// A communicator over a duplicate of MPI_COMM_WORLD. Collective.
std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options = {});
/// A communicator over a duplicate of the one whose handle in Fortran (MPI_Comm_c2f, mpi4py's py2f) is `handle`, in the
/// MPI whose MPI_Get_library_version is `library`. Collective. Throws InvalidArgument where that is another MPI than
/// adjoin's; an empty `library` is not compared.
std::unique_ptr<Communicator> make_mpi_communicator(int handle, const std::string& library,
                                                    const MpiOptions& options = {});

/// Keeps MPI initialised: initialises it unless that was done before, and then finalises it at destruction.
class MpiSession {
 public:
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

 private:
  bool owner_ = false;
  std::uint64_t forks_ = 0;
};

}  // namespace adjoin
