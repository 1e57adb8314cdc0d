#include "adjoin/comm/process_group.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <utility>

#include "adjoin/comm/single.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/core/sole_holder.hpp"
#include "comm/and_then.hpp"
#include "comm/backend/engine_reduce_buffer.hpp"
#include "comm/backend/group_devices.hpp"
#include "comm/backend/group_facts.hpp"
#include "comm/backend/group_wait.hpp"
#include "comm/backend/private_reduce_buffer.hpp"
#include "comm/backend/reducible.hpp"
#include "comm/backend/settings.hpp"
#include "comm/backend/staged_reduce_buffer.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/shared_memory/node.hpp"
#include "comm/shared_memory/reduce_buffer.hpp"
#include "comm/shared_memory/transfers.hpp"
#include "kernels/reduce_kernels.hpp"

namespace adjoin {

namespace {

constexpr const char* maker = "make_process_group_communicator";

/// The memory of the contiguous `tensor` as bytes: what a backend moves, whatever the dtype.
at::Tensor as_bytes(const at::Tensor& tensor) { return tensor.view({-1}).view(at::kByte); }

class ProcessGroupCommunicator : public Communicator {
 public:
  ProcessGroupCommunicator(ProcessGroupPtr group, ProcessGroupOptions options, const Settings& settings = {})
      : options_(std::move(options)),
        group_(std::move(group)),
        rank_(group_->getRank()),
        size_(group_->getSize()),
        devices_(group_),
        waiter_(std::make_shared<GroupWaiter>(group_, store_of(*group_), next_name(group_->getGroupName()),
                                              [this] { return doing(); })) {
    if (size_ == 1) {
      check_settings(maker, {to_message(settings)});
      return;
    }
    compare_calls_by_announcements();
    check_settings(maker, all_gather_bytes(to_message(settings)));
    const std::vector<std::string> names = all_gather_bytes(node_name());
    const std::string& mine = names[static_cast<std::size_t>(rank_)];
    local_size_ = static_cast<int>(std::ranges::count(names, mine));
    local_rank_ = static_cast<int>(std::count(names.begin(), names.begin() + rank_, mine));
    if (options_.shared_memory.sharing != Sharing::off && local_size_ == size_) {
      share_memory();
    }
    if (transfers_) {
      compare_calls_in(transfers_->group());
    }
    reset_counters();
  }

  ~ProcessGroupCommunicator() override {
    leave(std::uncaught_exceptions() > 0);
    waiter_->forget_communicator();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  std::string description() const override {
    return c10::str("torch.distributed (", group_->getBackendName(), "), ", size_, size_ == 1 ? " rank" : " ranks",
                    transfers_ ? ", " + transfers_->description() : "");
  }

 protected:
  /// The group moves host memory always, by way of the accelerator if need be.
  bool reaches(at::Device device) const override { return devices_.reaches(device); }

  void send_impl(const at::Tensor& tensor, int to, int tag) override {
    const c10::NoGradGuard no_grad;
    const at::Tensor moved = devices_.on_backend(tensor);
    std::vector<at::Tensor> tensors = {as_bytes(moved)};
    between_two([&] { return devices_.backend_of(moved)->send(tensors, to, tag); });
  }

  int recv_impl(at::Tensor& tensor, int from, int tag) override {
    const c10::NoGradGuard no_grad;
    const at::Tensor moved = devices_.on_backend(tensor);
    std::vector<at::Tensor> tensors = {as_bytes(moved)};
    const auto work = between_two([&] {
      const auto backend = devices_.backend_of(moved);
      return from < 0 ? backend->recvAnysource(tensors, tag) : backend->recv(tensors, from, tag);
    });
    unstage(moved, tensor);
    return from < 0 ? work->sourceRank() : from;
  }

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
    if (transfers_ && tensor.is_cpu()) {
      transfers_->all_reduce(tensor.scalar_type(), op, tensor.const_data_ptr(), tensor.mutable_data_ptr(),
                             static_cast<std::size_t>(tensor.numel()));
    } else {
      meet();
      start_all_reduce_impl(tensor, op).wait();
    }
  }

  void all_reduce_values_impl(std::span<double> values, ReduceOp op) override {
    if (transfers_) {
      transfers_->all_reduce(at::kDouble, op, values.data(), values.data(), values.size());
    } else {
      at::Tensor owned = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
      std::ranges::copy(values, owned.mutable_data_ptr<double>());
      all_reduce_impl(owned, op);
      std::copy_n(owned.const_data_ptr<double>(), values.size(), values.begin());
    }
  }

