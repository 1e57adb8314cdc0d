// SPDX-License-Identifier: BSD-3-Clause
// Ranks: engines, communicators, contexts.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/comm/process_group.hpp"
#include "adjoin/comm/single.hpp"
#include "adjoin/distributed/context.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

// Kept until finalize_mpi: contexts come and go, but MPI is initialised once in a process. Where that is not called,
// the end of the process must not do it.
std::unique_ptr<MpiSession>& session() {
  static auto* const kept = new std::unique_ptr<MpiSession>();  // NOLINT(cppcoreguidelines-owning-memory): see above
  return *kept;
}

ReduceOp reduce_op(const std::string& name) {
  return chosen<ReduceOp>(
      "op", name,
      {{"sum", ReduceOp::sum}, {"product", ReduceOp::product}, {"min", ReduceOp::min}, {"max", ReduceOp::max}});
}

SharedMemoryOptions sharing(const std::string& name) { return {.sharing = sharing_from_string(name)}; }

std::optional<std::chrono::milliseconds> milliseconds(std::optional<double> seconds) {
  constexpr double most = 1e9;
  if (!seconds) {
    return std::nullopt;
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(1e3 * std::min(*seconds, most))));
}

// Of the communicator that Fortran and mpi4py call `comm`, or of all ranks.
std::unique_ptr<Communicator> mpi_communicator(std::optional<int> comm, const std::string& library,
                                               const MpiOptions& options) {
  if (!session()) {
    session() = std::make_unique<MpiSession>();
  }
  if (!comm) {
    auto communicator = make_mpi_communicator(options);
    check_launched_ranks(communicator->size());
    return communicator;
  }
  return make_mpi_communicator(*comm, library, options);
}

// A call of a communicator, as a context manager of Python.
class EnteredCall {
 public:
  EnteredCall(std::shared_ptr<Communicator> communicator, std::string name, std::uint64_t fingerprint)
      : communicator_(std::move(communicator)), name_(std::move(name)), fingerprint_(fingerprint) {}
  void enter() {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): scopes stay where they are
    scope_.reset(new CallScope(communicator_->enter({.name = name_, .fingerprint = fingerprint_})));
  }
  void exit() { scope_.reset(); }

 private:
  std::shared_ptr<Communicator> communicator_;
  std::string name_;
  std::uint64_t fingerprint_;
  std::unique_ptr<CallScope> scope_;
};

}  // namespace

