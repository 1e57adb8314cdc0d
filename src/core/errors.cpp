// SPDX-License-Identifier: BSD-3-Clause
// The texts of errors that name a rank, an operator and a reason.
#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

std::string describe(int rank, std::int64_t operator_index, const std::string& reason) {
  return operator_index < 0 ? c10::str("rank ", rank, ": ", reason)
                            : c10::str("rank ", rank, ", operator ", operator_index, ": ", reason);
}

}  // namespace

OperatorFailure::OperatorFailure(std::int64_t failed_index, const std::string& message)
    : Error(message), index(failed_index) {}

RankFailure::RankFailure(int failed_rank, std::int64_t failed_operator, const std::string& original)
    : Error(describe(failed_rank, failed_operator, original)),
      rank(failed_rank),
      operator_index(failed_operator),
      reason(original) {}

}  // namespace adjoin
