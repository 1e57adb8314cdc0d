// SPDX-License-Identifier: BSD-3-Clause
// Calls of MPI whose codes become errors, with datatypes and operations for each dtype of torch.
#include "comm/backend/mpi_support.hpp"

#include <ATen/ATen.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <array>
#include <numeric>
#include <string_view>

#include "adjoin/core/errors.hpp"
#include "comm/forks.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin::mpi {

void check_code(int code, const char* function) {
  if (code == MPI_SUCCESS) [[likely]] {
    return;
  }
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw CommunicationError(std::string(function) + ": " + std::string(text.data(), static_cast<std::size_t>(length)));
}

MPI_Datatype reduction_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kComplexFloat:
      return MPI_C_FLOAT_COMPLEX;
    case at::kComplexDouble:
      return MPI_C_DOUBLE_COMPLEX;
    case at::kBool:
      return MPI_C_BOOL;
    case at::kByte:
      return MPI_UINT8_T;
    case at::kChar:
      return MPI_INT8_T;
    case at::kShort:
      return MPI_INT16_T;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    default:
      return transport_type(dtype);
  }
}

MPI_Datatype transport_type(at::ScalarType dtype) {
  switch (c10::elementSize(dtype)) {
    case 1:
      return MPI_UINT8_T;
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    case 8:
      return MPI_UINT64_T;
    case 16:
      return MPI_C_DOUBLE_COMPLEX;
    default:
      throw InvalidArgument(c10::str("dtype ", dtype, " cannot be sent"));
  }
}

namespace {

template <at::ScalarType dtype, ReduceOp op>
void combine(void* in, void* in_out, int* length, MPI_Datatype*) {
  const std::array<const void*, 2> sources = {in, in_out};
  reduce_arrays(dtype, op, in_out, sources, static_cast<std::size_t>(*length));
}

template <at::ScalarType dtype, ReduceOp op>
MPI_Op custom_operation() {
  // Made once a process and never freed: MPI_Finalize may come before or after any destructor of ours.
  static const MPI_Op operation = [] {
    MPI_Op created = MPI_OP_NULL;
    check_code(MPI_Op_create(&combine<dtype, op>, 1, &created), "MPI_Op_create");
    return created;
  }();
  return operation;
}

template <at::ScalarType dtype>
MPI_Op custom_operation(ReduceOp op) {
  switch (op) {
    case ReduceOp::product:
      return custom_operation<dtype, ReduceOp::product>();
    case ReduceOp::min:
      return custom_operation<dtype, ReduceOp::min>();
    case ReduceOp::max:
      return custom_operation<dtype, ReduceOp::max>();
    default:
      return custom_operation<dtype, ReduceOp::sum>();
  }
}

}  // namespace

MPI_Op operation(at::ScalarType dtype, ReduceOp op) {
  switch (dtype) {
    case at::kHalf:
      return custom_operation<at::kHalf>(op);
    case at::kBFloat16:
      return custom_operation<at::kBFloat16>(op);
    case at::kComplexHalf:
      return custom_operation<at::kComplexHalf>(op);
    case at::kBool:
      return op == ReduceOp::sum || op == ReduceOp::max ? MPI_LOR : MPI_LAND;
    case at::kFloat:
    case at::kDouble:
      // MPI does not say what becomes of NaN in a minimum or maximum.
      if (op == ReduceOp::min || op == ReduceOp::max) {
        return dtype == at::kFloat ? custom_operation<at::kFloat>(op) : custom_operation<at::kDouble>(op);
      }
      break;
    default:
      break;
  }
  switch (op) {
    case ReduceOp::product:
      return MPI_PROD;
    case ReduceOp::min:
      return MPI_MIN;
    case ReduceOp::max:
      return MPI_MAX;
    default:
      return MPI_SUM;
  }
}

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check_code(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  // Open MPI: "Open MPI v5.0.11, package: …"; MPICH: "MPICH Version:      4.0.2\nMPICH Release date: …".
  std::string_view line(text.data(), static_cast<std::size_t>(length));
  line = line.substr(0, line.find_first_of(",\n\r"));
  std::string version;
  for (const char c : line) {
    const bool blank = c == ' ' || c == '\t' || c == ':';
    if (!blank) {
      version += c;
    } else if (!version.empty() && version.back() != ' ') {
      version += ' ';
    }
  }
  return version;
}

bool is_cuda_aware() {
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

bool is_active() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  static const std::uint64_t forks_at_first = forks();
  return initialized != 0 && finalized == 0 && forks() == forks_at_first;
}

bool allows_several_threads() {
  int level = MPI_THREAD_SINGLE;
  check_code(MPI_Query_thread(&level), "MPI_Query_thread");
  return level >= MPI_THREAD_SERIALIZED;
}

bool all_succeeded(const OwnedComm& comm, bool success) {
  int result = success ? 1 : 0;
  check_code(MPI_Allreduce(MPI_IN_PLACE, &result, 1, MPI_INT, MPI_MIN, comm.get()), "MPI_Allreduce");
  return result == 1;
}

OwnedComm::OwnedComm(MPI_Comm comm) : comm_(comm) {
  if (comm_ != MPI_COMM_NULL) {
    check_code(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }
}

OwnedComm::~OwnedComm() {
  if (comm_ != MPI_COMM_NULL && is_active()) {
    MPI_Comm_free(&comm_);
  }
}

OwnedComm OwnedComm::duplicate(MPI_Comm comm) {
  MPI_Comm result = MPI_COMM_NULL;
  check_code(MPI_Comm_dup(comm, &result), "MPI_Comm_dup");
  return OwnedComm(result);
}

OwnedComm OwnedComm::split(int color, int key) const {
  MPI_Comm result = MPI_COMM_NULL;
  check_code(MPI_Comm_split(comm_, color, key, &result), "MPI_Comm_split");
  return OwnedComm(result);
}

OwnedComm OwnedComm::split_shared() const {
  MPI_Comm result = MPI_COMM_NULL;
  check_code(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &result), "MPI_Comm_split_type");
  return OwnedComm(result);
}

int OwnedComm::rank() const {
  int result = 0;
  check_code(MPI_Comm_rank(comm_, &result), "MPI_Comm_rank");
  return result;
}

int OwnedComm::size() const {
  int result = 0;
  check_code(MPI_Comm_size(comm_, &result), "MPI_Comm_size");
  return result;
}

std::vector<int> OwnedComm::all_gather(int value) const {
  std::vector<int> values(static_cast<std::size_t>(size()));
  check_code(MPI_Allgather(&value, 1, MPI_INT, values.data(), 1, MPI_INT, comm_), "MPI_Allgather");
  return values;
}

std::vector<std::string> OwnedComm::all_gather(const std::string& text) const {
  const std::vector<int> lengths = all_gather(static_cast<int>(text.size()));
  std::vector<int> offsets(lengths.size(), 0);
  std::partial_sum(lengths.begin(), lengths.end() - 1, offsets.begin() + 1);
  std::string all(static_cast<std::size_t>(offsets.back() + lengths.back()), '\0');
  check_code(MPI_Allgatherv(text.data(), static_cast<int>(text.size()), MPI_CHAR, all.data(), lengths.data(),
                            offsets.data(), MPI_CHAR, comm_),
             "MPI_Allgatherv");
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < lengths.size(); ++r) {
    texts.push_back(all.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(lengths[r])));
  }
  return texts;
}

}  // namespace adjoin::mpi
