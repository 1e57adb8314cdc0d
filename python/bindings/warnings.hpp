// SPDX-License-Identifier: BSD-3-Clause
// Warnings of C++ as warnings of Python.
#pragma once

#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include "casters.hpp"

namespace adjoin::python {

/// What f() returns, run without the GIL; what it warns of by TORCH_WARN becomes a UserWarning at the caller's line.
template <class F>
auto with_warnings(const F& f) {
  struct Kept : c10::WarningHandler {
    std::vector<std::string> messages;
    void process(const c10::Warning& warning) override { messages.push_back(warning.msg()); }
  } kept;
  auto result = [&] {
    const py::gil_scoped_release release;
    const c10::WarningUtils::WarningHandlerGuard guard(&kept);
    return f();
  }();
  for (const std::string& message : kept.messages) {
    if (PyErr_WarnEx(PyExc_UserWarning, message.c_str(), 1) != 0) {
      throw py::error_already_set();
    }
  }
  return result;
}

}  // namespace adjoin::python
