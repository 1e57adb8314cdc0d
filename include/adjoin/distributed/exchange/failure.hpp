// SPDX-License-Identifier: BSD-3-Clause
// What failed on a rank, on its way to the others.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

/// A failure as all ranks hear of it. `exception` is what was thrown, on the rank where it was.
struct Failure {
  int rank = 0;
  /// Global index of the operator to blame, or -1.
  std::int64_t operator_index = -1;
  std::string reason;
  std::exception_ptr exception = {};
};

/// A failure that every rank of a communicator throws.
class AgreedFailure : public RankFailure {
 public:
  AgreedFailure(const void* communicator, int failed_rank, std::int64_t failed_operator, const std::string& why,
                bool is_everywhere = false)
      : RankFailure(failed_rank, failed_operator, why), among(communicator), everywhere(is_everywhere) {}
  const void* among;
  /// Whether every rank has failed, for one reason.
  bool everywhere;
};

/// How the failures of one rank are told, and what all ranks throw when they have heard of one.
class Failures {
 public:
  /// Among the ranks of `communicator`, which it only names. `indices`: global indices of this rank's operators, to
  /// name a failing one.
  Failures(const void* communicator, int rank, std::vector<std::int64_t> indices)
      : communicator_(communicator), rank_(rank), indices_(std::move(indices)) {}

  const std::vector<std::int64_t>& indices() const { return indices_; }
  /// The failure that an exception of this rank stands for.
  Failure describe(const std::exception_ptr& exception) const;
  /// The failure of `work`, if it throws; what all ranks throw, of a call within a call, passes.
  template <class F>
  std::optional<Failure> of(F&& work) const {
    try {
      work();
      return std::nullopt;
    } catch (const AgreedFailure& failure) {
      if (failure.among == communicator_) {
        throw;
      }
      return describe(std::current_exception());
    } catch (...) {
      return describe(std::current_exception());
    }
  }
  /// Throws a RankFailure around an exception of this rank.
  [[noreturn]] void throw_local(std::exception_ptr exception) const;
  /// Throws the same failure on every rank, around this rank's own where it has one.
  [[noreturn]] void throw_agreed(const Failure& first, const std::optional<Failure>& mine,
                                 bool everywhere = false) const;
  [[noreturn]] void throw_agreed(int rank, const std::string& reason) const {
    throw AgreedFailure(communicator_, rank, -1, reason);
  }
  /// Of the failures that the ranks report, that of the lowest rank. Returns when no rank has failed.
  void throw_first(const std::vector<std::optional<Failure>>& reports, const std::optional<Failure>& mine) const;

 private:
  const void* communicator_;
  int rank_;
  std::vector<std::int64_t> indices_;
};

/// A failure as a message, whose end may get lost, and back. What is no such message is none.
std::string to_report(const Failure& failure);
std::optional<Failure> failure_from(const std::string& report);

}  // namespace adjoin
