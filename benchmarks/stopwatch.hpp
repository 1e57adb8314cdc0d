// Times calls that all ranks make together.
#pragma once

#include <c10/core/Device.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "adjoin/comm/communicator.hpp"
#include "staging.hpp"  // of the library itself, as it waits for a device

namespace adjoin::benchmark {

/// Collects figures under names: the median over the repetitions of the time of the slowest rank, in seconds.
class Stopwatch {
 public:
  /// A call ends when `device` has done its work.
  explicit Stopwatch(Communicator& communicator, at::Device device = at::kCPU)
      : communicator_(communicator), device_(device) {}

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
    std::ranges::sort(times);
    figures_[name] = times[times.size() / 2];
  }
  const nlohmann::ordered_json& figures() const { return figures_; }

 private:
  Communicator& communicator_;
  at::Device device_;
  nlohmann::ordered_json figures_ = nlohmann::ordered_json::object();
};

}  // namespace adjoin::benchmark
