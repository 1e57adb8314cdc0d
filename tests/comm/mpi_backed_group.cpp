// SPDX-License-Identifier: BSD-3-Clause
// A process group of torch.distributed whose collectives are MPI's.
#include "mpi_backed_group.hpp"

#include <ATen/ATen.h>

#include <chrono>
#include <stdexcept>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <utility>
#include <vector>

#include "adjoin/comm/process_group.hpp"

namespace adjoin::test {

namespace {

/// Whether there are operations that will never be finished, whose communicators must stay.
bool has_given_up = false;

class MpiBackedWork : public c10d::Work {
 public:
  MpiBackedWork(std::vector<at::Tensor> tensors, std::chrono::milliseconds timeout)
      : timeout_(timeout), tensors_(std::move(tensors)) {}

  bool isCompleted() override {
    int done = 0;
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }

  bool wait(std::chrono::milliseconds) override {
    const auto start = std::chrono::steady_clock::now();
    while (!isCompleted()) {
      if (timeout_ > std::chrono::milliseconds(0) && std::chrono::steady_clock::now() - start > timeout_) {
        static_cast<void>(new std::vector(std::move(tensors_)));  // MPI may still write there
        has_given_up = true;
        throw std::runtime_error("mpi_backed: timed out");
      }
      std::this_thread::yield();
    }
    return true;
  }

  MPI_Request request = MPI_REQUEST_NULL;

 private:
  std::chrono::milliseconds timeout_;
  std::vector<at::Tensor> tensors_;
};

class MpiBackend : public c10d::Backend {
 public:
  MpiBackend(MPI_Comm comm, int rank, int size) : Backend(rank, size), comm_(comm) {}

  ~MpiBackend() override {
    if (!has_given_up) {
      MPI_Comm_free(&comm_);
    }
  }

  const std::string getBackendName() const override { return "mpi_backed"; }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    const at::Tensor& tensor = tensors.at(0);
    auto work = c10::make_intrusive<MpiBackedWork>(tensors, options.timeout);
    MPI_Iallreduce(MPI_IN_PLACE, tensor.mutable_data_ptr(), static_cast<int>(tensor.numel()),
                   type_of(tensor.scalar_type()), operation(options.reduceOp), comm_, &work->request);
    return work;
  }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    const at::Tensor& tensor = tensors.at(0);
    auto work = c10::make_intrusive<MpiBackedWork>(tensors, options.timeout);
    MPI_Ibcast(tensor.mutable_data_ptr(), static_cast<int>(tensor.numel()), type_of(tensor.scalar_type()),
               static_cast<int>(options.rootRank), comm_, &work->request);
    return work;
  }

  c10::intrusive_ptr<c10d::Work> _allgather_base(at::Tensor& output, at::Tensor& input,
                                                 const c10d::AllgatherOptions& options) override {
    auto work = c10::make_intrusive<MpiBackedWork>(std::vector{output, input}, options.timeout);
    const auto count = static_cast<int>(input.numel());
    const MPI_Datatype type = type_of(input.scalar_type());
    MPI_Iallgather(input.const_data_ptr(), count, type, output.mutable_data_ptr(), count, type, comm_, &work->request);
    return work;
  }

 private:
  static MPI_Datatype type_of(at::ScalarType dtype) {
    switch (dtype) {
      case at::kFloat:
        return MPI_FLOAT;
      case at::kDouble:
        return MPI_DOUBLE;
      case at::kChar:
        return MPI_INT8_T;
      case at::kByte:
        return MPI_UINT8_T;
      case at::kInt:
        return MPI_INT32_T;
      case at::kLong:
        return MPI_INT64_T;
      default:
        throw std::runtime_error(c10::str("mpi_backed: no dtype ", dtype));
    }
  }

  static MPI_Op operation(c10d::ReduceOp::RedOpType op) {
    switch (op) {
      case c10d::ReduceOp::SUM:
        return MPI_SUM;
      case c10d::ReduceOp::PRODUCT:
        return MPI_PROD;
      case c10d::ReduceOp::MIN:
        return MPI_MIN;
      case c10d::ReduceOp::MAX:
        return MPI_MAX;
      default:
        throw std::runtime_error("mpi_backed: no such operation");
    }
  }

  MPI_Comm comm_;
};

/// A group of the ranks of `comm`, which it owns.
ProcessGroupPtr make_group(MPI_Comm comm) {
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  auto group = c10::make_intrusive<c10d::ProcessGroup>(rank, size);
  group->setBackend(at::kCPU, c10d::ProcessGroup::CUSTOM, c10::make_intrusive<MpiBackend>(comm, rank, size));
  group->setDefaultBackend(c10d::ProcessGroup::CUSTOM);
  return group;
}

/// A group of some ranks of `comm`, in the order given; they all call this together.
ProcessGroupPtr make_smaller_group(MPI_Comm comm, const std::vector<int>& ranks) {
  MPI_Group all = MPI_GROUP_NULL;
  MPI_Group some = MPI_GROUP_NULL;
  MPI_Comm_group(comm, &all);
  MPI_Group_incl(all, static_cast<int>(ranks.size()), ranks.data(), &some);
  MPI_Comm smaller = MPI_COMM_NULL;
  MPI_Comm_create_group(comm, some, 0, &smaller);
  MPI_Group_free(&some);
  MPI_Group_free(&all);
  return make_group(smaller);
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_backed_communicator(MPI_Comm comm, Sharing sharing,
                                                           std::optional<std::chrono::milliseconds> timeout,
                                                           int ranks_per_node) {
  const auto new_group = [comm](const std::vector<int>& ranks) { return make_smaller_group(comm, ranks); };
  MPI_Comm duplicate = MPI_COMM_NULL;
  MPI_Comm_dup(comm, &duplicate);
  return make_process_group_communicator(make_group(duplicate), {.shared_memory = {.sharing = sharing},
                                                                 .timeout = timeout,
                                                                 .new_group = new_group,
                                                                 .ranks_per_node = ranks_per_node});
}

}  // namespace adjoin::test
