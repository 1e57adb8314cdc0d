// Times calls that all ranks make together.
#pragma once

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "adjoin/comm/communicator.hpp"

namespace adjoin::benchmark {

/// Collects figures under names: the median over the repetitions of the time of the slowest rank, in seconds.
class Stopwatch {
 public:
  explicit Stopwatch(Communicator& communicator) : communicator_(communicator) {}

  template <class Call>
  void time(const std::string& name, int repetitions, Call&& call) {
    for (int i = 0; i < 2; ++i) {
      call();
    }
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) {
      communicator_.barrier();
      const auto start = std::chrono::steady_clock::now();
      call();
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    communicator_.all_reduce(std::span<double>(times), ReduceOp::max);
    std::ranges::sort(times);
    figures_[name] = times[times.size() / 2];
  }
  const nlohmann::ordered_json& figures() const { return figures_; }

 private:
  Communicator& communicator_;
  nlohmann::ordered_json figures_ = nlohmann::ordered_json::object();
};

}  // namespace adjoin::benchmark
