// SPDX-License-Identifier: BSD-3-Clause
// The ranks that work together: which engine, which device, which seed.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

/// How arguments that must be the same on every rank are compared.
enum class CheckReplicated : std::uint8_t {
  off,
  sampled,  ///< a few elements, to half a percent: round-off never counts
  full      ///< every bit
};
/// Throws InvalidArgument naming the choices.
CheckReplicated check_replicated_from_string(std::string_view name);

struct ContextOptions {
  Engine engine = Engine::automatic;
  DeviceMode device_mode = DeviceMode::automatic;
  /// Seeds torch's default generators: with seed + rank, so that ranks draw different numbers, or with the same seed
  /// everywhere when `seed_offset` is false.
  std::optional<std::uint64_t> seed = {};
  bool seed_offset = true;
  /// Ask torch for deterministic algorithms.
  bool deterministic = false;
  /// Have the C library keep freed memory, in blocks of up to 32 MiB, for the next call instead of giving it back to
  /// the system, as it does by default with large blocks: fresh pages cost as much as the arithmetic on them. For the
  /// whole process; glibc only.
  bool keep_freed_memory = true;
  /// How long a rank waits for one that does not come; none: as the engine's options say.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// How arguments that must be the same on every rank (images, whole lists of measurements, starts …) are compared at
  /// each public call that sends a message. `sampled`, at no message and no time that could be measured, notices other
  /// images; `full`, for the price of reading the arguments once, any bit. The same on all ranks. Where it is not
  /// given, the environment's ADJOIN_CHECK_REPLICATED (off, sampled or full) counts, and without that `sampled`.
  std::optional<CheckReplicated> check_replicated = {};
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

  CheckReplicated check_replicated() const { return check_replicated_; }
  /// 1, 2, … for the objects of a kind, by which messages name them.
  std::int64_t next_number(const std::string& kind) const { return ++numbers_[kind]; }

  /// Uniform numbers in [0, 1) and standard normal ones, of these sizes and dtype and on the context's device: the same
  /// on every rank, and on every device. They come from a generator of the context's own, on the CPU, seeded with
  /// `seed` where it is given, and otherwise with ContextOptions::seed, or 0, at the first call; torch's generators are
  /// left alone. All ranks must make the same calls.
  at::Tensor rand(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat, std::optional<std::uint64_t> seed = {});
  at::Tensor randn(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat, std::optional<std::uint64_t> seed = {});

  /// This rank's items under round-robin sharding: i with i mod size = rank.
  std::vector<std::int64_t> local_indices(std::int64_t num_items) const;

  /// "MPI (Open MPI 5.0.11), rank 0 of 2, cpu".
  std::string description() const;

 private:
  std::unique_ptr<MpiSession> session_;
  std::shared_ptr<Communicator> communicator_;
  bool leaves_ = false;
  at::Device device_ = at::kCPU;
  CheckReplicated check_replicated_ = CheckReplicated::sampled;
  mutable std::map<std::string, std::int64_t> numbers_;
  at::Generator common_generator_;
};

}  // namespace adjoin
