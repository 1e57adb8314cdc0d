// SPDX-License-Identifier: BSD-3-Clause
// The communicator over MPI: which collectives go through shared memory, and which through messages.
#include "adjoin/comm/mpi.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "comm/backend/engine_reduce_buffer.hpp"
#include "comm/backend/mpi_collectives.hpp"
#include "comm/backend/mpi_engine.hpp"
#include "comm/backend/mpi_support.hpp"
#include "comm/backend/mpi_wait.hpp"
#include "comm/backend/private_reduce_buffer.hpp"
#include "comm/backend/settings.hpp"
#include "comm/backend/staged_reduce_buffer.hpp"
#include "comm/backend/staging.hpp"
#include "comm/shared_memory/across_nodes.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/shared_memory/node.hpp"
#include "comm/shared_memory/reduce_buffer.hpp"
#include "comm/shared_memory/transfers.hpp"

namespace adjoin {

namespace {

using mpi::check_code;
using mpi::OwnedComm;

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(OwnedComm comm, const MpiOptions& options)
      : options_(options), comm_(std::move(comm)), rank_(comm_.rank()), size_(comm_.size()) {
    OwnedComm node = comm_.split_shared();
    node_ = options.ranks_per_node > 0 ? node.split(rank_ / options.ranks_per_node, rank_) : std::move(node);
    local_rank_ = node_.rank();
    local_size_ = node_.size();
    if (size_ == 1) {
      return;
    }
    nodes_ = local_rank_ == 0 ? 1 : 0;
    check_code(MPI_Allreduce(MPI_IN_PLACE, &nodes_, 1, MPI_INT, MPI_SUM, comm_.get()), "MPI_Allreduce");
    waiter_ =
        std::make_shared<mpi::Waiter>(comm_, *options.timeout, doing_, [](int r) { return c10::str("rank ", r); });
    collectives_ = std::make_unique<mpi::Collectives>(comm_.get(), waiter_, options.max_count);
    if (options.shared_memory.sharing != Sharing::off && nodes_ < size_) {
      leaders_ = comm_.split(local_rank_ == 0 ? 0 : MPI_UNDEFINED, rank_);
      share_memory();
      if (!mpi::all_succeeded(comm_, transfers_ && (nodes_ == 1 || across_nodes_))) {
        across_nodes_.reset();
        transfers_.reset();
      }
    }
    if (transfers_ && nodes_ > 1 && local_rank_ == 0) {
      leader_waiter_ = std::make_shared<mpi::Waiter>(
          leaders_, *options.timeout, doing_, [ranks = leaders_.all_gather(rank_)](int r) {
            return c10::str("rank ", ranks[static_cast<std::size_t>(r)], " or another rank of its node");
          });
      leader_collectives_ = std::make_unique<mpi::Collectives>(leaders_.get(), leader_waiter_, options.max_count);
    }
    if (shares_memory()) {
      compare_calls_in(transfers_->group());
    } else {
      compare_calls_by_announcements(transfers_ ? &transfers_->group() : nullptr);
    }
    if (!mpi::allows_several_threads()) {
      keep_to_this_thread();
    }
  }

  ~MpiCommunicator() override {
    leave(std::uncaught_exceptions() > 0);
    for (const std::shared_ptr<mpi::Waiter>& waiter : {waiter_, leader_waiter_}) {
      if (waiter) {
        waiter->forget_communicator();
        if (waiter->has_unfinished()) {
          comm_.release();
          leaders_.release();
        }
      }
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  std::string description() const override {
    return c10::str("MPI (", mpi::library_version(), "), ", size_, size_ == 1 ? " rank, " : " ranks, ", nodes_,
                    nodes_ == 1 ? " node" : " nodes", transfers_ ? ", " + transfers_->description() : "");
  }

 protected:
  bool reaches(at::Device device) const override { return device.is_cpu() || (device.is_cuda() && cuda_aware_); }

  void all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    if (tensor.is_cpu() && shares_memory()) {
      transfers_->all_reduce(tensor.scalar_type(), op, tensor.const_data_ptr(), tensor.mutable_data_ptr(),
                             static_cast<std::size_t>(tensor.numel()));
    } else {
      meet();
      collectives_->all_reduce(tensor, tensor, op);
    }
  }

  void all_reduce_values_impl(std::span<double> values, ReduceOp op) override {
    if (shares_memory()) {
      transfers_->all_reduce(at::kDouble, op, values.data(), values.data(), values.size());
    } else {
      at::Tensor owned = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
      std::ranges::copy(values, owned.mutable_data_ptr<double>());
      collectives_->all_reduce(owned, owned, op);
      std::copy_n(owned.const_data_ptr<double>(), values.size(), values.begin());
    }
  }

  Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    return collectives_->start_all_reduce(tensor, tensor, op);
  }

