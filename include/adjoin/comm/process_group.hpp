// SPDX-License-Identifier: BSD-3-Clause
// The engine of torch.distributed: a process group of any backend (Gloo, NCCL, UCC, MPI), and shared memory among the
// ranks of a node. Who calls these functions includes <torch/csrc/distributed/c10d/ProcessGroup.hpp> before.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/comm/shared_memory.hpp"

namespace c10d {
class ProcessGroup;
}

namespace adjoin {

using ProcessGroupPtr = c10::intrusive_ptr<c10d::ProcessGroup>;

struct ProcessGroupOptions {
  /// Host memory is reduced and gathered through shared memory where all ranks of the group are on one node and can
  /// share it. Where they are on several, reduce buffers are reduced through the shared memory of each node and by its
  /// first rank among the nodes, if `new_group` is given; the rest goes through the group. What is left automatic comes
  /// from the environment. The same on every rank.
  SharedMemoryOptions shared_memory = {};
  /// How long a rank waits for one that does not come, before it throws CommunicationError; none: as many seconds as
  /// ADJOIN_TIMEOUT says in the environment, or as long as in the group's own collectives.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// Makes the group of those `ranks` (of this group, in this order), which all call it together: what split() and
  /// several nodes need, as torch makes groups in Python only (torch.distributed.new_group with
  /// use_local_synchronization).
  std::function<ProcessGroupPtr(const std::vector<int>& ranks)> new_group = {};
  /// Ranks of a node, in their order; 0: as many as there are. A smaller number makes several nodes of one, which is of
  /// use in tests.
  int ranks_per_node = 0;
};

/// A communicator over `group`, as torch.distributed made it. Collective. The group may be used by others too,
/// provided that all ranks call it in one order.
///
/// Its methods wait for other ranks. Where the caller is Python, the GIL must be released around every call, the
/// destruction included: a backend may need it to finish (as of torch 2.14), and the waits are long.
///
/// For tensors of an accelerator "finished" means, as in torch.distributed, finished for what is queued later on the
/// current stream, and the host does not wait for the device. Host tensors go to the current accelerator and back where
/// the group has no backend for the host (NCCL alone), and so do the announcements of calls, for which the host waits:
/// a group with a backend for the host as well ("cpu:gloo,cuda:nccl") spares that. Tensors of an accelerator without
/// backend of its own are staged through host memory.
std::unique_ptr<Communicator> make_process_group_communicator(ProcessGroupPtr group,
                                                              const ProcessGroupOptions& options = {});

}  // namespace adjoin
