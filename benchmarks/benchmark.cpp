// SPDX-License-Identifier: BSD-3-Clause
// The times of adjoin's distributed stacks, run under mpirun. Prints or writes JSON, seconds under the names of calls:
//
//   adjoin       the distributed stacks, on replicated images
//   adjoin-slab  the same calls on sharded images, of which each rank holds a slab
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
#include <functional>
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
#include "kernels/fft/transform.hpp"  // of the library itself: the floors are its own transforms
#include "stopwatch.hpp"
#include "workloads.hpp"

namespace adjoin::benchmark {
namespace {

using Json = nlohmann::ordered_json;

// What a call is timed as: a section of the figures, and the call.
struct Way {
  Stopwatch& section;
  std::function<void()> call;
};

// Ways are timed in turns of several repetitions, so that each has the caches to itself as in use, and all see the same
// machine.
constexpr int turns = 3;

void time_in_turns(const std::string& name, int repetitions, const std::vector<Way>& ways) {
  for (int turn = 0; turn < turns; ++turn) {
    for (const Way& way : ways) {
      way.section.time(name, (repetitions + turns - 1) / turns, way.call);
    }
  }
}

// The sections whose figures are compared.
struct Sections {
  Stopwatch distributed;
  Stopwatch slabs;
  Stopwatch independent;
  Stopwatch floor;
  Sections(Communicator& communicator, at::Device device)
      : distributed(communicator, device),
        slabs(communicator, device),
        independent(communicator, device),
        floor(communicator, device) {}
};

// Transforms of `count` images there and back, as the library of transforms does them by itself: from rows that follow
// one another.
class Transforms {
 public:
  // Null where there are none of this kind.
  static std::shared_ptr<Transforms> make(std::int64_t count, at::IntArrayRef sizes, at::ScalarType dtype) {
    auto transform = fft::Transform::make(sizes, dtype);
    return transform ? std::make_shared<Transforms>(count, sizes, dtype, std::move(transform)) : nullptr;
  }
  Transforms(std::int64_t count, at::IntArrayRef sizes, at::ScalarType dtype,
             std::shared_ptr<const fft::Transform> transform)
      : transform_(std::move(transform)) {
    std::vector<std::int64_t> batch = {count};
    batch.insert(batch.end(), sizes.begin(), sizes.end());
    images_ = at::rand(batch, dtype);
    // A complex transform works in place; the spectrum of a real image is about as large as the image.
    if (!at::isComplexType(dtype)) {
      spectrum_ = at::zeros({images_[0].numel() + 2 * sizes[0]}, dtype);
    }
  }
  void operator()() const {
    for (std::int64_t k = 0; k < images_.size(0); ++k) {
      void* const image = images_[k].mutable_data_ptr();
      void* const target = spectrum_.defined() ? spectrum_.mutable_data_ptr() : image;
      transform_->forward(image, target);
      transform_->backward(target, image);
    }
  }

