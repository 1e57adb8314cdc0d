// SPDX-License-Identifier: BSD-3-Clause
// Tomography of a real specimen: an electron microscope's tilt series, each of its 77 angles an operator of its own,
// spread over the ranks. The specimen is a needle of layered materials, and 28 degrees of the half circle are missing.
//
//   mpirun -n 2 build/release/examples/tomography
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "adjoin/core/vector_space.hpp"
#include "adjoin/io/hdf5.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "adjoin/optim/total_variation.hpp"
#include "example.hpp"

namespace {

using namespace adjoin;
using namespace adjoin::example;

struct Options {
  std::filesystem::path data = ".cache/data/HAADF_Aligned.hspy";
  std::filesystem::path out = "out";
  std::filesystem::path report;
  double lambda = 2.0;
  int iterations = 40;
  bool small = false;
};

// The tilt series, (angle, detector, slice), as sinograms of a volume: (1, 1, slice, angle, detector). Where there is
// no specimen it is left away. In units in which a ray through all of the specimen sums up to about its length.
at::Tensor read_sinograms(const Options& options) {
  const at::Tensor series = read_hdf5(options.data, "/Experiments/__unnamed__/data").to(at::kFloat);
  const at::Tensor specimen =
      options.small ? series.narrow(1, 80, 96).narrow(2, 112, 8) : series.narrow(1, 64, 128).narrow(2, 80, 128);
  return (specimen * (60.0 / series.max())).permute({2, 0, 1}).contiguous().unsqueeze(0).unsqueeze(0);
}

int run(const Options& options) {
  DistributedContext context;
  Promises promise(context);
  print(context, "tomography: " + context.description() + '\n');
  const at::Tensor sinograms = read_sinograms(options).to(context.device());
  const std::int64_t size = sinograms.size(-1);
  const at::Tensor angles = at::arange(-76.0, 77.0, 2.0, at::kDouble);

  // One operator, split into one for each angle, which the ranks share. Angle i is then measurement i.
  const Tomography whole(angles, {size, size}, {.detectors = size});
  const DistributedStackedLinearPhysics A = distribute(split(whole, angles.numel()), context);
  TensorList all;
  for (std::int64_t i = 0; i < angles.numel(); ++i) {
    all.push_back(sinograms.narrow(-2, i, 1).contiguous());
  }
  const ShardedTensorList y = A.shard(all);
  const DistributedDataFidelity f = distribute(L2(), A);

  // Three ways to the volume: (1, 1, slice, row, column), 128³ voxels.
  at::Tensor fbp;
  at::Tensor least_squares;
  OptimResult tv;
  const double time_fbp = seconds(context, [&] { fbp = whole.fbp(sinograms); });
  const double time_cg = seconds(context, [&] {
    // Stopped early: later iterations fit the noise.
    least_squares = A.A_dagger(y, {.solver = Solver::CG, .max_iter = 15, .tol = 0.0, .local_only = false});
  });
  const TotalVariation prior({.lower = 0.0});  // and positivity
  const double time_tv = seconds(context, [&] {
    tv = monotone_fista(data_term(f, y), prior, at::zeros_like(fbp),
                        {.max_iter = options.iterations, .tol = 0.0, .lambda = options.lambda});
  });

  // How well each explains the data.
  const double norm_y = norm(y);
  const auto residual = [&](const at::Tensor& x) { return std::sqrt(2.0 * f.fn(x, y).item<double>()) / norm_y; };
  Table table{.header = {"", "data residual", "time"}};
  const double residual_fbp = residual(fbp);
  const double residual_tv = residual(tv.x);
  table.rows = {
      {"filtered backprojection", with("%.2f %%", 100 * residual_fbp), with("%.2f s", time_fbp)},
      {"least squares, 15 CG iterations", with("%.2f %%", 100 * residual(least_squares)), with("%.1f s", time_cg)},
      {with("total variation, %.0f FISTA iterations", tv.iterations), with("%.2f %%", 100 * residual_tv),
       with("%.1f s", time_tv)}};
  print(context, '\n' + to_text(table) + '\n');

  const std::vector<double> objective = column(tv, &IterationRecord::objective);
  promise(std::ranges::is_sorted(objective, std::greater<>()), "the objective never rises");
  promise(objective.back() < 0.5 * objective.front(), "and falls");
  promise(residual_tv < residual_fbp, "total variation explains the data better than filtered backprojection");
  promise(tv.x.min().item<double>() >= 0.0, "without negative densities");

  // Cuts, all in one scale.
  const double top = at::quantile(tv.x.flatten(), 0.999).item<double>();
  const auto shown = [&](const at::Tensor& cut) { return (cut / top).clamp(0.0, 1.0).unsqueeze(0).unsqueeze(0); };
  const std::int64_t slices = tv.x.size(2);
  const auto slice = [&](const at::Tensor& volume, std::int64_t k) { return shown(volume[0][0][k]); };
  const auto cuts = [&](const at::Tensor& volume) {
    const at::Tensor v = volume[0][0];
    return side_by_side({shown(v[slices / 4]), shown(v.select(1, size / 2).t()), shown(v.select(2, size / 2).t())});
  };
  if (context.rank() == 0) {
    std::filesystem::create_directories(options.out);
    std::ofstream(options.out / "tomography.json") << to_json(tv.history) << '\n';
  }
  const at::Tensor compared =
      side_by_side({slice(fbp, slices / 4), slice(least_squares, slices / 4), slice(tv.x, slices / 4)});
  const auto enlarged = [](const at::Tensor& image) { return image.repeat_interleave(2, 2).repeat_interleave(2, 3); };
  save(context, enlarged(compared), options.out / "tomography_slices.png");
  save(context, enlarged(cuts(tv.x)), options.out / "tomography_cuts.png");
  Report report("Tomography of a real specimen: 77 angles as 77 operators");
  report
      .text(with("A needle of layered materials in an electron microscope (HAADF; data of NIST), tilted from -76 to 76 "
                 "degrees; every angle is an operator, over %.0f ranks.",
                 context.size()))
      .table(table)
      .pictures({{"The tilt series at 0 degrees", shown(all[38][0][0].select(1, 0).t() / 60.0)},
                 {"Sinogram of one slice: angle downwards", shown(sinograms[0][0][slices / 4] / 60.0)}})
      .pictures({{"A slice by filtered backprojection", slice(fbp, slices / 4)},
                 {"by least squares", slice(least_squares, slices / 4)},
                 {"by total variation with positivity", slice(tv.x, slices / 4)}})
      .pictures(
          {{"Three orthogonal cuts, total variation", cuts(tv.x)}, {"The same, filtered backprojection", cuts(fbp)}})
      .curves({{"monotone FISTA", objective}}, {.title = "Objective", .log_y = true});
  save(context, report, options.out, options.report);
  return promise.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Tomography of a real specimen, over ranks");
  app.add_option("--data", options.data, "The tilt series, HDF5")->capture_default_str();
  app.add_option("--lambda", options.lambda, "Weight of total variation")->capture_default_str();
  app.add_option("--iterations", options.iterations, "Of FISTA")->capture_default_str();
  app.add_option("--out", options.out, "Folder for pictures and numbers")->capture_default_str();
  app.add_option("--report", options.report, "HTML file to add the report to; else OUT/report.html is written anew");
  app.add_flag("--small", options.small, "A few slices");
  CLI11_PARSE(app, argc, argv);
  return guarded("tomography", [&] { return run(options); });
}
