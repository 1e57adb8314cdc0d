#include "adjoin/solvers/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

namespace adjoin {

namespace {

using Clock = std::chrono::steady_clock;

class ProgressBar {
 public:
  explicit ProgressBar(std::string title) : title_(std::move(title)) {}
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
    std::fprintf(stderr, "\r\033[K%s [%s] %d/%d, residual %.2e, %.1f s left at most", title_.c_str(), bar.c_str(),
                 info.iteration, info.max_iter, info.relative_residual, left);
    std::fflush(stderr);
    drawn_ = true;
  }

  void erase() {
    if (drawn_) {
      std::fputs("\r\033[K", stderr);
      std::fflush(stderr);
      drawn_ = false;
    }
  }

  std::string title_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_drawn_;
  bool drawn_ = false;
};

}  // namespace

Monitor progress_bar(std::string title) {
  if (isatty(STDERR_FILENO) == 0) {
    return [](const IterationInfo&) { return true; };
  }
  // The copies of the monitor share the bar; the last of them erases it.
  return [bar = std::make_shared<ProgressBar>(std::move(title))](const IterationInfo& info) {
    bar->update(info);
    return true;
  };
}

}  // namespace adjoin