 private:
  std::shared_ptr<const fft::Transform> transform_;
  at::Tensor images_;
  at::Tensor spectrum_;
};

// The transforms that a workload's normal operator cannot do without, on the rank that has most of them; null for
// workloads without.
std::shared_ptr<Transforms> transforms_of(const Workload& w, int ranks) {
  const auto share = [&](std::int64_t total) { return (total + ranks - 1) / ranks; };
  if (w.name == "blur") {  // its channels are divided among the ranks
    return Transforms::make(share(3), {512, 512}, at::kFloat);
  }
  if (w.name == "mri") {
    return Transforms::make(share(12), {256, 256}, at::kComplexFloat);
  }
  return nullptr;
}

void time_workload(DistributedContext& context, const Workload& w, Sections& sections) {
  const DistributedStackedLinearPhysics stack(context, w.num_operators, w.factory);
  std::vector<LinearPhysicsPtr> operators;
  for (const std::int64_t index : context.local_indices(w.num_operators)) {
    operators.push_back(std::dynamic_pointer_cast<LinearPhysics>(w.factory(index, context.device(), {})));
  }
  const StackedLinearPhysics part(operators);
  const TensorList y = stack.A(w.x);
  const TensorList y_of_part = part.A(w.x);

  const auto time = [&](const std::string& name, int repetitions, const std::vector<Way>& ways) {
    time_in_turns(w.name + "." + name, repetitions, ways);
  };
  Stopwatch& distributed = sections.distributed;
  Stopwatch& slabs = sections.slabs;
  Stopwatch& independent = sections.independent;
  const ShardedImage slab = stack.A_adjoint_sharded(y);
  time("A", w.repetitions,
       {{distributed, [&] { (void)stack.A(w.x); }}, {slabs, [&] { (void)stack.A(slab); }}, {independent, [&] {
                                                                                              (void)part.A(w.x);
                                                                                            }}});
  time("A(no gather)", w.repetitions, {{distributed, [&] { (void)stack.A(w.x, {.gather = false}); }}});
  time("A_adjoint", w.repetitions,
       {{distributed, [&] { (void)stack.A_adjoint(y); }},
        {slabs, [&] { (void)stack.A_adjoint_sharded(y); }},
        {independent, [&] { (void)part.A_adjoint(y_of_part); }}});
  std::vector<Way> normal = {{distributed, [&] { (void)stack.A_adjoint_A(w.x); }},
                             {slabs, [&] { (void)stack.A_adjoint_A(slab); }},
                             {independent, [&] { (void)part.A_adjoint_A(w.x); }}};
  const auto transforms = context.device().is_cpu() ? transforms_of(w, context.size()) : nullptr;
  if (transforms != nullptr) {
    normal.push_back({sections.floor, [&] { (*transforms)(); }});
  }
  time("A_adjoint_A", w.repetitions, normal);
  time("A_A_adjoint", w.repetitions, {{distributed, [&] { (void)stack.A_A_adjoint(y); }}});
  for (const Solve& solve : w.solves) {
    time(
        solve.name, w.solve_repetitions,
        {{distributed,
          [&] {
            (void)stack.A_dagger(y, {.solver = solve.solver,
                                     .max_iter = solve.iterations,
                                     .tol = 0.0,
                                     .local_only = false,
                                     .layout = ImageLayout::replicated});
          }},
         {slabs,
          [&] { (void)stack.A_dagger_sharded(y, {.solver = solve.solver, .max_iter = solve.iterations, .tol = 0.0}); }},
         {independent, [&] {
            (void)part.A_dagger(y_of_part, {.solver = solve.solver, .max_iter = solve.iterations, .tol = 0.0});
          }}});
  }
  if (w.norm_iterations > 0) {
    time("sqnorm" + std::to_string(w.norm_iterations), w.solve_repetitions,
         {{distributed,
           [&] {
             (void)stack.compute_sqnorm(
                 w.x,
                 {.max_iter = w.norm_iterations, .tol = 0.0, .local_only = false, .layout = ImageLayout::replicated});
           }},
          {slabs, [&] { (void)stack.compute_sqnorm(slab, {.max_iter = w.norm_iterations, .tol = 0.0}); }}});
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
  for (int turn = 0; turn < turns; ++turn) {
    for (const auto& [way, stack] : {std::pair{"round robin", &in_turns}, std::pair{"measured", &measured}}) {
      whole.time(way, w.repetitions / turns, [&] { (void)stack->A_adjoint_A(w.x); });
      local.time(way, w.repetitions / turns, [&] { (void)stack->A_adjoint_A(w.x, {.gather = false}); });
    }
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
  Sections sections(context.communicator(), device);
  Stopwatch plain(context.communicator());
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
    time_workload(context, workload, sections);
  }
  if (!device.is_cpu()) {
    return {{"adjoin", sections.distributed.figures()},
            {"adjoin-slab", sections.slabs.figures()},
            {"independent", sections.independent.figures()}};
  }
  if (only.empty() || only == "own") {
    time_plain_own(context, plain);
  }
  if ((only.empty() || only == "unequal") && context.size() > 1) {
    sharding["unequal"] = compare_shardings(context, unequal());
  }
  return {{"adjoin", sections.distributed.figures()},
          {"adjoin-slab", sections.slabs.figures()},
          {"independent", sections.independent.figures()},
          {"plain", plain.figures()},
          {"floor", sections.floor.figures()},
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
