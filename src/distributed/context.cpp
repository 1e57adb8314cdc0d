#include "adjoin/distributed/context.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "adjoin/comm/single.hpp"
#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/sharding.hpp"

namespace adjoin {

namespace {

long environment_number(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : std::strtol(value, nullptr, 10);
}

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

// Open MPI, MPICH and other PMI launchers, srun with a PMI plug-in. SLURM_NTASKS alone says nothing: batch scripts and
// interactive shells have it too.
bool launched_by_mpi() {
  int initialised = 0;
  MPI_Initialized(&initialised);
  constexpr std::array<const char*, 4> sizes = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS",
                                                "MV2_COMM_WORLD_SIZE"};
  return initialised != 0 || std::ranges::any_of(sizes, [](const char* s) { return environment_number(s) > 0; }) ||
         (std::getenv("PMIX_RANK") != nullptr) ||
         (std::getenv("SLURM_STEP_ID") != nullptr && environment_number("SLURM_STEP_NUM_TASKS") > 1);
}

DistributedContext::DistributedContext(const ContextOptions& options) {
  if (options.keep_freed_memory) {
    keep_freed_memory();
  }
  if (options.communicator) {
    communicator_ = options.communicator;
  } else if (options.engine == Engine::mpi || (options.engine == Engine::automatic && launched_by_mpi())) {
    session_ = std::make_unique<MpiSession>();
    communicator_ = make_mpi_communicator(MPI_COMM_WORLD, options.mpi);
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

DistributedContext::~DistributedContext() = default;

std::vector<std::int64_t> DistributedContext::local_indices(std::int64_t num_items) const {
  return Sharding::round_robin(num_items, size()).items_of(rank());
}

std::string DistributedContext::description() const {
  return c10::str(communicator_->description(), ", rank ", rank(), " of ", size(), ", ", device_);
}

}  // namespace adjoin
