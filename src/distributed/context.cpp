#include "adjoin/distributed/context.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <exception>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "adjoin/comm/single.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/sharding.hpp"

namespace adjoin {

namespace {

at::Device choose_device(DeviceMode mode, int local_rank) {
  const int gpus =
      mode != DeviceMode::cpu && at::hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 0;
  check(mode != DeviceMode::gpu || gpus > 0, "device_mode: a GPU was asked for, but torch sees none");
  return gpus > 0 ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(local_rank % gpus)) : at::Device(at::kCPU);
}

void keep_freed_memory() {
#if defined(__GLIBC__)
  // The largest threshold that glibc takes: larger blocks still go straight back.
  constexpr int mmap_threshold = 32 << 20;
  constexpr int trim_threshold = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, mmap_threshold);
  mallopt(M_TRIM_THRESHOLD, trim_threshold);
#endif
}

}  // namespace

DistributedContext::DistributedContext(const ContextOptions& options) {
  if (options.keep_freed_memory) {
    keep_freed_memory();
  }
  if (options.communicator) {
    communicator_ = options.communicator;
  } else if (options.comm || options.engine == Engine::mpi ||
             (options.engine == Engine::automatic && launched_by_mpi())) {
    session_ = std::make_unique<MpiSession>();
    MpiOptions mpi = options.mpi;
    mpi.timeout = options.timeout ? options.timeout : mpi.timeout;
    communicator_ = make_mpi_communicator(options.comm.value_or(MPI_COMM_WORLD), mpi);
    leaves_ = true;
    if (!options.comm) {
      check_launched_ranks(size());
    }
    mark_children();
  } else {
    communicator_ = make_single_communicator();
  }
  device_ = choose_device(options.device_mode, communicator_->local_rank());
  if (options.seed) {
    at::manual_seed(*options.seed + (options.seed_offset ? static_cast<std::uint64_t>(rank()) : 0));
  }
  if (options.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
}

DistributedContext::~DistributedContext() {
  if (leaves_) {
    communicator_->leave(std::uncaught_exceptions() > 0);
  }
}

std::vector<std::int64_t> DistributedContext::local_indices(std::int64_t num_items) const {
  return Sharding::round_robin(num_items, size()).items_of(rank());
}

std::string DistributedContext::description() const {
  return c10::str(communicator_->description(), ", rank ", rank(), " of ", size(), ", ", device_);
}

}  // namespace adjoin
