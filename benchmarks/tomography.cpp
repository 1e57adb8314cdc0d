// SPDX-License-Identifier: BSD-3-Clause
// Times Tomography on what benchmarks/peers/astra_tomography.py times the ASTRA toolbox on: 256 x 256 images, 77 angles
// from -76 to 76 degrees, 256 detectors; alone and as the slices of a volume. Prints JSON: medians, in seconds.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adjoin/operators/tomography/tomography.hpp"

namespace {

template <class Call>
double median_time(int repetitions, const Call& call) {
  std::vector<double> times;
  for (int i = -2; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    if (i >= 0) {
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times Tomography; prints medians, in seconds.");
  int threads = 1;
  int repetitions = 31;
  app.add_option("--threads", threads)->check(CLI::PositiveNumber);
  app.add_option("--repetitions", repetitions)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  at::set_num_threads(threads);
  const c10::NoGradGuard no_grad;
  constexpr std::int64_t slices = 16;
  const adjoin::Tomography physics(at::linspace(-76.0, 76.0, 77, at::kDouble), {256, 256}, {.detectors = 256});

  nlohmann::ordered_json figures = {{"threads", threads}};
  for (const auto type : {at::kFloat, at::kDouble}) {
    const std::string name = type == at::kFloat ? "float" : "double";
    const at::Tensor image = at::rand({1, 1, 256, 256}, type);
    const at::Tensor sinogram = physics.A(image);
    figures[name + ".A"] = median_time(repetitions, [&] { physics.A(image); });
    figures[name + ".A_adjoint"] = median_time(repetitions, [&] { physics.A_adjoint(sinogram); });
    figures[name + ".fbp"] = median_time(repetitions, [&] { physics.fbp(sinogram); });
    const at::Tensor volume = at::rand({1, 1, slices, 256, 256}, type);
    const at::Tensor sinograms = physics.A(volume);
    figures[name + ".A a slice of 16"] = median_time(repetitions, [&] { physics.A(volume); }) / slices;
    figures[name + ".A_adjoint a slice of 16"] =
        median_time(repetitions, [&] { physics.A_adjoint(sinograms); }) / slices;
  }
  std::cout << figures.dump(2) << '\n';
}
