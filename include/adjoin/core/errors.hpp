// SPDX-License-Identifier: BSD-3-Clause
// The exceptions of adjoin, and `check`, which throws the commonest of them.
#pragma once

#include <c10/util/StringUtil.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace adjoin {

/// Base of every exception that adjoin throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument has the wrong value, shape, dtype, device or count. The message names the argument, what was expected
/// and what came.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// The message-passing layer reported an error.
class CommunicationError : public Error {
 public:
  using Error::Error;
};

/// An operator of a stack failed. `index` is its place in the stack.
class OperatorFailure : public Error {
 public:
  OperatorFailure(std::int64_t index, const std::string& message);
  std::int64_t index;
};

/// A rank failed in a collective call; every rank throws this same error. `rank` is the lowest rank that failed,
/// `operator_index` the failing operator's global index or -1 when no operator is to blame, and `reason` the original
/// message.
class RankFailure : public Error {
 public:
  RankFailure(int rank, std::int64_t operator_index, const std::string& reason);
  int rank;
  std::int64_t operator_index;
  std::string reason;
};

/// Throws InvalidArgument with the concatenated `message` parts unless `condition` holds. The parts are printed only on
/// failure.
template <class... Parts>
void check(bool condition, const Parts&... message) {
  if (!condition) [[unlikely]] {
    throw InvalidArgument(c10::str(message...));
  }
}

}  // namespace adjoin
