// SPDX-License-Identifier: BSD-3-Clause
// What the bindings of the distributed stacks have in common.
#pragma once

#include <memory>
#include <string>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "casters.hpp"

namespace adjoin::python {

using Stack = DistributedStackedPhysics;
using LinearStack = DistributedStackedLinearPhysics;
using LinearStackClass = py::class_<LinearStack, Stack, std::shared_ptr<LinearStack>>;

// What `read` makes of a call's arguments; where that fails on one rank, all raise it instead of waiting for the call.
template <class Read>
auto reading(const Stack& stack, const char* method, bool collective, Read&& read) -> decltype(read()) {
  try {
    return read();
  } catch (...) {
    if (!collective) {
      throw;
    }
    const py::gil_scoped_release release;
    stack.refuse(method);
  }
}

inline CallOptions call_options(const Stack& stack, const char* method, bool gather, const py::object& kwargs) {
  return reading(stack, method, gather,
                 [&]() -> CallOptions { return {.gather = gather, .params = to_params(kwargs)}; });
}

// Among ranks a monitor costs a message an iteration, and the launcher ends them all anyway.
inline Monitor monitor_of(const Stack& stack) { return stack.context().size() == 1 ? interruptible() : Monitor(); }

/// What Python says of every solve; the start and what Options has besides is the caller's to fill in.
template <class Options>
Options solve_options(const Stack& stack, const std::string& solver, int max_iter, double tol, bool verbose,
                      SolveInfo* info, const py::object& kwargs) {
  Options options;
  options.solver = solver_from_string(solver);
  options.max_iter = max_iter;
  options.tol = tol;
  options.verbose = verbose;
  options.params = to_params(kwargs);
  options.monitor = monitor_of(stack);
  options.info = info;
  return options;
}

/// Sharded images, and the calls of linear stacks that take or give them.
void bind_slabs(py::module_& m, LinearStackClass& linear);

}  // namespace adjoin::python
