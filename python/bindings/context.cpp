// Ranks: engines, communicators, contexts.
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "adjoin/comm/mpi.hpp"
#include "adjoin/comm/process_group.hpp"
#include "adjoin/comm/single.hpp"
#include "adjoin/distributed/context.hpp"
#include "casters.hpp"

namespace adjoin::python {

namespace {

std::shared_ptr<Communicator> mpi_communicator() { return without_gil(make_mpi_communicator(MPI_COMM_WORLD)); }

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

}  // namespace

void bind_context(py::module_& m) {
  py::class_<Communicator, std::shared_ptr<Communicator>>(m, "Communicator")
      .def_property_readonly("rank", &Communicator::rank)
      .def_property_readonly("size", &Communicator::size)
      .def_property_readonly("local_rank", &Communicator::local_rank)
      .def_property_readonly("local_size", &Communicator::local_size)
      .def_property_readonly("description", &Communicator::description)
      .def(
          "all_reduce",
          [](Communicator& c, at::Tensor tensor, const std::string& op) { c.all_reduce(tensor, reduce_op(op)); },
          py::arg("tensor"), py::arg("op") = "sum", Unlocked())
      .def(
          "broadcast", [](Communicator& c, at::Tensor tensor, int root) { c.broadcast(tensor, root); },
          py::arg("tensor"), py::arg("root"), Unlocked())
      .def("all_gather", &Communicator::all_gather, py::arg("tensor"), Unlocked())
      .def("barrier", &Communicator::barrier, Unlocked())
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
                               result["gathers"] = n.gathers;
                               result["bytes"] = n.bytes;
                               return result;
                             })
      .def("reset_counters", &Communicator::reset_counters);

  m.def("single_communicator", [] { return without_gil(make_single_communicator()); });
  m.def(
      "mpi_communicator",
      [] {
        if (!session()) {
          session() = std::make_unique<MpiSession>();
        }
        return mpi_communicator();
      },
      Unlocked());
  m.def("launched_by_mpi", &launched_by_mpi);
  m.def("finalize_mpi", [] { session().reset(); }, Unlocked());
  m.def(
      "process_group_communicator",
      [](ProcessGroupPtr group, bool shared_memory, double timeout, const py::object& new_group) {
        ProcessGroupOptions options{.shared_memory = shared_memory,
                                    .timeout = std::chrono::milliseconds(static_cast<std::int64_t>(timeout * 1e3))};
        if (!new_group.is_none()) {
          options.new_group = [make = Object(new_group)](const std::vector<int>& ranks) {
            const py::gil_scoped_acquire gil;
            return make.get()(ranks).cast<ProcessGroupPtr>();
          };
        }
        const py::gil_scoped_release release;
        return without_gil(make_process_group_communicator(std::move(group), options));
      },
      py::arg("group"), py::arg("shared_memory") = true, py::arg("timeout") = 1800.0,
      py::arg("new_group") = py::none());

  py::class_<DistributedContext, std::shared_ptr<DistributedContext>>(m, "DistributedContext")
      .def(py::init([](std::shared_ptr<Communicator> communicator, const std::string& device_mode,
                       std::optional<std::uint64_t> seed, bool seed_offset, bool deterministic) {
             ContextOptions options{.seed = seed,
                                    .seed_offset = seed_offset,
                                    .deterministic = deterministic,
                                    .communicator = std::move(communicator)};
             check(device_mode == "auto" || device_mode == "cpu" || device_mode == "gpu",
                   "device_mode: must be None, 'cpu' or 'gpu', got '", device_mode, "'");
             options.device_mode = device_mode == "cpu"   ? DeviceMode::cpu
                                   : device_mode == "gpu" ? DeviceMode::gpu
                                                          : DeviceMode::automatic;
             const py::gil_scoped_release release;
             return without_gil(std::make_unique<DistributedContext>(options));
           }),
           py::arg("communicator"), py::arg("device_mode"), py::arg("seed"), py::arg("seed_offset"),
           py::arg("deterministic"))
      .def_property_readonly("device", &DistributedContext::device)
      .def_property_readonly("communicator", &DistributedContext::shared_communicator)
      .def_property_readonly("description", &DistributedContext::description)
      .def("local_indices", &DistributedContext::local_indices, py::arg("num_items"));
}

}  // namespace adjoin::python
