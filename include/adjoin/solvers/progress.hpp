// SPDX-License-Identifier: BSD-3-Clause
// A progress bar for long solves.
#pragma once

#include <functional>
#include <string>

#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// A monitor that draws a one-line progress bar (title, iteration, residual, time left) on standard error and erases it
/// at the end; does nothing when standard error is not a terminal. It never asks the solver to stop.
Monitor progress_bar(std::string title);

/// Where bars are drawn from now on, in place of standard error, such as the output of a notebook's cell. `show` is
/// given each line, and an empty one at the end; an empty function is standard error again. Of the whole process.
void show_progress_by(std::function<void(const std::string& line)> show);

}  // namespace adjoin
