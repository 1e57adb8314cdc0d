// SPDX-License-Identifier: BSD-3-Clause
// Errors of solvers, which no rank is to blame for.
#pragma once

#include <exception>
#include <typeinfo>

#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/exchange/failure.hpp"

namespace adjoin {

/// What a solver itself throws, it throws on all ranks alike, as their numbers are the same: it is no rank's failure.
template <class Solve>
auto as_plain_error(const Solve& solve) {
  try {
    return solve();
  } catch (const RankFailure& failure) {
    const auto* const agreed = dynamic_cast<const AgreedFailure*>(&failure);
    try {
      std::rethrow_if_nested(failure);
    } catch (const Error& error) {
      if (typeid(error) == typeid(Error) && (agreed == nullptr || agreed->everywhere)) {
        throw Error(error.what());
      }
    } catch (...) {  // NOLINT(bugprone-empty-catch): of one rank
    }
    throw;
  }
}

}  // namespace adjoin
