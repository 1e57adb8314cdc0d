// The ranks that work together: which engine, which device, which seed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/mpi.hpp"

namespace adjoin {

enum class Engine : std::uint8_t {
  automatic,  ///< MPI when started by mpirun, mpiexec or srun with several tasks, else single
  single,     ///< this process alone
  mpi         ///< MPI_COMM_WORLD
};

enum class DeviceMode : std::uint8_t {
  automatic,  ///< a GPU where there is one, chosen by local rank, else the CPU
  cpu,
  gpu  ///< a GPU, chosen by local rank; an error where there is none
};

/// Whether a launcher of MPI started this process as one of several, or MPI is initialised.
bool launched_by_mpi();

struct ContextOptions {
  Engine engine = Engine::automatic;
  DeviceMode device_mode = DeviceMode::automatic;
  /// Seeds torch's default generators: with seed + rank, so that ranks draw different numbers, or with the same seed
  /// everywhere when `seed_offset` is false.
  std::optional<std::uint64_t> seed = {};
  bool seed_offset = true;
  /// Ask torch for deterministic algorithms.
  bool deterministic = false;
  /// Have the C library keep freed memory for the next call instead of giving it back to the system, as it does by
  /// default with large blocks: fresh pages cost as much as the arithmetic on them. For the whole process; glibc only.
  bool keep_freed_memory = true;
  /// How the MPI engine reduces.
  MpiOptions mpi = {};
  /// A communicator to use in place of `engine`.
  std::shared_ptr<Communicator> communicator = {};
};

/// The group of ranks, and this rank's place in it. Creation and destruction are collective; it must outlive every
/// distributed object made with it. Initialises MPI when it is the first to need it, and then finalises it at the end.
class DistributedContext {
 public:
  explicit DistributedContext(const ContextOptions& options = {});
  ~DistributedContext();
  DistributedContext(const DistributedContext&) = delete;
  DistributedContext& operator=(const DistributedContext&) = delete;

  int rank() const { return communicator_->rank(); }
  int size() const { return communicator_->size(); }
  int local_rank() const { return communicator_->local_rank(); }
  int local_size() const { return communicator_->local_size(); }
  at::Device device() const { return device_; }
  /// The collectives; all of them are no-ops when there is one rank.
  Communicator& communicator() const { return *communicator_; }
  const std::shared_ptr<Communicator>& shared_communicator() const { return communicator_; }

  /// This rank's items under round-robin sharding: i with i mod size = rank.
  std::vector<std::int64_t> local_indices(std::int64_t num_items) const;

  /// "MPI (Open MPI 5.0.11), rank 0 of 2, cpu".
  std::string description() const;

 private:
  std::unique_ptr<MpiSession> session_;
  std::shared_ptr<Communicator> communicator_;
  at::Device device_ = at::kCPU;
};

}  // namespace adjoin
