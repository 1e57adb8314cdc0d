// SPDX-License-Identifier: BSD-3-Clause
// The time of calls that all ranks make together.
#pragma once

#include <c10/core/Device.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "comm/backend/staging.hpp"  // of the library itself, as it waits for a device

namespace adjoin::benchmark {

/// Collects figures under names: the median over the repetitions of the time of the slowest rank, in seconds.
class Stopwatch {
 public:
  /// A call ends when `device` has done its work.
  explicit Stopwatch(Communicator& communicator, at::Device device = at::kCPU)
      : communicator_(communicator), device_(device) {}

  /// Adds repetitions to those that there are under this name.
  template <class Call>
  void time(const std::string& name, int repetitions, Call&& call) {
    const auto run = [&] {
      call();
      synchronize_stream(device_);
    };
    for (int i = 0; i < 2; ++i) {
      run();
    }
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) {
      communicator_.barrier();
      const auto start = std::chrono::steady_clock::now();
      run();
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    communicator_.all_reduce(std::span<double>(times), ReduceOp::max);
    auto [of_name, added] = times_.try_emplace(name);
    if (added) {
      names_.push_back(name);
    }
    of_name->second.insert(of_name->second.end(), times.begin(), times.end());
  }
  nlohmann::ordered_json figures() const {
    nlohmann::ordered_json figures = nlohmann::ordered_json::object();
    for (const std::string& name : names_) {
      std::vector<double> times = times_.at(name);
      std::ranges::sort(times);
      figures[name] = times[times.size() / 2];
    }
    return figures;
  }

 private:
  Communicator& communicator_;
  at::Device device_;
  std::vector<std::string> names_;  // in the order of their first time
  std::map<std::string, std::vector<double>> times_;
};

}  // namespace adjoin::benchmark
