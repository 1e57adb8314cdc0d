// SPDX-License-Identifier: BSD-3-Clause
// What surrounds every collective: its arguments are checked, it is counted, and compared among the ranks.
#pragma once

#include <cstdint>
#include <exception>

#include "adjoin/comm/communicator.hpp"
#include "comm/call_state.hpp"
#include "comm/collective_spec.hpp"
#include "comm/deferred.hpp"

namespace adjoin {

inline void count_other(MessageCounters& counters, std::size_t bytes) {
  ++counters.collectives;
  counters.bytes += static_cast<std::int64_t>(bytes);
  counters.last_bytes = static_cast<std::int64_t>(bytes);
}

inline void count_reduction(MessageCounters& counters, std::size_t bytes) {
  ++counters.reductions;
  count_other(counters, bytes);
}

inline void count_scatter(MessageCounters& counters, std::size_t bytes) {
  ++counters.scatters;
  count_reduction(counters, bytes);
}

inline void count_gather(MessageCounters& counters, std::size_t bytes) {
  ++counters.gathers;
  count_other(counters, bytes);
}

/// A collective while it is made.
class Communicator::Making {
 public:
  /// `describe` checks the arguments and says what is to be made. Where it throws, the other ranks hear of it.
  template <class Describe>
  Making(Communicator& communicator, const char* method, const Describe& describe, bool surely = false)
      : calls_(communicator.calls_.get()), collective_(described(communicator, method, describe)) {
    if (calls_ != nullptr) {
      if (communicator.deferred_) {
        communicator.deferred_->make_all();
      }
      calls_->begin(collective_, surely);
    }
  }
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;
  ~Making() {
    if (calls_ != nullptr) {
      calls_->end();
    }
  }

  /// What `describe` gives; where it throws, the other ranks hear of it.
  template <class Describe>
  static CollectiveSpec described(Communicator& communicator, const char* method, const Describe& describe) {
    try {
      return describe();
    } catch (const std::exception& error) {
      CallState* const calls = communicator.calls_.get();
      if (calls != nullptr && calls->can_refuse()) {
        try {
          if (communicator.deferred_) {
            communicator.deferred_->make_all();
          }
          calls->refuse(method, error.what());
        } catch (...) {  // NOLINT(bugprone-empty-catch): this rank knows better what is wrong
        }
      }
      throw;
    }
  }

 private:
  CallState* calls_;
  CollectiveSpec collective_;
};

}  // namespace adjoin
