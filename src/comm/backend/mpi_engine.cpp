// SPDX-License-Identifier: BSD-3-Clause
// The table of what the MPI backend offers, and those of its functions that belong to no communicator.
#include "comm/backend/mpi_engine.hpp"

#include <mpi.h>

#include <array>

#include "adjoin/core/errors.hpp"
#include "comm/backend/mpi_support.hpp"

namespace adjoin {

namespace {

bool initialise() {
  int initialized = 0;
  mpi::check_code(MPI_Initialized(&initialized), "MPI_Initialized");
  if (initialized != 0) {
    return false;
  }
  int provided = 0;
  mpi::check_code(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  return true;
}

void finalise() {
  if (mpi::is_active()) {
    MPI_Finalize();
  }
}

std::unique_ptr<Communicator> of_all(const MpiOptions& options) {
  return mpi::make_communicator(MPI_COMM_WORLD, options);
}

std::unique_ptr<Communicator> of_fortran(int handle, const std::string& library, const MpiOptions& options) {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> ours{};
  int length = 0;
  MPI_Get_library_version(ours.data(), &length);
  check(library.empty() || library == ours.data(), "comm: must be a communicator of the MPI that adjoin uses, ",
        ours.data(), ", got one of ", library);
  return mpi::make_communicator(MPI_Comm_f2c(handle), options);
}

}  // namespace

}  // namespace adjoin

const adjoin::MpiEngine* adjoin_mpi_engine() {
  using namespace adjoin;
  static constexpr MpiEngine engine = {
      initialise, finalise, mpi::is_active, mpi::library_version, of_all, mpi::make_communicator, of_fortran};
  return &engine;
}

const adjoin::MpiEngine* adjoin_mpi_engine_if_loaded() { return adjoin_mpi_engine(); }