  Pending start_all_reduce_impl(at::Tensor& tensor, ReduceOp op) override {
    const c10::NoGradGuard no_grad;
    if (tensor.is_complex() && op == ReduceOp::product) {
      return start_complex_product(tensor);
    }
    Reducible reducible = as_reducible(tensor, op);
    reducible.tensor = devices_.on_backend(reducible.tensor);
    GroupWork::Finish finish;
    if (!reducible.tensor.is_alias_of(tensor)) {
      finish = [tensor, reducible] {
        (tensor.is_complex() ? at::view_as_real(tensor) : tensor).copy_(reducible.values_of(reducible.tensor));
      };
    }
    auto work = std::make_unique<GroupWork>(waiter_, std::vector{tensor, reducible.tensor}, std::move(finish));
    std::vector<at::Tensor> tensors = {reducible.tensor};
    c10d::AllreduceOptions options;
    options.reduceOp = reducible.op;
    limit(options);
    work->add([&] { return devices_.backend_of(reducible.tensor)->allreduce(tensors, options); });
    return Pending(std::move(work));
  }

  void all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    if (transfers_ && buffer.is_cpu()) {
      transfers_->all_gather(buffer, counts);
    } else {
      meet();
      start_all_gather_v_impl(buffer, counts).wait();
    }
  }

