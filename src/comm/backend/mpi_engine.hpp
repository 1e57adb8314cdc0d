// SPDX-License-Identifier: BSD-3-Clause
// What the MPI backend offers, as a table of functions: so it can be a library of its own that is loaded when MPI is
// asked for, as Python's extension module does.
#pragma once

#include <memory>
#include <string>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/mpi.hpp"

namespace adjoin {

struct MpiEngine {
  /// Initialises MPI unless that was done before; returns whether it did.
  bool (*initialise)();
  /// Finalises MPI, where it is active.
  void (*finalise)();
  /// Whether MPI is initialised and not yet finalised, in this very process.
  bool (*is_active)();
  /// Name and version, such as "Open MPI v5.0.11".
  std::string (*library_version)();
  /// make_mpi_communicator for MPI_COMM_WORLD, for a communicator, and for one that Fortran numbers.
  std::unique_ptr<Communicator> (*of_all)(const MpiOptions&);
  std::unique_ptr<Communicator> (*of)(MPI_Comm, const MpiOptions&);
  std::unique_ptr<Communicator> (*of_fortran)(int, const std::string& library, const MpiOptions&);
};

namespace mpi {

std::unique_ptr<Communicator> make_communicator(MPI_Comm comm, const MpiOptions& options);

}  // namespace mpi

}  // namespace adjoin

/// The table. Defined by the backend (mpi_engine.cpp), and in Python's extension module by what loads the backend
/// (python/bindings/mpi_loader.cpp), which throws Error where there is no MPI.
extern "C" const adjoin::MpiEngine* adjoin_mpi_engine();
/// The same, but null where MPI is no part of this process yet. Throws nothing.
extern "C" const adjoin::MpiEngine* adjoin_mpi_engine_if_loaded();
