// The start of MPI where nobody has started it, and its end in the process that did.
#include <mpi.h>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/core/errors.hpp"
#include "comm/backend/mpi_support.hpp"
#include "comm/forks.hpp"

namespace adjoin {

MpiSession::MpiSession() : forks_(forks()) {
  int initialized = 0;
  mpi::check_code(MPI_Initialized(&initialized), "MPI_Initialized");
  if (initialized == 0) {
    int provided = 0;
    mpi::check_code(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    owner_ = true;
  }
}

MpiSession::~MpiSession() {
  if (owner_ && forks() == forks_ && mpi::is_active()) {
    MPI_Finalize();
  }
}

}  // namespace adjoin
