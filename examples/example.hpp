// SPDX-License-Identifier: BSD-3-Clause
// What the examples share: printing from rank 0, timing, promises about the numbers, and pictures put side by side.
#pragma once

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "adjoin/distributed/context.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/io/report.hpp"
#include "adjoin/optim/optimise.hpp"

namespace adjoin::example {

/// A number as printf formats it: with("%.2f dB", 34.1).
inline std::string with(const char* format, double value) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, value)), ' ');
  std::snprintf(text.data(), text.size() + 1, format, value);
  return text;
}

/// On rank 0 only.
inline void print(const DistributedContext& context, const std::string& text) {
  if (context.rank() == 0) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }
}

/// What the run found: to `path`, behind the reports that are there, or in a file of the folder `out`. On rank 0 only.
inline void save(const DistributedContext& context, const Report& report, const std::filesystem::path& out,
                 const std::filesystem::path& path) {
  if (context.rank() == 0) {
    path.empty() ? report.write(out / "report.html") : report.append(path);
  }
}
inline void save(const DistributedContext& context, const at::Tensor& image, const std::filesystem::path& path) {
  if (context.rank() == 0) {
    write_png(path, image);
  }
}

/// Seconds that a call takes on the slowest rank.
template <class Call>
double seconds(const DistributedContext& context, const Call& call) {
  context.communicator().barrier();
  const auto start = std::chrono::steady_clock::now();
  call();
  double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.communicator().all_reduce(std::span(&elapsed, 1), ReduceOp::max);
  return elapsed;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// One column of the history of an algorithm.
inline std::vector<double> column(const OptimResult& result, double IterationRecord::* member) {
  std::vector<double> values;
  for (const IterationRecord& record : result.history) {
    values.push_back(record.*member);
  }
  return values;
}

/// Images (1, C, H, W) side by side, or one above the other.
inline at::Tensor side_by_side(const std::vector<at::Tensor>& images) { return at::cat(images, 3); }
inline at::Tensor above(const std::vector<at::Tensor>& images) { return at::cat(images, 2); }

/// What a run must achieve; each is printed as it is found.
class Promises {
 public:
  explicit Promises(const DistributedContext& context) : context_(context) {}

  void operator()(bool kept, const std::string& promise) {
    print(context_, (kept ? "  yes: " : "  NO:  ") + promise + '\n');
    kept_ = kept_ && kept;
  }
  /// 0 when all were kept, else 1.
  int exit_status() const { return kept_ ? 0 : 1; }

 private:
  const DistributedContext& context_;
  bool kept_ = true;
};

/// The exit status of `body`, or 1 and a message when it throws.
template <class Body>
int guarded(const char* name, const Body& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 1;
  }
}

}  // namespace adjoin::example
