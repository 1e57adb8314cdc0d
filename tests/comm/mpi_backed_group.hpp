// SPDX-License-Identifier: BSD-3-Clause
// The engine of torch.distributed over a process group that needs no Python: its backend is MPI, and takes no more than
// Gloo does.
#pragma once

#include <mpi.h>

#include <chrono>
#include <memory>
#include <optional>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/shared_memory.hpp"

namespace adjoin::test {

/// A communicator of the ranks of `comm`, which must outlive it. Its backend waits no longer than `timeout`.
std::unique_ptr<Communicator> make_mpi_backed_communicator(MPI_Comm comm, Sharing sharing,
                                                           std::optional<std::chrono::milliseconds> timeout = {},
                                                           int ranks_per_node = 0);

}  // namespace adjoin::test
