// What failed on a rank, on its way to the others.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "adjoin/core/params.hpp"

namespace adjoin {

/// A failure as all ranks hear of it. `exception` is what was thrown, on the rank where it was.
struct Failure {
  int rank = 0;
  /// Global index of the operator to blame, or -1.
  std::int64_t operator_index = -1;
  std::string reason;
  std::exception_ptr exception = {};
};

/// How the failures of one rank are told, and what all ranks throw when they have heard of one.
class Failures {
 public:
  /// `indices`: global indices of this rank's operators, to name a failing one.
  Failures(int rank, std::vector<std::int64_t> indices) : rank_(rank), indices_(std::move(indices)) {}

  const std::vector<std::int64_t>& indices() const { return indices_; }
  /// The failure that an exception of this rank stands for.
  Failure describe(const std::exception_ptr& exception) const;
  /// The failure of `work`, if it throws.
  template <class F>
  std::optional<Failure> of(F&& work) const {
    try {
      work();
      return std::nullopt;
    } catch (...) {
      return describe(std::current_exception());
    }
  }
  /// Throws a RankFailure around an exception of this rank.
  [[noreturn]] void throw_local(std::exception_ptr exception) const;
  /// Of the ranks' reports (report_of, empty without a failure) the lowest rank's failure, thrown on every rank as the
  /// same RankFailure, on the rank where it happened around the exception. Returns when no rank has failed.
  void throw_first(const std::vector<Params>& reports, const std::optional<Failure>& mine) const;

 private:
  int rank_;
  std::vector<std::int64_t> indices_;
};

/// A failure as a message.
Params report_of(const Failure& failure);

}  // namespace adjoin
