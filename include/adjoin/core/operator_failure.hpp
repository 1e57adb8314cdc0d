// SPDX-License-Identifier: BSD-3-Clause
// The place in its stack of an operator that failed.
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <exception>

#include "adjoin/core/errors.hpp"

namespace adjoin {

/// Calls f for operator `index`; whatever it throws becomes an OperatorFailure around it.
template <class F>
auto for_operator(std::int64_t index, const F& f) {
  try {
    return f();
  } catch (const c10::Error& error) {
    std::throw_with_nested(OperatorFailure(index, error.what_without_backtrace()));
  } catch (const std::exception& error) {
    std::throw_with_nested(OperatorFailure(index, error.what()));
  } catch (...) {
    std::throw_with_nested(OperatorFailure(index, "an exception of unknown type"));
  }
}

}  // namespace adjoin
