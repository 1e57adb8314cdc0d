#include "adjoin/comm/mpi.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "comm/backend/mpi_support.hpp"
#include "comm/backend/private_reduce_buffer.hpp"
#include "comm/backend/staged_reduce_buffer.hpp"
#include "comm/backend/staging.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/shared_memory/node.hpp"
#include "comm/shared_memory/reduce_buffer.hpp"
#include "comm/shared_memory/transfers.hpp"

namespace adjoin {

namespace {

using mpi::check_code;
using mpi::OwnedComm;

/// Calls `transfer(begin, count)` for consecutive pieces of `numel` elements, of at most `limit` each.
template <class Transfer>
void in_pieces(std::int64_t numel, std::int64_t limit, const Transfer& transfer) {
  for (std::int64_t begin = 0; begin < numel; begin += limit) {
    transfer(begin, static_cast<int>(std::min(limit, numel - begin)));
  }
}

std::byte* element(void* data, std::int64_t index, std::size_t item) {
  return static_cast<std::byte*>(data) + static_cast<std::size_t>(index) * item;
}

const std::byte* element(const void* data, std::int64_t index, std::size_t item) {
  return static_cast<const std::byte*>(data) + static_cast<std::size_t>(index) * item;
}

/// Started MPI operations, with the memory that they use.
class MpiWork : public Pending::Work {
 public:
  explicit MpiWork(at::Tensor tensor) : tensor_(std::move(tensor)) {}

  bool test() override {
    int done = 0;
    check_code(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
               "MPI_Testall");
    return done != 0;
  }

  void wait() override {
    check_code(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  }

  MPI_Request* new_request() { return &requests.emplace_back(MPI_REQUEST_NULL); }

  std::vector<MPI_Request> requests;
  std::vector<int> counts;
  std::vector<int> offsets;

 private:
  at::Tensor tensor_;
};

/// Counts and offsets of a gather as MPI wants them.
void to_mpi_counts(const std::vector<std::int64_t>& counts, std::vector<int>& mpi_counts,
                   std::vector<int>& mpi_offsets) {
  mpi_counts.resize(counts.size());
  mpi_offsets.resize(counts.size());
  int offset = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    mpi_counts[r] = static_cast<int>(counts[r]);
    mpi_offsets[r] = offset;
    offset += mpi_counts[r];
  }
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(OwnedComm comm, const MpiOptions& options)
      : options_(options), comm_(std::move(comm)), rank_(comm_.rank()), size_(comm_.size()) {
    OwnedComm node = comm_.split_shared();
    node_ = options.ranks_per_node > 0 ? node.split(rank_ / options.ranks_per_node, rank_) : std::move(node);
    local_rank_ = node_.rank();
    local_size_ = node_.size();
    nodes_ = local_rank_ == 0 ? 1 : 0;
    check_code(MPI_Allreduce(MPI_IN_PLACE, &nodes_, 1, MPI_INT, MPI_SUM, comm_.get()), "MPI_Allreduce");
    if (options.node_reduction != NodeReduction::mpi && nodes_ < size_) {
      leaders_ = comm_.split(local_rank_ == 0 ? 0 : MPI_UNDEFINED, rank_);
      share_memory();
      if (!mpi::all_succeeded(comm_, transfers_ != nullptr)) {
        transfers_.reset();
      }
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  std::string description() const override {
    return c10::str("MPI (", mpi::library_version(), "), ", size_, size_ == 1 ? " rank, " : " ranks, ", nodes_,
                    nodes_ == 1 ? " node" : " nodes", transfers_ ? ", shared memory" : "");
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    check(color >= 0, "split: color must not be negative, got ", color);
    return std::make_unique<MpiCommunicator>(comm_.split(color, key), options_);
  }

  MPI_Comm communicator() const { return comm_.get(); }

  /// `output` ← reduction over `comm` of `input`, which may be MPI_IN_PLACE.
  void all_reduce_memory(const void* input, void* output, std::int64_t numel, at::ScalarType dtype, ReduceOp op,
                         MPI_Comm comm) const {
    const std::size_t item = c10::elementSize(dtype);
    const MPI_Datatype type = mpi::reduction_type(dtype);
    const MPI_Op operation = mpi::operation(dtype, op);
    in_pieces(numel, options_.max_count, [&](std::int64_t begin, int count) {
      const void* const from = input == MPI_IN_PLACE ? MPI_IN_PLACE : element(input, begin, item);
      check_code(MPI_Allreduce(from, element(output, begin, item), count, type, operation, comm), "MPI_Allreduce");
    });
  }

 protected:
  bool reaches(at::Device device) const override { return device.is_cpu() || (device.is_cuda() && cuda_aware_); }

  void all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    if (tensor.is_cpu() && shares_memory()) {
      transfers_->all_reduce(tensor.scalar_type(), op, tensor.const_data_ptr(), tensor.mutable_data_ptr(),
                             static_cast<std::size_t>(tensor.numel()));
    } else {
      all_reduce_memory(MPI_IN_PLACE, tensor.mutable_data_ptr(), tensor.numel(), tensor.scalar_type(), op, comm_.get());
    }
  }

  void all_reduce_values_impl(std::span<double> values, ReduceOp op) override {
    if (shares_memory()) {
      transfers_->all_reduce(at::kDouble, op, values.data(), values.data(), values.size());
    } else {
      all_reduce_memory(MPI_IN_PLACE, values.data(), static_cast<std::int64_t>(values.size()), at::kDouble, op,
                        comm_.get());
    }
  }

  Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    auto work = std::make_unique<MpiWork>(tensor);
    const MPI_Datatype type = mpi::reduction_type(tensor.scalar_type());
    const MPI_Op operation = mpi::operation(tensor.scalar_type(), op);
    in_pieces(tensor.numel(), options_.max_count, [&](std::int64_t begin, int count) {
      std::byte* const piece = element(tensor.mutable_data_ptr(), begin, tensor.element_size());
      check_code(MPI_Iallreduce(MPI_IN_PLACE, piece, count, type, operation, comm_.get(), work->new_request()),
                 "MPI_Iallreduce");
    });
    return Pending(std::move(work));
  }

