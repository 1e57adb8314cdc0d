// SPDX-License-Identifier: BSD-3-Clause
// The communicator over a process group: which collectives go through shared memory, and which through the group.
#include "adjoin/comm/process_group.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <utility>

#include "adjoin/comm/single.hpp"
#include "adjoin/core/errors.hpp"
#include "comm/backend/engine_reduce_buffer.hpp"
#include "comm/backend/group_collectives.hpp"
#include "comm/backend/group_facts.hpp"
#include "comm/backend/group_wait.hpp"
#include "comm/backend/private_reduce_buffer.hpp"
#include "comm/backend/settings.hpp"
#include "comm/backend/staged_reduce_buffer.hpp"
#include "comm/shared_memory/across_nodes.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/shared_memory/node.hpp"
#include "comm/shared_memory/reduce_buffer.hpp"
#include "comm/shared_memory/transfers.hpp"

namespace adjoin {

namespace {

constexpr const char* maker = "make_process_group_communicator";

/// Some of the ranks of a communicator, as a group of their own.
struct Subgroup {
  std::shared_ptr<GroupWaiter> waiter;
  GroupCollectives collectives;
};

class ProcessGroupCommunicator : public Communicator {
 public:
  ProcessGroupCommunicator(ProcessGroupPtr group, ProcessGroupOptions options, const Settings& settings = {})
      : options_(std::move(options)),
        group_(std::move(group)),
        rank_(group_->getRank()),
        size_(group_->getSize()),
        waiter_(std::make_shared<GroupWaiter>(group_, store_of(*group_), next_name(group_->getGroupName()),
                                              [this] { return doing(); })),
        collectives_(group_, waiter_, options_.timeout) {
    if (size_ == 1) {
      check_settings(maker, {to_message(settings)});
      return;
    }
    compare_calls_by_announcements();
    check_settings(maker, all_gather_bytes(to_message(settings)));
    find_nodes();
    if (options_.shared_memory.sharing != Sharing::off && num_nodes() < size_ &&
        (num_nodes() == 1 || options_.new_group)) {
      share_memory();
    }
    if (shares_memory()) {
      compare_calls_in(transfers_->group());
    } else if (transfers_) {
      compare_calls_by_announcements(&transfers_->group());
    }
    reset_counters();
  }

  ~ProcessGroupCommunicator() override {
    leave(std::uncaught_exceptions() > 0);
    waiter_->forget_communicator();
    for (const auto& subgroup : {node_group_, leaders_}) {
      if (subgroup) {
        subgroup->waiter->forget_communicator();
      }
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  std::string description() const override {
    return c10::str("torch.distributed (", group_->getBackendName(), "), ", size_, size_ == 1 ? " rank, " : " ranks, ",
                    num_nodes(), num_nodes() == 1 ? " node" : " nodes",
                    transfers_ ? ", " + transfers_->description() : "");
  }

 protected:
  /// The group moves host memory always, by way of the accelerator if need be.
  bool reaches(at::Device device) const override { return collectives_.devices().reaches(device); }

  void send_impl(const at::Tensor& tensor, int to, int tag) override { collectives_.send(tensor, to, tag); }
  int recv_impl(at::Tensor& tensor, int from, int tag) override { return collectives_.recv(tensor, from, tag); }

  std::unique_ptr<Communicator> split_impl(int color, int key) override {
    at::Tensor all = at::empty({size_, 2}, at::kInt);
    all[rank_].copy_(at::tensor({color, key}, at::kInt));
    all_gather_v_impl(all, std::vector<std::int64_t>(static_cast<std::size_t>(size_), 2));
    std::vector<int> members;
    for (int r = 0; r < size_; ++r) {
      if (all[r][0].item<int>() == color) {
        members.push_back(r);
      }
    }
    std::ranges::stable_sort(members, {}, [&](int r) { return all[r][1].item<int>(); });
    if (members.size() == 1) {
      return make_single_communicator();
    }
    if (static_cast<int>(members.size()) == size_ && std::ranges::is_sorted(members)) {
      return std::make_unique<ProcessGroupCommunicator>(group_, options_);
    }
    check(options_.new_group != nullptr, "split: ProcessGroupOptions::new_group must be given to make smaller groups");
    return std::make_unique<ProcessGroupCommunicator>(options_.new_group(members), options_);
  }

  /// All that torch has do but its MPI.
  bool follows_streams(at::Device device) const override {
    return !device.is_cpu() && group_->getBackend(device.type())->getBackendName() != "mpi";
  }

  void all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    if (shares_memory() && tensor.is_cpu()) {
      transfers_->all_reduce(tensor.scalar_type(), op, tensor.const_data_ptr(), tensor.mutable_data_ptr(),
                             static_cast<std::size_t>(tensor.numel()));
    } else {
      meet();
      start_all_reduce_impl(tensor, op).wait();
    }
  }

  void all_reduce_values_impl(std::span<double> values, ReduceOp op) override {
    if (shares_memory()) {
      transfers_->all_reduce(at::kDouble, op, values.data(), values.data(), values.size());
    } else {
      at::Tensor owned = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
      std::ranges::copy(values, owned.mutable_data_ptr<double>());
      all_reduce_impl(owned, op);
      std::copy_n(owned.const_data_ptr<double>(), values.size(), values.begin());
    }
  }

  Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    return collectives_.start_all_reduce(tensor, op);
  }

