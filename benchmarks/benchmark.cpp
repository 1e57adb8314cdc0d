// Times adjoin's distributed stacks, run under mpirun; prints or writes JSON, seconds under the names of calls:
//
//   adjoin       the distributed stacks
//   independent  what each rank's part takes as a stack of its own, at the same time and without any message: the
//                difference is what distribution costs
//   plain        the same arithmetic on bare tensors: the difference is the framework's own time
//   floor        the transforms that the normal operators cannot do without, on the rank that has most of them
//   memory       peak resident memory of a first A_adjoint_A above what was there before, in images
//   sharding     "unequal" with costs that were measured and in turns, and the longest rank's share that costs predict
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/distributed/measure_costs.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/stacked.hpp"
#include "fft.hpp"  // of the library itself: the floors are its own transforms
#include "stopwatch.hpp"
#include "workloads.hpp"

namespace adjoin::benchmark {
namespace {

using Json = nlohmann::ordered_json;

void time_distributed(DistributedContext& context, const Workload& w, Stopwatch& stopwatch) {
  const DistributedStackedLinearPhysics stack(context, w.num_operators, w.factory);
  const TensorList y = stack.A(w.x);
  stopwatch.time(w.name + ".A", w.repetitions, [&] { (void)stack.A(w.x); });
  stopwatch.time(w.name + ".A(no gather)", w.repetitions, [&] { (void)stack.A(w.x, {.gather = false}); });
  stopwatch.time(w.name + ".A_adjoint", w.repetitions, [&] { (void)stack.A_adjoint(y); });
  stopwatch.time(w.name + ".A_adjoint_A", w.repetitions, [&] { (void)stack.A_adjoint_A(w.x); });
  stopwatch.time(w.name + ".A_A_adjoint", w.repetitions, [&] { (void)stack.A_A_adjoint(y); });
  for (const Solve& solve : w.solves) {
    stopwatch.time(w.name + "." + solve.name, w.solve_repetitions, [&] {
      (void)stack.A_dagger(y, {.solver = solve.solver, .max_iter = solve.iterations, .tol = 0.0, .local_only = false});
    });
  }
  if (w.norm_iterations > 0) {
    stopwatch.time(w.name + ".sqnorm" + std::to_string(w.norm_iterations), w.solve_repetitions, [&] {
      (void)stack.compute_sqnorm(w.x, {.max_iter = w.norm_iterations, .tol = 0.0, .local_only = false});
    });
  }
}

void time_independent(const DistributedContext& context, const Workload& w, Stopwatch& stopwatch) {
  std::vector<LinearPhysicsPtr> operators;
  for (const std::int64_t index : context.local_indices(w.num_operators)) {
    operators.push_back(std::dynamic_pointer_cast<LinearPhysics>(w.factory(index, context.device(), {})));
  }
  const StackedLinearPhysics stack(operators);
  const TensorList y = stack.A(w.x);
  stopwatch.time(w.name + ".A", w.repetitions, [&] { (void)stack.A(w.x); });
  stopwatch.time(w.name + ".A_adjoint", w.repetitions, [&] { (void)stack.A_adjoint(y); });
  stopwatch.time(w.name + ".A_adjoint_A", w.repetitions, [&] { (void)stack.A_adjoint_A(w.x); });
  for (const Solve& solve : w.solves) {
    stopwatch.time(w.name + "." + solve.name, w.solve_repetitions, [&] {
      (void)stack.A_dagger(y, {.solver = solve.solver, .max_iter = solve.iterations, .tol = 0.0});
    });
  }
}

// Adjoint and normal operator of "own", as bare tensor operations and one reduction.
void time_plain_own(const DistributedContext& context, Stopwatch& stopwatch) {
  const Workload w = own();
  const auto indices = context.local_indices(w.num_operators);
  at::Tensor sum = at::zeros_like(w.x);
  const auto apply = [&](int scalings) {
    sum.zero_();
    for (const std::int64_t index : indices) {
      const double factor = 1.0 + 0.1 * static_cast<double>(index);
      sum.add_(scalings == 1 ? w.x * factor : (w.x * factor) * factor);
    }
    context.communicator().all_reduce(sum);
  };
  stopwatch.time("own.A_adjoint", w.repetitions, [&] { apply(1); });
  stopwatch.time("own.A_adjoint_A", w.repetitions, [&] { apply(2); });
}

// Transforms of `count` images of these sizes there and back, on every rank at once.
void time_transforms(const std::string& name, std::int64_t count, at::IntArrayRef sizes, at::ScalarType dtype,
                     Stopwatch& stopwatch) {
  const auto transform = fft::ImageTransform::make(sizes, dtype);
  if (transform == nullptr) {
    return;
  }
  std::vector<std::int64_t> batch = {count};
  batch.insert(batch.end(), sizes.begin(), sizes.end());
  at::Tensor images = at::rand(batch, dtype);
  // A complex transform works in place; the spectrum of a real image is about as large as the image.
  at::Tensor spectrum = at::zeros({images[0].numel() + 2 * sizes[0]}, dtype);
  stopwatch.time(name, 21, [&] {
    for (std::int64_t k = 0; k < count; ++k) {
      void* const image = images[k].mutable_data_ptr();
      void* const target = at::isComplexType(dtype) ? image : spectrum.mutable_data_ptr();
      transform->forward(image, target);
      transform->backward(target, image);
    }
  });
}

// The blurs' three channels are divided among the ranks, the coils are divided equally.
void time_floors(const DistributedContext& context, const std::string& only, Stopwatch& stopwatch) {
  const auto share = [&](std::int64_t total) { return (total + context.size() - 1) / context.size(); };
  if (only.empty() || only == "blur") {
    time_transforms("blur.A_adjoint_A", share(3), {512, 512}, at::kFloat, stopwatch);
  }
  if (only.empty() || only == "mri") {
    time_transforms("mri.A_adjoint_A", share(12), {256, 256}, at::kComplexFloat, stopwatch);
  }
}

// A field of /proc/self/status, in bytes.
double memory_field(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) {
      return 1024.0 * std::stod(line.substr(field.size() + 1));
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// Everything that a normal operator ever needs: operators, their fused form, windows, results and workspaces.
Json measure_memory(DistributedContext& context, const Workload& w) {
  // Code and tables that the first use of anything brings in are not counted.
  const at::Tensor small = w.x.narrow(-2, 0, 64).narrow(-1, 0, 64).contiguous();
  (void)DistributedStackedLinearPhysics(context, w.num_operators, w.factory).A_adjoint_A(small);
  const DistributedStackedLinearPhysics stack(context, w.num_operators, w.factory);
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak is now what is resident
  const double before = memory_field("VmRSS");
  for (int i = 0; i < 3; ++i) {
    (void)stack.A_adjoint_A(w.x);
  }
  std::vector<double> images = {(memory_field("VmHWM") - before) / static_cast<double>(w.x.nbytes())};
  context.communicator().all_reduce(std::span<double>(images), ReduceOp::max);
  return images[0];
}

// The share of the longest-working rank when `owner(i)` works on item i.
template <class Owner>
double makespan(const std::vector<double>& costs, int ranks, const Owner& owner) {
  std::vector<double> loads(static_cast<std::size_t>(ranks), 0.0);
  for (std::size_t i = 0; i < costs.size(); ++i) {
    loads[static_cast<std::size_t>(owner(i))] += costs[i];
  }
  return *std::ranges::max_element(loads);
}

// Over all assignments.
double best_makespan(const std::vector<double>& costs, int ranks) {
  std::vector<int> owners(costs.size(), 0);
  double best = std::accumulate(costs.begin(), costs.end(), 0.0);
  while (true) {
    best = std::min(best, makespan(costs, ranks, [&](std::size_t i) { return owners[i]; }));
    auto digit = owners.begin();
    while (digit != owners.end() && ++*digit == ranks) {
      *digit++ = 0;
    }
    if (digit == owners.end()) {
      return best;
    }
  }
}

Json compare_shardings(DistributedContext& context, const Workload& w) {
  const std::vector<double> costs = measure_costs(context, w.num_operators, w.factory, w.x);
  const DistributedStackedLinearPhysics in_turns(context, w.num_operators, w.factory);
  const DistributedStackedLinearPhysics measured(context, w.num_operators, w.factory, {.costs = costs});
  Stopwatch whole(context.communicator());
  Stopwatch local(context.communicator());
  for (const auto& [way, stack] : {std::pair{"round robin", &in_turns}, std::pair{"measured", &measured}}) {
    whole.time(way, w.repetitions, [&] { (void)stack->A_adjoint_A(w.x); });
    local.time(way, w.repetitions, [&] { (void)stack->A_adjoint_A(w.x, {.gather = false}); });
  }
  const int ranks = context.size();
  const Sharding by_cost = Sharding::by_cost(costs, ranks);
  const Sharding round_robin = Sharding::round_robin(w.num_operators, ranks);
  const auto owner_in = [](const Sharding& sharding) {
    return [&](std::size_t i) { return sharding.owner(static_cast<std::int64_t>(i)); };
  };
  return {{"seconds", whole.figures()},
          {"local", local.figures()},
          {"predicted",
           {{"round robin", makespan(costs, ranks, owner_in(round_robin))},
            {"measured", makespan(costs, ranks, owner_in(by_cost))},
            {"best", best_makespan(costs, ranks)}}}};
}

Json measure(DistributedContext& context, const std::string& only) {
  const at::Device device = context.device();
  Stopwatch distributed(context.communicator(), device);
  Stopwatch independent(context.communicator(), device);
  Stopwatch plain(context.communicator());
  Stopwatch floor(context.communicator());
  Json memory = Json::object();
  Json sharding = Json::object();
  for (const auto make : {tiny, own, blur, mri, tomography}) {
    Workload workload = make();
    workload.x = workload.x.to(device);
    if (!only.empty() && workload.name != only) {
      continue;
    }
    if (workload.name == "blur" && device.is_cpu()) {
      memory[workload.name + ".A_adjoint_A"] = measure_memory(context, workload);
    }
    time_distributed(context, workload, distributed);
    time_independent(context, workload, independent);
  }
  if (!device.is_cpu()) {
    return {{"adjoin", distributed.figures()}, {"independent", independent.figures()}};
  }
  if (only.empty() || only == "own") {
    time_plain_own(context, plain);
  }
  time_floors(context, only, floor);
  if ((only.empty() || only == "unequal") && context.size() > 1) {
    sharding["unequal"] = compare_shardings(context, unequal());
  }
  return {{"adjoin", distributed.figures()},
          {"independent", independent.figures()},
          {"plain", plain.figures()},
          {"floor", floor.figures()},
          {"memory", memory},
          {"sharding", sharding}};
}

}  // namespace
}  // namespace adjoin::benchmark

int main(int argc, char** argv) {
  CLI::App app("Times adjoin's distributed stacks; run it under mpirun");
  std::string file;
  std::string only;
  bool gpu = false;
  app.add_option("--json", file, "File for the figures; printed otherwise");
  app.add_option("--only", only, "One workload")
      ->check(CLI::IsMember({"tiny", "own", "blur", "mri", "tomography", "unequal"}));
  app.add_flag("--gpu", gpu, "On GPUs, one a local rank: the first two groups of figures alone");
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(1);
  const c10::NoGradGuard no_grad;
  adjoin::DistributedContext context({.device_mode = gpu ? adjoin::DeviceMode::gpu : adjoin::DeviceMode::cpu});
  at::manual_seed(0);
  const nlohmann::ordered_json figures = adjoin::benchmark::measure(context, only);
  if (context.rank() == 0) {
    if (file.empty()) {
      std::printf("%s\n", figures.dump(2).c_str());
    } else {
      std::ofstream(file) << figures.dump(2) << '\n';
    }
  }
  return 0;
}
