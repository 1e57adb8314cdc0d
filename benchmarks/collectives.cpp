// SPDX-License-Identifier: BSD-3-Clause
// Times the reduction through shared memory against MPI_Allreduce: to a result that the ranks share, as the solvers
// take it, and to memory of each rank's own; as its floor the copies that it cannot do without; and the writing of the
// contributions, which for ours may lie in shared memory, too. Run under mpirun; rank 0 prints a table and writes JSON:
//
//   mpirun -n 2 collectives_benchmark [--json FILE] [--repetitions N]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/comm/mpi.hpp"

namespace {

struct Timing {
  double median = 0.0;
  double best = 0.0;
};

/// Median and minimum over the repetitions of the slowest rank's time, in seconds.
Timing summarize(std::vector<double> seconds) {
  MPI_Allreduce(MPI_IN_PLACE, seconds.data(), static_cast<int>(seconds.size()), MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  std::ranges::sort(seconds);
  return {seconds[seconds.size() / 2], seconds.front()};
}

/// Seconds of one of `batch` calls that follow a barrier.
template <class Call>
double time_call(int batch, const Call& call) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  for (int i = 0; i < batch; ++i) {
    call();
  }
  return (MPI_Wtime() - start) / batch;
}

using Timings = std::map<std::string, Timing>;

/// Times all ways to reduce `numel` floats: in turns of several repetitions, so that each has the caches to itself as
/// in use, and all see the same machine.
Timings time_all_reduce(adjoin::Communicator& comm, std::int64_t numel, int repetitions) {
  const auto buffer = comm.reduce_buffer(numel, at::kFloat, at::kCPU);
  const at::Tensor mpi_input = at::zeros({numel});
  const at::Tensor visible = comm.visible(numel, at::kFloat);  // where the exchange has its results
  at::Tensor output = visible.defined() ? visible : at::zeros({numel});
  at::Tensor mpi_output = at::zeros({numel});
  const int batch = numel <= 1024 ? 1000 : 1;
  const auto to_shared = [&] { buffer->all_reduce_shared(); };
  const auto to_own = [&] { buffer->all_reduce(output); };
  // Of N numbers, a rank of two reads half of both contributions and writes half of the result: as many bytes as a copy
  // of 3/4 N, here of private memory, by all ranks at once.
  const at::Tensor source = at::zeros({numel - numel / 4});
  at::Tensor target = at::zeros_like(source);
  const auto copy = [&] { std::memcpy(target.mutable_data_ptr(), source.const_data_ptr(), source.nbytes()); };
  const auto by_mpi = [&] {
    MPI_Allreduce(mpi_input.const_data_ptr(), mpi_output.mutable_data_ptr(), static_cast<int>(numel), MPI_FLOAT,
                  MPI_SUM, MPI_COMM_WORLD);
  };

  std::map<std::string, std::vector<double>> seconds;
  constexpr int turns = 3;
  constexpr int warm_up = 2;
  const auto time = [&](const std::string& way, const at::Tensor& contribution, const auto& call) {
    for (int i = -warm_up; i < repetitions / turns; ++i) {
      // Contributions are fresh, as they are in use.
      const double filling = time_call(1, [&] { contribution.fill_(comm.rank() + i); });
      const double once = time_call(batch, call);
      if (i >= 0) {
        seconds[way + ".contribution"].push_back(filling);
        seconds[way].push_back(once);
      }
    }
  };
  for (int turn = 0; turn < turns; ++turn) {
    time("window", buffer->input(), to_shared);
    time("window_to_own", buffer->input(), to_own);
    time("mpi", mpi_input, by_mpi);
    time("floor", source, copy);
  }
  Timings timings;
  for (const auto& [way, values] : seconds) {
    timings[way] = summarize(values);
  }
  return timings;
}

/// Times the reduction of one double, by the communicator and by MPI.
Timings time_scalar(adjoin::Communicator& comm, int repetitions) {
  std::vector<double> ours;
  std::vector<double> mpi;
  std::array<double, 1> value = {0.0};
  for (int i = 0; i < repetitions; ++i) {
    ours.push_back(time_call(1000, [&] { comm.all_reduce(value); }));
    mpi.push_back(
        time_call(1000, [&] { MPI_Allreduce(MPI_IN_PLACE, value.data(), 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); }));
  }
  return {{"window", summarize(ours)}, {"mpi", summarize(mpi)}};
}

nlohmann::json to_json(const std::map<std::string, Timings>& results, int ranks) {
  nlohmann::json json = {{"ranks", ranks}};
  for (const auto& [name, timings] : results) {
    for (const auto& [engine, timing] : timings) {
      json[name][engine] = {{"median", timing.median}, {"min", timing.best}};
    }
    json[name]["speedup"] = timings.at("mpi").median / timings.at("window").median;
  }
  return {{"collectives", json}};
}

}  // namespace

int main(int argc, char** argv) {
  const adjoin::MpiSession session;
  at::set_num_threads(1);
  std::string json_path;
  int repetitions = 21;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const std::string_view value = argv[i + 1];
    if (option == "--json") {
      json_path = value;
    } else if (option == "--repetitions") {
      std::from_chars(value.data(), value.data() + value.size(), repetitions);
    } else {
      std::fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
  }

  const auto comm = adjoin::make_mpi_communicator(MPI_COMM_WORLD);
  std::map<std::string, Timings> results;
  results["all_reduce.1_double"] = time_scalar(*comm, repetitions);
  for (const std::int64_t numel : {1LL, 1LL << 14, 1LL << 20, 1LL << 24}) {
    results["all_reduce." + std::to_string(numel) + "_floats"] = time_all_reduce(*comm, numel, repetitions);
  }
  if (comm->rank() == 0) {
    std::printf(
        "%s\n%-28s %20s %20s %20s %20s   (microseconds: median [minimum]; speed-up: shared against MPI; contributions "
        "of both)\n",
        comm->description().c_str(), "", "copies", "shared result", "own result", "MPI_Allreduce");
    for (const auto& [name, timings] : results) {
      std::printf("%-28s", name.c_str());
      for (const char* way : {"floor", "window", "window_to_own", "mpi"}) {
        const auto timing = timings.find(way);
        timing == timings.end()
            ? std::printf(" %20s", "")
            : std::printf(" %10.2f [%7.2f]", 1e6 * timing->second.median, 1e6 * timing->second.best);
      }
      std::printf(" %7.1f", timings.at("mpi").median / timings.at("window").median);
      for (const char* way : {"window.contribution", "mpi.contribution"}) {
        if (const auto timing = timings.find(way); timing != timings.end()) {
          std::printf(" %10.2f", 1e6 * timing->second.median);
        }
      }
      std::printf("\n");
    }
    if (!json_path.empty()) {
      std::ofstream(json_path) << to_json(results, comm->size()).dump(2) << '\n';
    }
  }
  return 0;
}