  void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    if (shares_memory() && buffer.is_cpu()) {
      transfers_->all_gather(buffer, counts);
    } else {
      meet();
      start_all_gather_v_impl(buffer, counts).wait();
    }
  }

  Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    return collectives_.start_all_gather_v(buffer, counts);
  }

  void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                           ReduceOp op) override {
    if (shares_memory() && input.is_cpu()) {
      transfers_->reduce_scatter(input.scalar_type(), op, input.const_data_ptr(), output.mutable_data_ptr(), counts);
    } else {
      meet();
      collectives_.scatter(input, output, counts, op);
    }
  }

  void broadcast_impl(at::Tensor& tensor, int root) override {
    if (shares_memory() && tensor.is_cpu()) {
      transfers_->broadcast(tensor, root);
    } else {
      meet();
      start_broadcast_impl(tensor, root).wait();
    }
  }

  Pending start_broadcast_impl(at::Tensor& tensor, int root) override {
    return collectives_.start_broadcast(tensor, root);
  }

  void barrier_impl() override {
    if (shares_memory()) {
      meet();
      return;
    }
    // A value that returns to the host: it tells the host, not only a stream, that all have come.
    double value = 0.0;
    all_reduce_values_impl({&value, 1}, ReduceOp::sum);
  }

  std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                   at::Device device) override;

  void provide_gather(const std::vector<std::int64_t>& counts) override {
    if (!shares_memory()) {
      collectives_.provide_gather(counts);
    }
  }

  at::Tensor visible_impl(std::int64_t numel, at::ScalarType dtype) override {
    return shares_memory() ? transfers_->visible(numel, dtype) : at::Tensor();
  }

 private:
  int num_nodes() const { return std::max<int>(1, static_cast<int>(nodes_.size())); }
  /// Whether all ranks share a node's memory, and are to use it.
  bool shares_memory() const { return transfers_ && num_nodes() == 1; }

  /// Which ranks are on which node. Collective.
  void find_nodes() {
    const int length = options_.ranks_per_node;
    const std::vector<std::string> names =
        all_gather_bytes(length > 0 ? c10::str(node_name(), ' ', rank_ / length) : node_name());
    for (int r = 0; r < size_; ++r) {
      const auto on_one_node = [&](const std::vector<int>& ranks) {
        return names[static_cast<std::size_t>(ranks.front())] == names[static_cast<std::size_t>(r)];
      };
      auto node = std::ranges::find_if(nodes_, on_one_node);
      if (node == nodes_.end()) {
        node = nodes_.insert(node, std::vector<int>());
      }
      if (r == rank_) {
        own_node_ = static_cast<std::size_t>(node - nodes_.begin());
        local_rank_ = static_cast<int>(node->size());
      }
      node->push_back(r);
    }
    local_size_ = static_cast<int>(nodes_[own_node_].size());
  }

  /// Of `ranks`, which all come here.
  std::shared_ptr<Subgroup> subgroup(const std::vector<int>& ranks) const {
    const ProcessGroupPtr group = options_.new_group(ranks);
    auto waiter = std::make_shared<GroupWaiter>(
        group, store_of(*group), next_name(group->getGroupName()), [this] { return doing(); }, ranks);
    return std::make_shared<Subgroup>(waiter, GroupCollectives(group, waiter, options_.timeout));
  }

  /// Sets up shared memory among the ranks of a node, and a group of the nodes' first ranks where there are several, or
  /// leaves all as it is where the ranks of a node cannot see each other's.
  void share_memory() {
    const std::vector<int>& ranks = nodes_[own_node_];
    if (num_nodes() > 1) {
      node_group_ = local_size_ > 1 ? subgroup(ranks) : nullptr;
      leaders_ = local_rank_ == 0 ? subgroup(first_ranks()) : nullptr;
    }
    auto all_gather = [this](const at::Tensor& mine) {
      at::Tensor all = at::empty({local_size_, mine.numel()}, mine.options());
      all[local_rank_].copy_(mine);
      if (local_size_ > 1) {
        GroupCollectives& group = node_group_ ? node_group_->collectives : collectives_;
        group.start_all_gather_v(all, std::vector(static_cast<std::size_t>(local_size_), mine.numel())).wait();
      }
      return all;
    };
    transfers_ = NodeTransfers::make(std::make_unique<Node>(local_rank_, local_size_, std::move(all_gather)), ranks,
                                     timeout(), num_nodes(), options_.shared_memory);
    if (transfers_ && num_nodes() > 1) {
      across_nodes_ = AcrossNodes::make(*transfers_, rank_, links());
    }
    const bool success = transfers_ && (num_nodes() == 1 || across_nodes_);
    at::Tensor shared_everywhere = at::tensor({success ? 1.0 : 0.0}, at::kDouble);
    start_all_reduce_impl(shared_everywhere, ReduceOp::min).wait();
    if (shared_everywhere.item<double>() == 0.0) {
      across_nodes_.reset();
      transfers_.reset();
    }
  }

  NodeLinks links() const {
    NodeLinks links;
    links.node_of.resize(static_cast<std::size_t>(size_));
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      for (const int r : nodes_[n]) {
        links.node_of[static_cast<std::size_t>(r)] = static_cast<int>(n);
      }
    }
    links.start_all_reduce = [this](at::Tensor& values, ReduceOp op) {
      return leaders_->collectives.start_all_reduce(values, op);
    };
    if (collectives_.exchanges()) {
      links.start_exchange = [this](const std::vector<at::Tensor>& sends, const std::vector<at::Tensor>& receives) {
        return leaders_->collectives.start_exchange(sends, receives);
      };
    }
    return links;
  }

  std::vector<int> first_ranks() const {
    std::vector<int> ranks;
    std::ranges::transform(nodes_, std::back_inserter(ranks), [](const auto& node) { return node.front(); });
    return ranks;
  }

  std::chrono::milliseconds timeout() const {
    return options_.timeout ? *options_.timeout : timeout_of(*collectives_.devices().backend_of_host());
  }

  void tell_that_this_rank_leaves() override { waiter_->tell_that_this_rank_leaves(); }

  ProcessGroupOptions options_;
  ProcessGroupPtr group_;
  int rank_;
  int size_;
  std::shared_ptr<GroupWaiter> waiter_;
  GroupCollectives collectives_;
  int local_rank_ = 0;
  int local_size_ = 1;
  /// The ranks of each node.
  std::vector<std::vector<int>> nodes_;
  std::size_t own_node_ = 0;
  /// Where there are several nodes, the ranks of this one, and the nodes' first ranks; null on ranks that are in none.
  std::shared_ptr<Subgroup> node_group_;
  std::shared_ptr<Subgroup> leaders_;
  /// Null where host memory goes through the group.
  std::unique_ptr<NodeTransfers> transfers_;
  /// Null where all ranks are on one node, too.
  std::unique_ptr<AcrossNodes> across_nodes_;
};

