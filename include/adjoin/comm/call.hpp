// SPDX-License-Identifier: BSD-3-Clause
// The calls that ranks make together: each collective belongs to one, and unlike calls are an error on every rank.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

class CallState;

/// What a rank is about to do together with the other ranks.
struct Call {
  /// Says which call it is, for people and for the comparison: "A_adjoint of stack 2". Must outlive the scope.
  std::string_view name;
  /// Of the arguments that must be equal on all ranks; 0 when they are not compared.
  std::uint64_t fingerprint = 0;
};

/// The ranks make calls that do not belong together. Every rank that takes part throws this with equal entries, and the
/// communicator is as before the call, unless a rank has left.
class CallDisagreement : public Error {
 public:
  /// What one rank was about to do.
  struct Entry {
    /// The name of the call that it entered, or of the method of Communicator that it called without having entered
    /// one; empty when the rank had not come yet when another one left.
    std::string call = {};
    /// The collective that it made, such as "sum of 4096 float32"; empty when it refused or left.
    std::string collective = {};
    std::uint64_t fingerprint = 0;
    /// Why it could not take part; empty when it could.
    std::string refusal = {};
    /// Whether it will make no more calls.
    bool left = false;
  };

  /// Entries by rank.
  explicit CallDisagreement(std::vector<Entry> entries);

  std::vector<Entry> entries;
};

/// The time that a rank is in a call; see Communicator::enter.
class CallScope {
 public:
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;
  ~CallScope();

  /// Promises that this rank makes the call's next collective, whatever fails until then: a failure travels in it, and
  /// refuse() is not allowed meanwhile. Where ranks share no memory, the collective is announced now, while they work,
  /// instead of right before it.
  void commit();

 private:
  friend class Communicator;
  /// Null where there is nothing to compare.
  explicit CallScope(CallState* state) : state_(state) {}
  CallState* state_;
};

}  // namespace adjoin
