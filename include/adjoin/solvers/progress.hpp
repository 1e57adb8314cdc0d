// A progress bar for long solves.
#pragma once

#include <string>

#include "adjoin/solvers/solver.hpp"

namespace adjoin {

/// A monitor that draws a one-line progress bar (title, iteration, residual, time left) on standard error and erases it
/// at the end; does nothing when standard error is not a terminal. It never asks the solver to stop.
Monitor progress_bar(std::string title);

}  // namespace adjoin
