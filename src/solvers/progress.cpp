// SPDX-License-Identifier: BSD-3-Clause
// A line on a terminal, drawn at most ten times a second and erased at the end.
#include "adjoin/solvers/progress.hpp"

#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

namespace adjoin {

namespace {

using Clock = std::chrono::steady_clock;
using Show = std::function<void(const std::string&)>;

std::mutex mutex;
std::shared_ptr<const Show> shown_by;  // null for standard error

std::shared_ptr<const Show> current_show() {
  const std::lock_guard lock(mutex);
  return shown_by;
}

void show_on_terminal(const std::string& line) {
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

class ProgressBar {
 public:
  ProgressBar(std::string title, Show show) : title_(std::move(title)), show_(std::move(show)) {}
  ~ProgressBar() { erase(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const IterationInfo& info) {
    const auto now = Clock::now();
    if (info.iteration == info.max_iter) {
      erase();
    } else if (now - last_drawn_ >= interval) {
      last_drawn_ = now;
      draw(info, std::chrono::duration<double>(now - start_).count());
    }
  }

 private:
  static constexpr auto interval = std::chrono::milliseconds(100);
  static constexpr int width = 24;

  void draw(const IterationInfo& info, double seconds) {
    const int filled = static_cast<int>(static_cast<std::int64_t>(width) * info.iteration / info.max_iter);
    const double left = seconds / info.iteration * (info.max_iter - info.iteration);
    const std::string bar =
        std::string(static_cast<std::size_t>(filled), '#') + std::string(static_cast<std::size_t>(width - filled), '.');
    std::array<char, 96> numbers;
    std::snprintf(numbers.data(), numbers.size(), " %d/%d, residual %.2e, %.1f s left at most", info.iteration,
                  info.max_iter, info.relative_residual, left);
    show_(c10::str(title_, " [", bar, "]", numbers.data()));
    drawn_ = true;
  }

  void erase() {
    if (drawn_) {
      show_("");
      drawn_ = false;
    }
  }

  std::string title_;
  Show show_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_drawn_;
  bool drawn_ = false;
};

}  // namespace

Monitor progress_bar(std::string title) {
  const auto show = current_show();
  if (show == nullptr && isatty(STDERR_FILENO) == 0) {
    return [](const IterationInfo&) { return true; };
  }
  // The copies of the monitor share the bar; the last of them erases it.
  auto bar = std::make_shared<ProgressBar>(std::move(title), show != nullptr ? *show : Show(&show_on_terminal));
  return [bar = std::move(bar)](const IterationInfo& info) {
    bar->update(info);
    return true;
  };
}

void show_progress_by(std::function<void(const std::string& line)> show) {
  const std::lock_guard lock(mutex);
  shown_by = show ? std::make_shared<const Show>(std::move(show)) : nullptr;
}

}  // namespace adjoin