  void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    void* const data = buffer.mutable_data_ptr();
    const MPI_Datatype type = mpi::transport_type(buffer.scalar_type());
    if (buffer.is_cpu() && shares_memory()) {
      transfers_->all_gather(buffer, counts);
    } else if (buffer.numel() > options_.max_count) {
      in_segments(counts, [&](int root, std::int64_t begin, std::int64_t numel) {
        broadcast_memory(element(data, begin, buffer.element_size()), numel, buffer.scalar_type(), root);
      });
    } else if (std::equal(counts.begin() + 1, counts.end(), counts.begin())) {
      check_code(
          MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, static_cast<int>(counts.front()), type, comm_.get()),
          "MPI_Allgather");
    } else {
      to_mpi_counts(counts, counts_, offsets_);
      check_code(
          MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, counts_.data(), offsets_.data(), type, comm_.get()),
          "MPI_Allgatherv");
    }
  }

  Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    auto work = std::make_unique<MpiWork>(buffer);
    if (buffer.numel() > options_.max_count) {
      in_segments(counts, [&](int root, std::int64_t begin, std::int64_t numel) {
        start_broadcast_memory(element(buffer.mutable_data_ptr(), begin, buffer.element_size()), numel,
                               buffer.scalar_type(), root, *work);
      });
    } else {
      to_mpi_counts(counts, work->counts, work->offsets);
      check_code(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, buffer.mutable_data_ptr(), work->counts.data(),
                                 work->offsets.data(), mpi::transport_type(buffer.scalar_type()), comm_.get(),
                                 work->new_request()),
                 "MPI_Iallgatherv");
    }
    return Pending(std::move(work));
  }

  void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, ReduceOp op) override {
    const MPI_Datatype type = mpi::reduction_type(input.scalar_type());
    const MPI_Op operation = mpi::operation(input.scalar_type(), op);
    if (input.numel() <= options_.max_count) {
      check_code(MPI_Reduce_scatter_block(input.const_data_ptr(), output.mutable_data_ptr(),
                                          static_cast<int>(output.numel()), type, operation, comm_.get()),
                 "MPI_Reduce_scatter_block");
      return;
    }
    const std::size_t item = input.element_size();
    for (int root = 0; root < size_; ++root) {
      const std::byte* const part = element(input.const_data_ptr(), root * output.numel(), item);
      in_pieces(output.numel(), options_.max_count, [&](std::int64_t begin, int count) {
        check_code(MPI_Reduce(element(part, begin, item), element(output.mutable_data_ptr(), begin, item), count, type,
                              operation, root, comm_.get()),
                   "MPI_Reduce");
      });
    }
  }

  void broadcast_impl(at::Tensor& tensor, int root) override {
    broadcast_memory(tensor.mutable_data_ptr(), tensor.numel(), tensor.scalar_type(), root);
  }

  Pending start_broadcast_impl(at::Tensor& tensor, int root) override {
    auto work = std::make_unique<MpiWork>(tensor);
    start_broadcast_memory(tensor.mutable_data_ptr(), tensor.numel(), tensor.scalar_type(), root, *work);
    return Pending(std::move(work));
  }

  void barrier_impl() override { check_code(MPI_Barrier(comm_.get()), "MPI_Barrier"); }

  std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                   at::Device device) override;

  at::Tensor visible_impl(std::int64_t numel, at::ScalarType dtype) override {
    return shares_memory() ? transfers_->visible(numel, dtype) : at::Tensor();
  }

 private:
  /// Sets up shared memory among the ranks of a node, or leaves it where they cannot see each other's.
  void share_memory() {
    auto all_gather = [this](const at::Tensor& mine) {
      at::Tensor all = at::empty({local_size_, mine.numel()}, mine.options());
      const int count = static_cast<int>(mine.numel());
      check_code(MPI_Allgather(mine.const_data_ptr(), count, MPI_INT64_T, all.mutable_data_ptr(), count, MPI_INT64_T,
                               node_.get()),
                 "MPI_Allgather");
      return all;
    };
    // A launcher of MPI ends all ranks when one hangs.
    constexpr auto timeout = std::chrono::milliseconds::max();
    std::optional<bool> in_place;
    if (options_.node_reduction != NodeReduction::automatic) {
      in_place = options_.node_reduction == NodeReduction::in_place;
    }
    transfers_ = NodeTransfers::make(
        NodeGroup::make(std::make_unique<Node>(local_rank_, local_size_, std::move(all_gather), timeout)), in_place);
  }

  /// Whether all ranks share a node's memory, and are to use it.
  bool shares_memory() const { return transfers_ && nodes_ == 1; }

  /// Calls `transfer(root, begin, numel)` for the segment of each rank that is not empty.
  template <class Transfer>
  void in_segments(const std::vector<std::int64_t>& counts, const Transfer& transfer) const {
    std::int64_t begin = 0;
    for (int root = 0; root < size_; ++root) {
      const std::int64_t numel = counts[static_cast<std::size_t>(root)];
      if (numel > 0) {
        transfer(root, begin, numel);
      }
      begin += numel;
    }
  }

  void broadcast_memory(void* data, std::int64_t numel, at::ScalarType dtype, int root) const {
    in_pieces(numel, options_.max_count, [&](std::int64_t begin, int count) {
      check_code(MPI_Bcast(element(data, begin, c10::elementSize(dtype)), count, mpi::transport_type(dtype), root,
                           comm_.get()),
                 "MPI_Bcast");
    });
  }

  void start_broadcast_memory(void* data, std::int64_t numel, at::ScalarType dtype, int root, MpiWork& work) const {
    in_pieces(numel, options_.max_count, [&](std::int64_t begin, int count) {
      check_code(MPI_Ibcast(element(data, begin, c10::elementSize(dtype)), count, mpi::transport_type(dtype), root,
                            comm_.get(), work.new_request()),
                 "MPI_Ibcast");
    });
  }

  MpiOptions options_;
  OwnedComm comm_;
  OwnedComm node_;
  /// The first rank of each node; null on the others.
  OwnedComm leaders_;
  /// Null where host memory goes through MPI.
  std::unique_ptr<NodeTransfers> transfers_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  int nodes_ = 1;
  bool cuda_aware_ = mpi::is_cuda_aware();
  // Kept between gathers, to spare the allocation.
  std::vector<int> counts_;
  std::vector<int> offsets_;
};