  Pending announce_impl(at::Tensor& values) override { return collectives_->announce(values); }

  void tell_that_this_rank_leaves() override {
    for (const std::shared_ptr<mpi::Waiter>& waiter : {waiter_, leader_waiter_}) {
      if (waiter) {
        waiter->tell_that_this_rank_leaves();
      }
    }
    if (transfers_) {
      transfers_->group().leave();
    }
  }

  void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    if (buffer.is_cpu() && shares_memory()) {
      transfers_->all_gather(buffer, counts);
    } else {
      meet();
      collectives_->all_gather_v(buffer, counts);
    }
  }

  Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    return collectives_->start_all_gather_v(buffer, counts);
  }

  void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                           ReduceOp op) override {
    if (input.is_cpu() && shares_memory()) {
      transfers_->reduce_scatter(input.scalar_type(), op, input.const_data_ptr(), output.mutable_data_ptr(), counts);
    } else {
      meet();
      collectives_->scatter(input, output, counts, op);
    }
  }

  void broadcast_impl(at::Tensor& tensor, int root) override {
    if (tensor.is_cpu() && shares_memory()) {
      transfers_->broadcast(tensor, root);
    } else {
      meet();
      start_broadcast_impl(tensor, root).wait();
    }
  }

  Pending start_broadcast_impl(at::Tensor& tensor, int root) override {
    return collectives_->start_broadcast(tensor, root);
  }

  void barrier_impl() override {
    if (shares_memory()) {
      meet();
    } else {
      waiter_->meet();
    }
  }

  // What is not received when this gives up keeps its memory for ever, like unfinished collectives.
  void send_impl(const at::Tensor& tensor, int to, int tag) override {
    at::Tensor own = tensor.clone();
    MPI_Request request = MPI_REQUEST_NULL;
    check_code(MPI_Isend(own.const_data_ptr(), mpi_count(own), mpi::transport_type(own.scalar_type()), to, tag,
                         comm_.get(), &request),
               "MPI_Isend");
    wait_for_peer(request, own, to);
  }

  int recv_impl(at::Tensor& tensor, int from, int tag) override {
    MPI_Request request = MPI_REQUEST_NULL;
    check_code(MPI_Irecv(tensor.mutable_data_ptr(), mpi_count(tensor), mpi::transport_type(tensor.scalar_type()),
                         from < 0 ? MPI_ANY_SOURCE : from, tag, comm_.get(), &request),
               "MPI_Irecv");
    return wait_for_peer(request, tensor, from);
  }

  std::unique_ptr<Communicator> split_impl(int color, int key) override {
    return std::make_unique<MpiCommunicator>(comm_.split(color, key), options_);
  }

  std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                   at::Device device) override;

  at::Tensor visible_impl(std::int64_t numel, at::ScalarType dtype) override {
    return shares_memory() ? transfers_->visible(numel, dtype) : at::Tensor();
  }

 private:
  int mpi_count(const at::Tensor& tensor) const {
    check(tensor.numel() <= options_.max_count, "send and recv: tensor must have at most ", options_.max_count,
          " elements, got ", tensor.numel());
    return static_cast<int>(tensor.numel());
  }

  int wait_for_peer(MPI_Request& request, const at::Tensor& memory, int peer) {
    const auto is_gone = [this](int r) { return shares_memory() && transfers_->group().is_gone(r); };
    try {
      return waiter_->wait_for_peer(request, peer, is_gone);
    } catch (...) {
      if (request != MPI_REQUEST_NULL) {
        static_cast<void>(new at::Tensor(memory));  // NOLINT(cppcoreguidelines-owning-memory): see above
      }
      throw;
    }
  }

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
    transfers_ = NodeTransfers::make(std::make_unique<Node>(local_rank_, local_size_, std::move(all_gather)),
                                     node_.all_gather(rank_), *options_.timeout, nodes_, options_.shared_memory);
    if (nodes_ == 1) {
      return;
    }
    NodeLinks links = {
        .node_of = places_of_nodes(),
        .start_all_reduce = [this](at::Tensor& values,
                                   ReduceOp op) { return leader_collectives_->start_all_reduce(values, values, op); },
        .start_exchange =
            [this](const std::vector<at::Tensor>& sends, const std::vector<at::Tensor>& receives) {
              return mpi::start_exchange(leader_waiter_, sends, receives);
            }};
    across_nodes_ = transfers_ ? AcrossNodes::make(*transfers_, rank_, std::move(links)) : nullptr;
  }

  /// Of each rank, the place of its node's first rank among the nodes' first ranks. Collective.
  std::vector<int> places_of_nodes() const {
    std::vector<int> places = comm_.all_gather(node_.all_gather(rank_).front());
    std::vector<int> first_ranks = places;
    std::ranges::sort(first_ranks);
    const auto repeated = std::ranges::unique(first_ranks);
    first_ranks.erase(repeated.begin(), repeated.end());
    for (int& place : places) {
      place = static_cast<int>(std::ranges::lower_bound(first_ranks, place) - first_ranks.begin());
    }
    return places;
  }

  /// Whether all ranks share a node's memory, and are to use it.
  bool shares_memory() const { return transfers_ && nodes_ == 1; }

  MpiOptions options_;
  OwnedComm comm_;
  OwnedComm node_;
  /// The first rank of each node; null on the others.
  OwnedComm leaders_;
  std::function<std::string()> doing_ = [this] { return doing(); };
  std::shared_ptr<mpi::Waiter> waiter_;
  std::shared_ptr<mpi::Waiter> leader_waiter_;
  std::unique_ptr<mpi::Collectives> collectives_;
  std::unique_ptr<mpi::Collectives> leader_collectives_;
  /// Null where host memory goes through MPI.
  std::unique_ptr<NodeTransfers> transfers_;
  /// Null where all ranks are on one node, too.
  std::unique_ptr<AcrossNodes> across_nodes_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  int nodes_ = 1;
  bool cuda_aware_ = mpi::is_cuda_aware();
};