void bind_context(py::module_& m) {
  py::class_<EnteredCall>(m, "EnteredCall")
      .def("__enter__", &EnteredCall::enter, Unlocked())
      .def("__exit__", [](EnteredCall& call, const py::args& /*error*/) { call.exit(); });
  py::class_<Communicator, std::shared_ptr<Communicator>>(m, "Communicator")
      .def_property_readonly("rank", &Communicator::rank)
      .def_property_readonly("size", &Communicator::size)
      .def_property_readonly("local_rank", &Communicator::local_rank)
      .def_property_readonly("local_size", &Communicator::local_size)
      .def_property_readonly("description", &Communicator::description)
      .def_property_readonly("begun", &Communicator::begun,
                             "How many collectives this rank has begun or refused: unchanged where a call has failed "
                             "before the other ranks could hear of it.")
      .def(
          "all_reduce",
          [](Communicator& c, at::Tensor tensor, const std::string& op) { c.all_reduce(tensor, reduce_op(op)); },
          py::arg("tensor"), py::arg("op") = "sum", Unlocked())
      .def(
          "broadcast", [](Communicator& c, at::Tensor tensor, int root) { c.broadcast(tensor, root); },
          py::arg("tensor"), py::arg("root"), Unlocked())
      .def("all_gather", &Communicator::all_gather, py::arg("tensor"), Unlocked())
      .def(
          "reduce_scatter",
          [](Communicator& c, const at::Tensor& tensor, const std::string& op) {
            return c.reduce_scatter(tensor, reduce_op(op));
          },
          py::arg("tensor"), py::arg("op") = "sum", Unlocked(),
          "This rank's part, along a first dimension as long as there are ranks, of the reduction of ``tensor``; the "
          "first dimension is kept, with one entry.")
      .def("barrier", &Communicator::barrier, Unlocked())
      .def("send", &Communicator::send, py::arg("tensor"), py::arg("dst"), py::arg("tag") = 0, Unlocked(),
           "Sends ``tensor`` to rank ``dst``, which calls recv.")
      .def("recv", &Communicator::recv, py::arg("tensor"), py::arg("src") = -1, py::arg("tag") = 0, Unlocked(),
           "Fills ``tensor`` with what rank ``src`` sends, or where that is -1 any rank; returns which.")
      .def(
          "call",
          [](std::shared_ptr<Communicator> c, std::string name, std::uint64_t fingerprint) {
            return EnteredCall(std::move(c), std::move(name), fingerprint);
          },
          py::arg("name"), py::arg("fingerprint") = 0,
          "A context manager: the collectives made in it belong to the call of this name, whose first one compares "
          "name "
          "and fingerprint among the ranks; where they differ, all raise CallDisagreement.")
      .def("refuse", &Communicator::refuse, py::arg("report"), Unlocked(),
           "Raises CallDisagreement on all ranks, in place of the first collective of the call that this rank is in.")
      .def("leave", &Communicator::leave, py::arg("at_once") = false, Unlocked(),
           "This rank makes no more calls: those who wait for it in one, then or later, raise CallDisagreement.")
      .def(
          "broadcast_bytes",
          [](Communicator& c, const py::bytes& bytes, int root) {
            std::string data = bytes;
            {
              const py::gil_scoped_release release;
              data = c.broadcast_bytes(data, root);
            }
            return py::bytes(data);
          },
          py::arg("data"), py::arg("root"))
      .def(
          "all_gather_bytes",
          [](Communicator& c, const py::bytes& bytes) {
            const std::string data = bytes;
            std::vector<std::string> all;
            {
              const py::gil_scoped_release release;
              all = c.all_gather_bytes(data);
            }
            py::list result;
            for (const std::string& one : all) {
              result.append(py::bytes(one));
            }
            return result;
          },
          py::arg("data"))
      .def_property_readonly("counters",
                             [](const Communicator& c) {
                               const MessageCounters& n = c.counters();
                               py::dict result;
                               result["collectives"] = n.collectives;
                               result["reductions"] = n.reductions;
                               result["scatters"] = n.scatters;
                               result["gathers"] = n.gathers;
                               result["bytes"] = n.bytes;
                               result["announcements"] = n.announcements;
                               return result;
                             })
      .def("reset_counters", &Communicator::reset_counters);

  m.def("single_communicator", [] { return without_gil(make_single_communicator()); });
  m.def(
      "mpi_communicator",
      [](std::optional<int> comm, const std::string& library, const std::string& shared_memory,
         std::optional<double> timeout) {
        return without_gil(mpi_communicator(
            comm, library, {.shared_memory = sharing(shared_memory), .timeout = milliseconds(timeout)}));
      },
      py::arg("comm") = py::none(), py::arg("library") = "", py::arg("shared_memory") = "automatic",
      py::arg("timeout") = py::none(), Unlocked(),
      "Of all ranks, or of ``comm``, a handle of Fortran's, which belongs to the MPI of this version.");
  m.def(
      "launcher",
      [] {
        const Launcher found = launcher();
        return found == Launcher::mpi ? "mpi" : found == Launcher::torch ? "torch" : "none";
      },
      "Who started this process as one of several: 'mpi', 'torch' or 'none'.");
  m.def("launched_by_mpi", &launched_by_mpi);
  m.attr("children_mark_name") = children_mark_name;
  m.def("children_mark", &children_mark,
        "What the environment variable of that name says in processes that a rank starts, which are no ranks.");
  m.def("finalize_mpi", [] { session().reset(); }, Unlocked());
  m.def(
      "process_group_communicator",
      [](ProcessGroupPtr group, const std::string& shared_memory, std::optional<double> timeout,
         const py::object& new_group) {
        ProcessGroupOptions options{.shared_memory = sharing(shared_memory), .timeout = milliseconds(timeout)};
        if (!new_group.is_none()) {
          options.new_group = [make = Object(new_group)](const std::vector<int>& ranks) {
            const py::gil_scoped_acquire gil;
            return make.get()(ranks).cast<ProcessGroupPtr>();
          };
        }
        const py::gil_scoped_release release;
        return without_gil(make_process_group_communicator(std::move(group), options));
      },
      py::arg("group"), py::arg("shared_memory") = "automatic", py::arg("timeout") = py::none(),
      py::arg("new_group") = py::none());

  py::class_<DistributedContext, std::shared_ptr<DistributedContext>>(m, "DistributedContext")
      .def(py::init([](std::shared_ptr<Communicator> communicator, const std::string& device_mode,
                       std::optional<std::uint64_t> seed, bool seed_offset, bool deterministic,
                       const std::optional<std::string>& check_replicated) {
             const auto read = [&] {
               return ContextOptions{
                   .device_mode = chosen<DeviceMode>(
                       "device_mode", device_mode,
                       {{"auto", DeviceMode::automatic}, {"cpu", DeviceMode::cpu}, {"gpu", DeviceMode::gpu}}),
                   .seed = seed,
                   .seed_offset = seed_offset,
                   .deterministic = deterministic,
                   .check_replicated =
                       check_replicated ? std::optional(check_replicated_from_string(*check_replicated)) : std::nullopt,
                   .communicator = communicator};
             };
             const ContextOptions options = [&] {
               try {
                 return read();
               } catch (const InvalidArgument& error) {
                 const py::gil_scoped_release release;
                 if (communicator->size() > 1) {
                   communicator->refuse(error.what());
                 }
                 throw;
               }
             }();
             const py::gil_scoped_release release;
             return without_gil(std::make_unique<DistributedContext>(options));
           }),
           py::arg("communicator"), py::arg("device_mode"), py::arg("seed"), py::arg("seed_offset"),
           py::arg("deterministic"), py::arg("check_replicated"))
      .def_property_readonly("device", &DistributedContext::device)
      .def_property_readonly("communicator", &DistributedContext::shared_communicator)
      .def_property_readonly("description", &DistributedContext::description)
      .def("local_indices", &DistributedContext::local_indices, py::arg("num_items"))
      .def("rand", &DistributedContext::rand, py::arg("sizes"), py::arg("dtype"), py::arg("seed"))
      .def("randn", &DistributedContext::randn, py::arg("sizes"), py::arg("dtype"), py::arg("seed"));
}

}  // namespace adjoin::python
