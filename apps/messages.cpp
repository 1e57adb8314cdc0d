// SPDX-License-Identifier: BSD-3-Clause
// The messages of each method of a small stack, counted for `adjoin messages`.
#include <ATen/ATen.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/operators/matrix.hpp"
#include "commands.hpp"

namespace adjoin {

namespace {

struct Count {
  std::string call;
  double collectives = 0.0;
  double reductions = 0.0;
  double scatters = 0.0;
  double gathers = 0.0;
  double bytes = 0.0;
  double announcements = 0.0;
};

class Counting {
 public:
  explicit Counting(DistributedContext& context) : communicator_(context.communicator()) {}

  /// One call in the steady state.
  void call(const std::string& name, const std::function<void()>& run) { add(name, steady(run), {}, 1); }

  /// One iteration, as the difference between solves of 10 and of 20.
  void iteration(const std::string& name, const std::function<void(int iterations)>& solve) {
    const MessageCounters few = steady([&] { solve(10); });
    add(name, steady([&] { solve(20); }), few, 10);
  }

  const std::vector<Count>& counts() const { return counts_; }

 private:
  MessageCounters steady(const std::function<void()>& run) {
    run();
    communicator_.reset_counters();
    run();
    return communicator_.counters();
  }

  void add(const std::string& name, const MessageCounters& counted, const MessageCounters& before, int calls) {
    const auto each = [&](std::int64_t MessageCounters::* counter) {
      return static_cast<double>(counted.*counter - before.*counter) / calls;
    };
    counts_.push_back({name, each(&MessageCounters::collectives), each(&MessageCounters::reductions),
                       each(&MessageCounters::scatters), each(&MessageCounters::gathers), each(&MessageCounters::bytes),
                       each(&MessageCounters::announcements)});
  }

  Communicator& communicator_;
  std::vector<Count> counts_;
};

std::vector<Count> count_messages(DistributedContext& context, const at::Tensor& x) {
  constexpr std::int64_t n = 8;
  constexpr std::int64_t rows = 16;
  const DistributedStackedLinearPhysics stack(context, n, [&](auto index, auto /*device*/, const auto& /*shared*/) {
    at::manual_seed(static_cast<std::uint64_t>(index));
    return std::make_shared<Matrix>(at::randn({rows, x.size(1)}));
  });
  const TensorList y = stack.A(x);
  Counting counting(context);
  counting.call("A", [&] { (void)stack.A(x); });
  counting.call("A, gather = false", [&] { (void)stack.A(x, {.gather = false}); });
  counting.call("A_adjoint", [&] { (void)stack.A_adjoint(y); });
  counting.call("A_adjoint, gather = false", [&] { (void)stack.A_adjoint(y, {.gather = false}); });
  counting.call("A_vjp", [&] { (void)stack.A_vjp(x, y); });
  counting.call("A_adjoint_A", [&] { (void)stack.A_adjoint_A(x); });
  counting.call("A_A_adjoint", [&] { (void)stack.A_A_adjoint(y); });
  for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::MINRES, Solver::BiCGStab}) {
    counting.iteration("an iteration of " + std::string(to_string(solver)), [&](int iterations) {
      (void)stack.A_dagger(y, {.solver = solver, .max_iter = iterations, .tol = 0.0, .local_only = false});
    });
  }
  counting.iteration("an iteration of compute_sqnorm", [&](int iterations) {
    (void)stack.compute_sqnorm(x, {.max_iter = iterations, .tol = 0.0, .local_only = false});
  });
  counting.call("compute_sqnorm, local_only", [&] { (void)stack.compute_sqnorm(x); });
  const ShardedImage slab = stack.shard_image(x);
  counting.call("A of a sharded image", [&] { (void)stack.A(slab); });
  counting.call("A_adjoint_sharded", [&] { (void)stack.A_adjoint_sharded(y); });
  counting.call("A_adjoint_A of a sharded image", [&] { (void)stack.A_adjoint_A(slab); });
  for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::MINRES, Solver::BiCGStab}) {
    counting.iteration(std::string(to_string(solver)) + " on sharded images", [&](int iterations) {
      (void)stack.A_dagger_sharded(y, {.solver = solver, .max_iter = iterations, .tol = 0.0});
    });
  }
  return counting.counts();
}

}  // namespace

int messages(DistributedContext& context, bool json) {
  const at::Tensor x = at::ones({1, 256});
  const std::vector<Count> counts = count_messages(context, x);
  if (context.rank() != 0) {
    return 0;
  }
  if (json) {
    nlohmann::ordered_json report = {{"ranks", context.size()}, {"image_bytes", x.nbytes()}};
    for (const Count& c : counts) {
      report["calls"][c.call] = {
          {"collectives", c.collectives}, {"reductions", c.reductions}, {"scatters", c.scatters},
          {"gathers", c.gathers},         {"bytes", c.bytes},           {"announcements", c.announcements}};
    }
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  std::printf(
      "8 operators on %d rank(s), an image of %zu bytes, measurements of 64 bytes each; steady state\n\n%-34s %11s "
      "%11s %8s %8s %8s %13s\n",
      context.size(), x.nbytes(), "", "collectives", "reductions", "scatters", "gathers", "bytes", "announcements");
  for (const Count& c : counts) {
    std::printf("%-34s %11g %11g %8g %8g %8g %13g\n", c.call.c_str(), c.collectives, c.reductions, c.scatters,
                c.gathers, c.bytes, c.announcements);
  }
  return 0;
}

}  // namespace adjoin
