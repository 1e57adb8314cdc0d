// SPDX-License-Identifier: BSD-3-Clause
// The engine that fits the launcher, and random tensors that are equal on every rank.
#include "adjoin/distributed/context.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <array>
#include <cstdlib>
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

// What is asked for here or by the environment, if it is the same on all ranks.
CheckReplicated agreed_check(Communicator& communicator, const std::optional<CheckReplicated>& asked) {
  const char* const environment = std::getenv("ADJOIN_CHECK_REPLICATED");
  CheckReplicated own = asked.value_or(CheckReplicated::sampled);
  if (!asked && environment != nullptr) {
    try {
      own = check_replicated_from_string(environment);
    } catch (const InvalidArgument& error) {
      if (communicator.size() == 1) {
        throw;
      }
      communicator.refuse(c10::str("ADJOIN_CHECK_REPLICATED: ", error.what()));
    }
  }
  std::array<double, 2> limits = {static_cast<double>(own), -static_cast<double>(own)};
  communicator.all_reduce(limits, ReduceOp::max);
  check(limits[0] == -limits[1], "check_replicated: must be the same on every rank");
  return own;
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

CheckReplicated check_replicated_from_string(std::string_view name) {
  check(name == "off" || name == "sampled" || name == "full",
        "check_replicated: must be 'off', 'sampled' or 'full', got '", std::string(name), "'");
  return name == "off" ? CheckReplicated::off : name == "full" ? CheckReplicated::full : CheckReplicated::sampled;
}

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
    communicator_ = options.comm ? make_mpi_communicator(*options.comm, mpi) : make_mpi_communicator(mpi);
    leaves_ = true;
    if (!options.comm) {
      check_launched_ranks(size());
    }
    mark_children();
  } else {
    communicator_ = make_single_communicator();
  }
  device_ = choose_device(options.device_mode, communicator_->local_rank());
  check_replicated_ = agreed_check(*communicator_, options.check_replicated);
  common_generator_ = at::detail::createCPUGenerator(options.seed.value_or(0));
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

at::Tensor DistributedContext::rand(at::IntArrayRef sizes, at::ScalarType dtype, std::optional<std::uint64_t> seed) {
  return at::rand(sizes, seed ? at::detail::createCPUGenerator(*seed) : common_generator_, at::TensorOptions(dtype))
      .to(device_);
}

at::Tensor DistributedContext::randn(at::IntArrayRef sizes, at::ScalarType dtype, std::optional<std::uint64_t> seed) {
  return at::randn(sizes, seed ? at::detail::createCPUGenerator(*seed) : common_generator_, at::TensorOptions(dtype))
      .to(device_);
}

std::vector<std::int64_t> DistributedContext::local_indices(std::int64_t num_items) const {
  return Sharding::round_robin(num_items, size()).items_of(rank());
}

std::string DistributedContext::description() const {
  return c10::str(communicator_->description(), ", rank ", rank(), " of ", size(), ", ", device_);
}

}  // namespace adjoin