  /// Backends gather equal parts. Unequal ones are padded, or broadcast one by one where that moves much less.
  Pending start_all_gather_v_impl(at::Tensor& buffer, const std::vector<std::int64_t>& counts) override {
    const c10::NoGradGuard no_grad;
    const std::int64_t longest = std::ranges::max(counts);
    const bool equal = longest * size_ == buffer.numel();
    if (is_sent_by_broadcasts(counts, buffer.numel())) {
      return start_broadcasts(buffer, counts);
    }
    const auto begin = std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0});
    const at::Tensor flat = buffer.view({-1});
    const at::Tensor memory = gathering_memory(longest * (equal ? 1 : 1 + size_), buffer);
    at::Tensor mine = memory.narrow(0, 0, longest);
    const std::int64_t count = counts[static_cast<std::size_t>(rank_)];
    mine.narrow(0, 0, count).copy_(flat.narrow(0, begin, count));
    mine.narrow(0, count, longest - count).zero_();
    mine = devices_.on_backend(mine);
    const bool in_place = equal && mine.device() == buffer.device();
    const bool has_room = !equal && mine.device() == memory.device();
    const at::Tensor all = in_place   ? flat
                           : has_room ? memory.narrow(0, longest, size_ * longest)
                                      : at::empty({size_ * longest}, mine.options());
    GroupWork::Finish finish;
    if (!in_place) {
      finish = [flat, all, counts, longest] {
        std::int64_t offset = 0;
        for (std::size_t r = 0; r < counts.size(); ++r) {
          flat.narrow(0, offset, counts[r]).copy_(all.narrow(0, static_cast<std::int64_t>(r) * longest, counts[r]));
          offset += counts[r];
        }
      };
    }
    auto work = std::make_unique<GroupWork>(waiter_, std::vector{mine, all}, std::move(finish));
    at::Tensor input = as_bytes(mine);
    at::Tensor output = as_bytes(all);
    c10d::AllgatherOptions options;
    limit(options);
    work->add([&] { return devices_.backend_of(mine)->_allgather_base(output, input, options); });
    return Pending(std::move(work));
  }

  void reduce_scatter_impl(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts,
                           ReduceOp op) override {
    if (transfers_ && input.is_cpu()) {
      transfers_->reduce_scatter(input.scalar_type(), op, input.const_data_ptr(), output.mutable_data_ptr(), counts);
    } else {
      meet();
      scatter(input, output, counts, op);
    }
  }

  void broadcast_impl(at::Tensor& tensor, int root) override {
    if (transfers_ && tensor.is_cpu()) {
      transfers_->broadcast(tensor, root);
    } else {
      meet();
      start_broadcast_impl(tensor, root).wait();
    }
  }

  Pending start_broadcast_impl(at::Tensor& tensor, int root) override {
    const c10::NoGradGuard no_grad;
    const at::Tensor moved = devices_.on_backend(tensor);
    GroupWork::Finish finish;
    if (!moved.is_same(tensor)) {
      finish = [tensor, moved] { tensor.copy_(moved); };
    }
    auto work = std::make_unique<GroupWork>(waiter_, std::vector{tensor, moved}, std::move(finish));
    add_broadcast(*work, moved, root);
    return Pending(std::move(work));
  }

  void barrier_impl() override {
    if (transfers_) {
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
    const std::int64_t longest = std::ranges::max(counts);
    const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    const std::int64_t bytes = longest * (longest * size_ == total ? 1 : 1 + size_);
    const bool has_enough = gathering_.defined() && gathering_.numel() >= bytes;
    if (!transfers_ && !has_enough && !is_sent_by_broadcasts(counts, total)) {
      gathering_ = at::empty({bytes}, at::kByte);
    }
  }

  void provide_scatter(const std::vector<std::int64_t>& counts) {
    const std::int64_t bytes = size_ * counts[static_cast<std::size_t>(rank_)];
    if (!scattering_.defined() || scattering_.numel() < bytes) {
      scattering_ = at::empty({bytes}, at::kByte);
    }
  }

  at::Tensor visible_impl(std::int64_t numel, at::ScalarType dtype) override {
    return transfers_ ? transfers_->visible(numel, dtype) : at::Tensor();
  }

 private:
  bool is_sent_by_broadcasts(const std::vector<std::int64_t>& counts, std::int64_t total) const {
    return std::ranges::max(counts) * size_ > 2 * total;
  }

  /// What was provided, where it is of the right kind and free, or else new memory for `numel` elements.
  at::Tensor gathering_memory(std::int64_t numel, const at::Tensor& buffer) const {
    const bool is_provided = buffer.is_cpu() && buffer.scalar_type() == at::kByte && gathering_.defined() &&
                             gathering_.numel() >= numel && is_sole_holder(gathering_);
    return is_provided ? gathering_.narrow(0, 0, numel) : at::empty({numel}, buffer.options());
  }

  /// Sets up shared memory, or leaves all as it is where the ranks cannot see each other's.
  void share_memory() {
    auto all_gather = [this](const at::Tensor& mine) {
      at::Tensor all = at::empty({size_, mine.numel()}, mine.options());
      all[rank_].copy_(mine);
      start_all_gather_v_impl(all, std::vector<std::int64_t>(static_cast<std::size_t>(size_), mine.numel())).wait();
      return all;
    };
    std::vector<int> ranks(static_cast<std::size_t>(size_));
    std::iota(ranks.begin(), ranks.end(), 0);
    transfers_ = NodeTransfers::make(
        NodeGroup::make(std::make_unique<Node>(rank_, size_, std::move(all_gather)), std::move(ranks), timeout()),
        options_.shared_memory);
  }

  std::chrono::milliseconds timeout() const {
    return options_.timeout ? *options_.timeout : timeout_of(*devices_.backend_of_host());
  }

  /// Waits for what `start` starts, and returns it.
  template <class Start>
  c10::intrusive_ptr<c10d::Work> between_two(const Start& start) {
    try {
      c10::intrusive_ptr<c10d::Work> work = start();
      work->wait(options_.timeout.value_or(::kNoTimeout));
      return work;
    } catch (const c10::Error& e) {
      throw CommunicationError(c10::str("torch.distributed: ", e.what_without_backtrace()));
    } catch (const std::exception& e) {
      throw CommunicationError(c10::str("torch.distributed: ", e.what()));
    }
  }

  /// Has the backend wait no longer than this communicator's own timeout.
  template <class Options>
  void limit(Options& options) const {
    if (options_.timeout) {
      options.timeout = *options_.timeout;
    }
  }

  void tell_that_this_rank_leaves() override { waiter_->tell_that_this_rank_leaves(); }

  void add_broadcast(GroupWork& work, const at::Tensor& tensor, int root) const {
    std::vector<at::Tensor> tensors = {as_bytes(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    limit(options);
    work.add([&] { return devices_.backend_of(tensor)->broadcast(tensors, options); });
  }

  Pending start_broadcasts(const at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
    const at::Tensor moved = devices_.on_backend(buffer.view({-1}));
    GroupWork::Finish finish;
    if (moved.device() != buffer.device()) {
      finish = [buffer, moved] { buffer.copy_(moved.view(buffer.sizes())); };
    }
    auto work = std::make_unique<GroupWork>(waiter_, std::vector{buffer, moved}, std::move(finish));
    std::int64_t begin = 0;
    for (int root = 0; root < size_; ++root) {
      const std::int64_t count = counts[static_cast<std::size_t>(root)];
      if (count > 0) {
        add_broadcast(*work, moved.narrow(0, begin, count), root);
      }
      begin += count;
    }
    return Pending(std::move(work));
  }

  /// Every rank sends each other rank its part, and reduces what it gets, in the order of the ranks. Where that is not
  /// to be had, all of `input` is reduced.
  void scatter(const at::Tensor& input, at::Tensor& output, const std::vector<std::int64_t>& counts, ReduceOp op) {
    const c10::NoGradGuard no_grad;
    const std::int64_t own = counts[static_cast<std::size_t>(rank_)];
    const at::Tensor moved = devices_.on_backend(input);
    const std::string backend = devices_.backend_of(moved)->getBackendName();
    // Those that are known to send parts of unlike lengths from all ranks to all.
    const bool exchanges = backend == "gloo" || backend == "nccl" || backend == "mpi" || backend == "ucc";
    if (!exchanges || (!input.is_cpu() && op != ReduceOp::sum)) {
      at::Tensor reduced = input.clone(at::MemoryFormat::Contiguous);
      start_all_reduce_impl(reduced, op).wait();
      output.copy_(reduced.narrow(0, std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0}), own));
      return;
    }
    const auto item = static_cast<std::int64_t>(moved.element_size());
    const bool has_room = moved.is_cpu() && scattering_.defined() && scattering_.numel() >= size_ * own * item &&
                          is_sole_holder(scattering_);
    const at::Tensor parts = has_room ? scattering_.narrow(0, 0, size_ * own * item).view(moved.scalar_type())
                                      : at::empty({size_ * own}, moved.options());
    GroupWork work(waiter_, {moved, parts});
    std::vector<std::int64_t> received(static_cast<std::size_t>(size_), own * item);
    std::vector<std::int64_t> sent = counts;
    for (std::int64_t& count : sent) {
      count *= item;
    }
    at::Tensor from = as_bytes(moved);
    at::Tensor to = as_bytes(parts);
    c10d::AllToAllOptions options;
    limit(options);
    work.add([&] { return devices_.backend_of(moved)->alltoall_base(to, from, received, sent, options); });
    work.wait();
    if (own == 0) {
      return;
    }
    if (!input.is_cpu()) {
      output.copy_(parts.view({size_, own}).sum(0));
      return;
    }
    const at::Tensor here = parts.to(at::kCPU);
    std::vector<const void*> sources;
    for (int r = 0; r < size_; ++r) {
      sources.push_back(static_cast<const std::byte*>(here.const_data_ptr()) + r * own * item);
    }
    reduce_arrays(input.scalar_type(), op, output.mutable_data_ptr(), sources, static_cast<std::size_t>(own));
  }

  /// No backend multiplies complex numbers: they are gathered and multiplied here.
  Pending start_complex_product(const at::Tensor& tensor) {
    const bool half = tensor.scalar_type() == at::kComplexHalf;
    const at::Tensor factor = tensor.view({-1}).to(half ? at::kComplexFloat : tensor.scalar_type());
    at::Tensor factors = at::empty({size_, tensor.numel()}, factor.options());
    factors[rank_].copy_(factor);
    Pending gathered =
        start_all_gather_v_impl(factors, std::vector<std::int64_t>(static_cast<std::size_t>(size_), tensor.numel()));
    return and_then(std::move(gathered), [factors, product = tensor] {
      const c10::NoGradGuard no_grad;
      product.copy_(factors.prod(0).view(product.sizes()));
    });
  }

  ProcessGroupOptions options_;
  ProcessGroupPtr group_;
  int rank_;
  int size_;
  GroupDevices devices_;
  std::shared_ptr<GroupWaiter> waiter_;
  int local_rank_ = 0;
  int local_size_ = 1;
  /// Null where host memory goes through the group.
  std::unique_ptr<NodeTransfers> transfers_;
  /// What provide_gather() has provided.
  at::Tensor gathering_;
  /// What provide_scatter() has provided.
  at::Tensor scattering_;
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
            scatter(input, part, counts, ReduceOp::sum);
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
              provide_scatter(bytes);
            }
          }};
  if (reaches(device) && !device.is_cpu()) {
    return std::make_unique<EngineReduceBuffer>(*this, engine, numel, dtype, device);
  }
  if (transfers_) {
    return make_host_reduce_buffer<NodeReduceBuffer>(device, *this, *transfers_, AcrossNodes(), numel, dtype);
  }
  return make_host_reduce_buffer<EngineReduceBuffer>(device, *this, engine, numel, dtype, at::kCPU);
}

}  // namespace

std::unique_ptr<Communicator> make_process_group_communicator(ProcessGroupPtr group,
                                                              const ProcessGroupOptions& options) {
  check(group.defined(), "make_process_group_communicator: group must not be null");
  const Settings settings = chosen_settings(maker, options.shared_memory, options.timeout);
  ProcessGroupOptions with_defaults = options;
  with_defaults.shared_memory = settings.shared_memory;
  with_defaults.timeout = settings.timeout;
  return std::make_unique<ProcessGroupCommunicator>(std::move(group), with_defaults, settings);
}

}  // namespace adjoin