/// Ordinary memory that MPI reaches, reduced by it out of place.
class MpiReduceBuffer : public ReduceBuffer {
 public:
  MpiReduceBuffer(MpiCommunicator& communicator, std::int64_t numel, at::ScalarType dtype, at::Device device)
      : ReduceBuffer(communicator),
        communicator_(communicator),
        input_(at::empty({numel}, at::TensorOptions(dtype).device(device))) {}

  const at::Tensor& input() const override { return input_; }

 protected:
  void all_reduce_impl(at::Tensor& output, ReduceOp op) override {
    synchronize_stream(input_.device());
    communicator_.all_reduce_memory(input_.const_data_ptr(), output.mutable_data_ptr(), input_.numel(),
                                    input_.scalar_type(), op, communicator_.communicator());
  }

 private:
  MpiCommunicator& communicator_;
  at::Tensor input_;
};

std::unique_ptr<ReduceBuffer> MpiCommunicator::reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                                  at::Device device) {
  if (size_ == 1) {
    return std::make_unique<PrivateReduceBuffer>(*this, numel, dtype, device);
  }
  if (reaches(device) && !device.is_cpu()) {
    return std::make_unique<MpiReduceBuffer>(*this, numel, dtype, device);
  }
  if (transfers_) {
    AcrossNodes across_nodes;
    if (nodes_ > 1) {
      across_nodes = [this](void* values, std::int64_t count, at::ScalarType type, ReduceOp op) {
        all_reduce_memory(MPI_IN_PLACE, values, count, type, op, leaders_.get());
      };
    }
    return make_host_reduce_buffer<NodeReduceBuffer>(device, *this, *transfers_, across_nodes, numel, dtype);
  }
  return make_host_reduce_buffer<MpiReduceBuffer>(device, *this, numel, dtype, at::kCPU);
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, const MpiOptions& options) {
  check(mpi::is_active(), "make_mpi_communicator: MPI must be initialised and not finalised");
  check(options.ranks_per_node >= 0, "make_mpi_communicator: ranks_per_node must not be negative, got ",
        options.ranks_per_node);
  check(options.max_count > 0 && options.max_count <= std::numeric_limits<int>::max(),
        "make_mpi_communicator: max_count must be a positive int, got ", options.max_count);
  return std::make_unique<MpiCommunicator>(OwnedComm::duplicate(comm), options);
}

}  // namespace adjoin