std::unique_ptr<ReduceBuffer> ProcessGroupCommunicator::reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                                           at::Device device) {
  if (size_ == 1) {
    return std::make_unique<PrivateReduceBuffer>(*this, numel, dtype, device);
  }
  const EngineCollectives engine = {
      .reduce =
          [this](const at::Tensor& input, at::Tensor& output, ReduceOp op) {
            output.copy_(input.view(output.sizes()));
            all_reduce_impl(output, op);
          },
      .scatter =
          [this](const at::Tensor& input, at::Tensor& part, const std::vector<std::int64_t>& counts, at::Tensor& tail) {
            meet();
            Pending tail_sum = tail.numel() > 0 ? start_all_reduce_impl(tail, ReduceOp::sum) : Pending();
            collectives_.scatter(input, part, counts, ReduceOp::sum);
            tail_sum.wait();
          },
      .gather =
          [this](at::Tensor& gathered, const std::vector<std::int64_t>& counts, at::Tensor& tail) {
            meet();
            Pending tail_sum = tail.numel() > 0 ? start_all_reduce_impl(tail, ReduceOp::sum) : Pending();
            at::Tensor bytes = as_bytes(gathered);  // for which memory was provided
            std::vector<std::int64_t> lengths = counts;
            for (std::int64_t& length : lengths) {
              length *= static_cast<std::int64_t>(gathered.element_size());
            }
            start_all_gather_v_impl(bytes, lengths).wait();
            tail_sum.wait();
          },
      .provide =
          [this, on_host = device.is_cpu()](const std::vector<std::int64_t>& bytes) {
            if (on_host) {
              provide_gather(bytes);
              collectives_.provide_scatter(bytes);
            }
          }};
  if (reaches(device) && !device.is_cpu()) {
    return std::make_unique<EngineReduceBuffer>(*this, engine, numel, dtype, device);
  }
  if (transfers_) {
    return make_host_reduce_buffer<NodeReduceBuffer>(device, *this, *transfers_, across_nodes_.get(), numel, dtype);
  }
  return make_host_reduce_buffer<EngineReduceBuffer>(device, *this, engine, numel, dtype, at::kCPU);
}

}  // namespace

std::unique_ptr<Communicator> make_process_group_communicator(ProcessGroupPtr group,
                                                              const ProcessGroupOptions& options) {
  check(group.defined(), "make_process_group_communicator: group must not be null");
  check(options.ranks_per_node >= 0, "make_process_group_communicator: ranks_per_node must not be negative, got ",
        options.ranks_per_node);
  const Settings settings = chosen_settings(maker, options.shared_memory, options.timeout);
  ProcessGroupOptions with_defaults = options;
  with_defaults.shared_memory = settings.shared_memory;
  with_defaults.timeout = settings.timeout;
  return std::make_unique<ProcessGroupCommunicator>(std::move(group), with_defaults, settings);
}

}  // namespace adjoin