std::unique_ptr<ReduceBuffer> MpiCommunicator::reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                                  at::Device device) {
  if (size_ == 1) {
    return std::make_unique<PrivateReduceBuffer>(*this, numel, dtype, device);
  }
  const auto start_tail = [this](at::Tensor& tail) {
    return tail.numel() > 0 ? collectives_->start_all_reduce(tail, tail, ReduceOp::sum) : Pending();
  };
  const EngineCollectives by_mpi = {
      .reduce =
          [this](const at::Tensor& input, at::Tensor& output, ReduceOp op) {
            meet();
            synchronize_stream(input.device());
            collectives_->all_reduce(input, output, op);
          },
      .scatter =
          [this, start_tail](const at::Tensor& input, at::Tensor& part, const std::vector<std::int64_t>& counts,
                             at::Tensor& tail) {
            meet();
            synchronize_stream(input.device());
            Pending tail_sum = start_tail(tail);
            collectives_->scatter(input, part, counts, ReduceOp::sum);
            tail_sum.wait();
          },
      .gather =
          [this, start_tail](at::Tensor& gathered, const std::vector<std::int64_t>& counts, at::Tensor& tail) {
            meet();
            synchronize_stream(gathered.device());
            Pending tail_sum = start_tail(tail);
            collectives_->all_gather_v(gathered, counts);
            tail_sum.wait();
          }};
  if (reaches(device) && !device.is_cpu()) {
    return std::make_unique<EngineReduceBuffer>(*this, by_mpi, numel, dtype, device);
  }
  if (transfers_) {
    return make_host_reduce_buffer<NodeReduceBuffer>(device, *this, *transfers_, across_nodes_.get(), numel, dtype);
  }
  return make_host_reduce_buffer<EngineReduceBuffer>(device, *this, by_mpi, numel, dtype, at::kCPU);
}

}  // namespace

std::unique_ptr<Communicator> mpi::make_communicator(MPI_Comm comm, const MpiOptions& options) {
  check(mpi::is_active(), "make_mpi_communicator: MPI must be initialised and not finalised, in this very process");
  check(comm != MPI_COMM_NULL, "make_mpi_communicator: comm must not be MPI_COMM_NULL");
  check(options.ranks_per_node >= 0, "make_mpi_communicator: ranks_per_node must not be negative, got ",
        options.ranks_per_node);
  check(options.max_count > 0 && options.max_count <= std::numeric_limits<int>::max(),
        "make_mpi_communicator: max_count must be a positive int, got ", options.max_count);
  const Settings settings = chosen_settings("make_mpi_communicator", options.shared_memory, options.timeout);
  MpiOptions with_defaults = options;
  with_defaults.shared_memory = settings.shared_memory;
  with_defaults.timeout = settings.timeout.value_or(std::chrono::minutes(10));
  mpi::OwnedComm own = mpi::duplicate_in_time(comm, *with_defaults.timeout);
  check_settings("make_mpi_communicator", own.all_gather(to_message(settings)));
  return std::make_unique<MpiCommunicator>(std::move(own), with_defaults);
}

}  // namespace adjoin
