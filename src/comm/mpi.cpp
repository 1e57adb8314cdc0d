// SPDX-License-Identifier: BSD-3-Clause
// Communicators of MPI and its session, by the table of functions of the backend, linked or loaded.
#include "adjoin/comm/mpi.hpp"

#include "comm/backend/mpi_engine.hpp"
#include "comm/forks.hpp"

namespace adjoin {

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, const MpiOptions& options) {
  return adjoin_mpi_engine()->of(comm, options);
}

std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options) {
  return adjoin_mpi_engine()->of_all(options);
}

std::unique_ptr<Communicator> make_mpi_communicator(int handle, const std::string& library, const MpiOptions& options) {
  return adjoin_mpi_engine()->of_fortran(handle, library, options);
}

MpiSession::MpiSession() : owner_(adjoin_mpi_engine()->initialise()), forks_(forks()) {}

MpiSession::~MpiSession() {
  if (owner_ && forks() == forks_) {
    adjoin_mpi_engine()->finalise();
  }
}

}  // namespace adjoin
