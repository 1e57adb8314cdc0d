#include "shared_window.hpp"

#include <ATen/ATen.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "reduce_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace adjoin {

namespace {

using mpi::check_code;

constexpr std::size_t cache_line = 64;

/// How often a waiting rank looks before it leaves its processor to others, which may be for a whole time slice: about
/// a millisecond where each rank has a processor of its own, a few microseconds where ranks share them.
constexpr int patient_spins = 30000;
constexpr int impatient_spins = 100;

/// Waits until `count` has reached `target`.
void await(const std::atomic<std::uint64_t>& count, std::uint64_t target, int spins) {
  for (int i = 0; count.load(std::memory_order_acquire) < target; ++i) {
    if (i >= spins) {
      sched_yield();
    } else {
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
  }
}

/// Whether there are fewer processors than ranks on this node.
bool is_oversubscribed(const mpi::OwnedComm& node) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  const bool known = sched_getaffinity(0, sizeof(processors), &processors) == 0;
  check_code(MPI_Allreduce(MPI_IN_PLACE, &processors, sizeof(processors), MPI_BYTE, MPI_BOR, node.get()),
             "MPI_Allreduce");
  return known && CPU_COUNT(&processors) < node.size();
}

MPI_Win allocate_window(const mpi::OwnedComm& node, std::size_t bytes) {
  MPI_Info info = MPI_INFO_NULL;
  check_code(MPI_Info_create(&info), "MPI_Info_create");
  // Each rank's segment on pages of its own, so that they can lie in the memory nearest to it.
  check_code(MPI_Info_set(info, "alloc_shared_noncontig", "true"), "MPI_Info_set");
  void* base = nullptr;
  MPI_Win window = MPI_WIN_NULL;
  const int code =
      MPI_Win_allocate_shared(static_cast<MPI_Aint>(bytes + cache_line), 1, info, node.get(), &base, &window);
  MPI_Info_free(&info);
  return code == MPI_SUCCESS ? window : MPI_WIN_NULL;
}

}  // namespace

std::shared_ptr<SharedWindow> SharedWindow::allocate(const mpi::OwnedComm& node, std::size_t bytes) {
  const MPI_Win window = allocate_window(node, bytes);
  // A window that not all have cannot be freed, as that takes all: it stays.
  if (!mpi::all_succeeded(node, window != MPI_WIN_NULL)) {
    return nullptr;
  }
  auto result = std::make_shared<SharedWindow>(window, bytes, node.size());
  std::memset(result->segment(node.rank()), 0, bytes);
  check_code(MPI_Barrier(node.get()), "MPI_Barrier");
  return result;
}

SharedWindow::SharedWindow(MPI_Win window, std::size_t bytes, int ranks) : window_(window), bytes_(bytes) {
  check_code(MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  check_code(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
  for (int r = 0; r < ranks; ++r) {
    MPI_Aint size = 0;
    int unit = 0;
    void* base = nullptr;
    check_code(MPI_Win_shared_query(window_, r, &size, &unit, &base), "MPI_Win_shared_query");
    auto space = static_cast<std::size_t>(size);
    segments_.push_back(static_cast<std::byte*>(std::align(cache_line, bytes_, base, space)));
  }
}

SharedWindow::~SharedWindow() {
  if (mpi::is_active()) {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
}

std::unique_ptr<NodeGroup> NodeGroup::make(const mpi::OwnedComm& node) {
  std::shared_ptr<SharedWindow> window = SharedWindow::allocate(node, sizeof(Control));
  return window ? std::unique_ptr<NodeGroup>(new NodeGroup(node, std::move(window))) : nullptr;
}

NodeGroup::NodeGroup(const mpi::OwnedComm& node, std::shared_ptr<SharedWindow> window)
    : node_(node),
      rank_(node.rank()),
      size_(node.size()),
      spins_(is_oversubscribed(node) ? impatient_spins : patient_spins),
      control_window_(std::move(window)) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "signals are shared between processes");
  for (int r = 0; r < size_; ++r) {
    // Zero bytes, which allocate() leaves, are a Control with no signal given.
    auto* const control = std::launder(reinterpret_cast<Control*>(control_window_->segment(r)));
    controls_.push_back(control);
    for (std::size_t parity : {0, 1}) {
      message_values_[parity].push_back(control->messages[parity].values.data());
    }
  }
}

void NodeGroup::synchronize() {
  ++arrivals_;
  control(rank_).arrived.count.store(arrivals_, std::memory_order_release);
  for (int r = 0; r < size_; ++r) {
    await(control(r).arrived.count, arrivals_, spins_);
  }
}

void NodeGroup::all_reduce_few(at::ScalarType dtype, ReduceOp op, void* values, std::size_t numel) {
  const std::size_t parity = ++rounds_ % 2;
  Message& own = control(rank_).messages[parity];
  std::memcpy(own.values.data(), values, numel * c10::elementSize(dtype));
  own.round.store(rounds_, std::memory_order_release);
  for (int r = 0; r < size_; ++r) {
    await(control(r).messages[parity].round, rounds_, spins_);
  }
  reduce_arrays(dtype, op, values, message_values_[parity], 0, numel);
}

std::shared_ptr<SharedWindow> NodeGroup::acquire(std::size_t bytes) {
  // Windows are dropped at different times on different ranks: only those free on all are free.
  std::vector<int> is_free(pool_.size());
  std::ranges::transform(pool_, is_free.begin(), [](const auto& window) { return window.use_count() == 1 ? 1 : 0; });
  if (!is_free.empty()) {
    check_code(
        MPI_Allreduce(MPI_IN_PLACE, is_free.data(), static_cast<int>(is_free.size()), MPI_INT, MPI_MIN, node_.get()),
        "MPI_Allreduce");
  }
  std::shared_ptr<SharedWindow> best;
  std::vector<std::shared_ptr<SharedWindow>> in_use;
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    if (is_free[i] == 0) {
      in_use.push_back(pool_[i]);
    } else if (pool_[i]->bytes() >= bytes && (!best || pool_[i]->bytes() < best->bytes())) {
      best = pool_[i];
    }
  }
  if (!best) {
    pool_ = std::move(in_use);  // frees those that are too small, on all ranks in one order
    best = SharedWindow::allocate(node_, bytes);
    if (best) {
      pool_.push_back(best);
    }
  }
  return best;
}

}  // namespace adjoin
