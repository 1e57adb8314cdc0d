// The engine of torch.distributed over a process group that needs no Python: its backend is MPI, and takes no more than
// Gloo does.
#pragma once

#include <mpi.h>

#include <memory>

#include "adjoin/comm/communicator.hpp"

namespace adjoin::test {

/// A communicator of the ranks of `comm`, which must outlive it.
std::unique_ptr<Communicator> make_mpi_backed_communicator(MPI_Comm comm, bool shared_memory);

}  // namespace adjoin::test
