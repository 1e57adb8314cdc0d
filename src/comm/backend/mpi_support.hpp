// SPDX-License-Identifier: BSD-3-Clause
// MPI behind C++: checked calls, owned communicators, torch's dtypes and our operations.
#pragma once

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/comm/communicator.hpp"

namespace adjoin::mpi {

/// Throws CommunicationError, naming the `function`, unless `code` is MPI_SUCCESS.
void check_code(int code, const char* function);

/// The MPI type of one element that is to be reduced. For half, bfloat16 and complex half, which MPI lacks, an integer
/// of the same size, to be reduced with operation() only.
MPI_Datatype reduction_type(at::ScalarType dtype);
/// The MPI type of one element that is only to be moved.
MPI_Datatype transport_type(at::ScalarType dtype);
/// The operation on reduction_type(dtype).
MPI_Op operation(at::ScalarType dtype, ReduceOp op);

/// Name and version of the MPI library, such as "Open MPI v5.0.11".
std::string library_version();

/// Whether MPI may be handed pointers to CUDA memory.
bool is_cuda_aware();

/// A communicator that is freed at the end, and whose errors are returned. Creation and destruction are collective.
class OwnedComm {
 public:
  OwnedComm() = default;
  explicit OwnedComm(MPI_Comm comm);
  OwnedComm(OwnedComm&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}
  OwnedComm& operator=(OwnedComm&& other) noexcept {
    std::swap(comm_, other.comm_);
    return *this;
  }
  ~OwnedComm();

  static OwnedComm duplicate(MPI_Comm comm);
  /// The ranks of equal `color`, by `key`; null where `color` is MPI_UNDEFINED.
  OwnedComm split(int color, int key) const;
  /// The ranks that can share memory.
  OwnedComm split_shared() const;

  MPI_Comm get() const { return comm_; }
  /// Lets it be for ever: where operations on it cannot be finished.
  void release() { comm_ = MPI_COMM_NULL; }
  int rank() const;
  int size() const;
  /// The values of all ranks. Collective.
  std::vector<int> all_gather(int value) const;
  std::vector<std::string> all_gather(const std::string& text) const;

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

/// Whether `success` holds on every rank of `comm`. Collective.
bool all_succeeded(const OwnedComm& comm, bool success);

/// Whether MPI is there to be called: initialised and not yet finalised, and not in a parent of this process.
bool is_active();

/// Whether threads may call MPI one after the other, not only the one that initialised it.
bool allows_several_threads();

}  // namespace adjoin::mpi
