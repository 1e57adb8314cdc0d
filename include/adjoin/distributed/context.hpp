// The ranks that work together: which engine, which device, which seed.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/mpi.hpp"
#include "adjoin/distributed/launcher.hpp"

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
  /// How long a rank waits for one that does not come; none: as the engine's options say.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// How the MPI engine works.
  MpiOptions mpi = {};
  /// The ranks of this communicator of MPI, of which a duplicate is made, in place of MPI_COMM_WORLD and of `engine`.
  std::optional<MPI_Comm> comm = {};
  /// A communicator to use in place of `engine` and `comm`. The context does not leave it.
  std::shared_ptr<Communicator> communicator = {};
};

/// The group of ranks, and this rank's place in it. Creation is collective; it must outlive every distributed object
/// made with it. At its end this rank leaves (Communicator::leave): ranks that still wait for it in a call throw
/// CallDisagreement. Initialises MPI when it is the first to need it, and then finalises it at the end.
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
  bool leaves_ = false;
  at::Device device_ = at::kCPU;
};

}  // namespace adjoin
