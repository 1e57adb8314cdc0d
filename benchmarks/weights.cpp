// SPDX-License-Identifier: BSD-3-Clause
// What weights of the measurements and default steps cost; prints JSON. Ratios are those of times taken in turns, in
// one run, in one process:
//
//   gradient   of least squares with a weight for each sample, over A and then A_adjoint without weights
//   normal     A_adjoint_W_A with a weight for each sample, and with one an operator, over A_adjoint_A
//   step       guess_sqnorm over ‖A‖², and the time of the guess over that of a gradient
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/optim/stacked_data_fidelity.hpp"
#include "adjoin/physics/stacked.hpp"
#include "workloads.hpp"

namespace adjoin::benchmark {
namespace {

using Json = nlohmann::ordered_json;

// Medians of calls that are made in turns.
std::vector<double> medians(int repetitions, const std::vector<std::function<void()>>& calls) {
  std::vector<std::vector<double>> times(calls.size());
  for (int i = -2; i < repetitions; ++i) {
    for (std::size_t k = 0; k < calls.size(); ++k) {
      const auto start = std::chrono::steady_clock::now();
      calls[k]();
      if (i >= 0) {
        times[k].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
    }
  }
  std::vector<double> result;
  for (std::vector<double>& of_call : times) {
    std::ranges::sort(of_call);
    result.push_back(of_call[of_call.size() / 2]);
  }
  return result;
}

struct Stack {
  std::string name;
  std::vector<LinearPhysicsPtr> operators;
  at::Tensor x;
};

Stack of(const Workload& w) {
  Stack stack{.name = w.name, .operators = {}, .x = w.x};
  for (std::int64_t i = 0; i < w.num_operators; ++i) {
    stack.operators.push_back(std::dynamic_pointer_cast<LinearPhysics>(w.factory(i, at::kCPU, {})));
  }
  return stack;
}

Stack angles(std::int64_t count) {
  Stack stack{.name = std::to_string(count) + " angles", .operators = {}, .x = at::rand({1, 1, 256, 256})};
  for (std::int64_t i = 0; i < count; ++i) {
    const at::Tensor angle = at::full({1}, 180.0 * static_cast<double>(i) / static_cast<double>(count), at::kDouble);
    stack.operators.push_back(std::make_shared<Tomography>(angle, std::array<std::int64_t, 2>{256, 256},
                                                           TomographyOptions{.detectors = 256}));
  }
  return stack;
}

// Smooth maps with Σ |s|² = 1 where there is an object, as ESPIRiT makes them, an operator each; every third line and
// the central ones are sampled.
Stack smooth_coils(std::int64_t count) {
  constexpr std::int64_t size = 256;
  const at::Tensor axis = at::linspace(-1.0, 1.0, size, at::kDouble);
  const at::Tensor u = axis.view({1, size});
  const at::Tensor v = axis.view({size, 1});
  std::vector<at::Tensor> maps;
  for (std::int64_t i = 0; i < count; ++i) {
    const double turn = 6.283185307179586 * static_cast<double>(i) / static_cast<double>(count);
    const at::Tensor distance = (u - 1.2 * std::cos(turn)).square() + (v - 1.2 * std::sin(turn)).square();
    maps.push_back(at::polar((-distance).exp(), u * std::cos(turn) + v * std::sin(2.0 * turn)));
  }
  at::Tensor all = at::stack(maps).unsqueeze(0);
  const at::Tensor object = (u / 0.8).square() + (v / 0.9).square() < 1.0;
  all = (all / at::linalg_vector_norm(all, 2, {1}, true) * object).to(at::kComplexFloat);
  at::Tensor mask = at::zeros({1, size}, at::kFloat);
  mask.slice(1, 0, size, 3).fill_(1.0);
  mask.slice(1, size / 2 - 12, size / 2 + 12).fill_(1.0);
  Stack stack{
      .name = std::to_string(count) + " coils of smooth maps", .operators = {}, .x = at::randn({1, 2, size, size})};
  for (std::int64_t i = 0; i < count; ++i) {
    stack.operators.push_back(std::make_shared<MultiCoilMRI>(mask, all.narrow(1, i, 1)));
  }
  return stack;
}

Json weighted(const Stack& s, int repetitions) {
  const StackedLinearPhysics stack(s.operators);
  const TensorList y = stack.A(s.x);
  TensorList each;
  TensorList one;
  std::vector<DataFidelityPtr> fidelities;
  for (const at::Tensor& entry : y) {
    each.push_back(at::rand(entry.sizes()) + 0.5);
    one.push_back(at::rand({}) + 0.5);
    fidelities.push_back(std::make_shared<L2>(each.tensors().back().rsqrt()));
  }
  const StackedDataFidelity f(stack, fidelities);
  const std::vector<double> times =
      medians(repetitions, {[&] { stack.A_adjoint(stack.A(s.x)); }, [&] { f.grad(s.x, y); },
                            [&] { stack.A_adjoint_W_residual(s.x, y, each); }, [&] { stack.A_adjoint_A(s.x); },
                            [&] { stack.A_adjoint_W_A(s.x, each); }, [&] { stack.A_adjoint_W_A(s.x, one); }});
  return {{"A, A_adjoint", times[0]},
          {"gradient", times[1] / times[0]},
          {"A_adjoint_W_residual", times[2] / times[0]},
          {"A_adjoint_A", times[3]},
          {"normal, a weight each sample", times[4] / times[3]},
          {"normal, a weight each operator", times[5] / times[3]}};
}

Json default_step(const Stack& s, int repetitions) {
  const StackedLinearPhysics stack(s.operators);
  const StackedDataFidelity f(stack, std::make_shared<L2>());
  const TensorList y = stack.A(s.x);
  const double sqnorm = stack.compute_sqnorm(s.x, {.max_iter = 300, .tol = 1e-6});
  // A stack keeps its guess: each is asked once.
  const std::vector<double> times =
      medians(repetitions, {[&] { StackedLinearPhysics(s.operators).guess_sqnorm(s.x); },
                            [&] { StackedLinearPhysics(s.operators).A_adjoint_A(s.x); }, [&] { f.grad(s.x, y); }});
  return {{"guess over ‖A‖²", stack.guess_sqnorm(s.x) / sqnorm},
          {"cost in gradients", (times[0] - times[1]) / times[2] + 1.0}};
}

}  // namespace
}  // namespace adjoin::benchmark

int main(int argc, char** argv) {
  CLI::App app("Times weighted measurements and default steps; prints ratios.");
  int threads = 1;
  int repetitions = 31;
  app.add_option("--threads", threads)->check(CLI::PositiveNumber);
  app.add_option("--repetitions", repetitions)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  using namespace adjoin::benchmark;
  at::set_num_threads(threads);
  const c10::NoGradGuard no_grad;
  Json figures = {{"threads", threads}};
  for (const Stack& stack : {angles(60), of(blur()), of(mri())}) {
    figures[stack.name] = weighted(stack, repetitions);
  }
  for (const Stack& stack : {smooth_coils(8), angles(77)}) {
    figures["step"][stack.name] = default_step(stack, std::min(repetitions, 11));
  }
  std::cout << figures.dump(2) << '\n';
}
