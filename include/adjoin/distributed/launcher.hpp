// SPDX-License-Identifier: BSD-3-Clause
// Who started this process, and as one of how many.
#pragma once

#include <cstdint>
#include <string>

namespace adjoin {

enum class Launcher : std::uint8_t {
  none,  ///< this process is alone
  mpi,   ///< mpirun, mpiexec or srun, as one of several
  torch  ///< torchrun, or whoever else set RANK and WORLD_SIZE
};

/// The launcher that started this process, by the variables that it set. Where there are those of several, the nearest
/// one counts: the one whose variables the fewest ancestors of this process have; the others are left over in the shell
/// or in a job around it. Variables that are set to nothing do not count. A process that a rank has started, or that
/// was forked from one, has its variables, but is alone.
Launcher launcher();

/// Whether launcher() is mpi, or MPI is initialised in this process.
bool launched_by_mpi();

/// Throws CommunicationError where MPI has found `ranks` = 1 rank in MPI_COMM_WORLD, but the launcher says that it
/// started several: then it belongs to another MPI, and each of its processes would take itself for rank 0 of 1.
void check_launched_ranks(int ranks);

/// Has the processes that this one starts know that they are no ranks: their environment says so.
void mark_children();
/// The variable and its value by which they know.
std::string children_mark();
inline constexpr const char* children_mark_name = "ADJOIN_RANK";

}  // namespace adjoin
