// SPDX-License-Identifier: BSD-3-Clause
// Plug-and-play: a photograph seen through three blurs with noise, reconstructed with a trained denoiser. The blurs are
// spread over the ranks, and so are the tiles that the denoiser works on.
//
//   mpirun -n 2 build/release/examples/plug_and_play
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/psnr.hpp"
#include "adjoin/models/ffdnet.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "example.hpp"
#include "three_views.hpp"

namespace {

using namespace adjoin;
using namespace adjoin::example;

struct Options {
  std::filesystem::path image = ".cache/data/kodim23.png";
  std::filesystem::path weights = ".cache/models/ffdnet_color.safetensors";
  std::filesystem::path out = "out";
  std::filesystem::path report;
  bool small = false;
  bool alone = true;
};

// One fidelity a view: the noisier, the less it is to be believed.
std::vector<DataFidelityPtr> make_fidelities() {
  return {std::make_shared<L2>(1.0), std::make_shared<L2>(5.0 / 3.0), std::make_shared<L2>(4.0 / 3.0)};
}

// The two algorithms. They know no ranks: what a data term or a denoiser does, it does on all of them.
OptimResult descend(const DataTerm& f, const Denoiser& denoiser, const at::Tensor& x0, const at::Tensor& truth) {
  return proximal_gradient(f, PnP(denoiser, 0.02), x0, {.max_iter = 20, .tol = 0.0, .step = 1.0, .truth = truth});
}
// ADMM solves a least-squares problem over the views in each iteration, for which all must have one weight.
DataTermOptions inner_solver() { return {.prox = {.max_iter = 10, .tol = 1e-5}}; }
OptimResult alternate(const DataTerm& f, const Denoiser& denoiser, const at::Tensor& x0, const at::Tensor& truth) {
  return admm(f, PnP(denoiser, 0.06), x0, 6.0, {.max_iter = 20, .tol = 0.0, .truth = truth});
}

int run(const Options& options) {
  DistributedContext context;
  Promises promise(context);
  print(context, "plug-and-play: " + context.description() + '\n');
  at::Tensor truth = read_png(options.image).to(context.device());
  if (options.small) {
    truth = truth.narrow(2, 60, 96).narrow(3, 130, 128).contiguous();
  }

  // The views, over the ranks. Measurements stay where they are made.
  const DistributedStackedLinearPhysics A = distribute(make_views(), context);
  const ShardedTensorList y = A.forward_sharded(truth);
  const DistributedDataFidelity f = distribute(L2(), A);
  const DistributedDataFidelity f_weighted = distribute(make_fidelities(), A);

  // The denoiser, in tiles over the ranks, as a denoiser again.
  const FFDNet ffdnet(read_safetensors(options.weights), context.device());
  const DistributedProcessing tiled =
      distribute(ffdnet, context,
                 {.patch_size = {options.small ? 64 : 256}, .overlap = {ffdnet.radius()}, .pad_mode = PadMode::none});

  const at::Tensor x0 = A.A_adjoint(y) / 3.0;
  OptimResult pgd;
  OptimResult admm;
  const double time_pgd =
      seconds(context, [&] { pgd = descend(data_term(f_weighted, y), std::cref(tiled), x0, truth); });
  const double time_admm =
      seconds(context, [&] { admm = alternate(data_term(f, y, inner_solver()), std::cref(tiled), x0, truth); });

  // The same in one process, on the whole image, by the first rank and by the last.
  const TensorList views = A.gather(y);
  double difference = 0.0;
  if (options.alone) {
    const StackedLinearPhysics single(make_views());
    if (context.rank() == 0) {
      const StackedDataFidelity alone(single, make_fidelities());
      difference = largest_difference(pgd.x, descend(data_term(alone, views), ffdnet, x0, truth).x);
    }
    if (context.rank() == context.size() - 1) {
      const StackedDataFidelity alone(single, std::make_shared<L2>());
      difference =
          std::max(difference,
                   largest_difference(admm.x, alternate(data_term(alone, views, inner_solver()), ffdnet, x0, truth).x));
    }
    context.communicator().all_reduce(std::span(&difference, 1), ReduceOp::max);
  }

  Table table{.header = {"", "PSNR", "20 iterations"}};
  const auto row = [&](const std::string& name, const at::Tensor& image, const std::string& time) {
    table.rows.push_back({name, with("%.2f dB", psnr(image, truth)), time});
  };
  for (std::size_t i = 0; i < views.size(); ++i) {
    row(with("view %.0f", static_cast<double>(i + 1)), views[i], "");
  }
  row("start", x0, "");
  row("plug-and-play PGD", pgd.x, with("%.1f s", time_pgd));
  row("plug-and-play ADMM", admm.x, with("%.1f s", time_admm));
  print(context, '\n' + to_text(table) + '\n');

  promise(psnr(pgd.x, truth) >= 34.0, "PGD reaches 34 dB");
  promise(psnr(admm.x, truth) >= 35.5, "ADMM reaches 35.5 dB");
  if (options.alone) {
    promise(difference < 1e-4, with("distributed equals single to 1e-4 (%.1e)", difference));
  }

  if (context.rank() == 0) {
    std::filesystem::create_directories(options.out);
    std::ofstream(options.out / "plug_and_play.json")
        << "{\"pgd\": " << to_json(pgd.history) << ",\n \"admm\": " << to_json(admm.history) << "}\n";
  }
  save(context, admm.x, options.out / "plug_and_play.png");
  save(context, views[0], options.out / "plug_and_play_view.png");
  const auto detail = [](const at::Tensor& image) {
    const std::int64_t height = std::min<std::int64_t>(144, image.size(2));
    const std::int64_t width = std::min<std::int64_t>(168, image.size(3));
    return image.narrow(2, (image.size(2) - height) * 2 / 5, height).narrow(3, (image.size(3) - width) * 3 / 5, width);
  };
  const at::Tensor detail_views = side_by_side({detail(views[0]), detail(views[1]), detail(views[2])});
  const at::Tensor detail_results = side_by_side({detail(pgd.x), detail(admm.x), detail(truth)});
  save(context, above({detail_views, detail_results}), options.out / "plug_and_play_details.png");
  Report report("Plug-and-play: three blurred, noisy views and a trained denoiser");
  report
      .text(with(
          "A photograph seen through three blurs with noise, over %.0f ranks: each owns some of the views, and of "
          "the tiles on which FFDNet works. An iteration of PGD is one message for the views and one for the tiles.",
          context.size()))
      .table(table)
      .pictures({{"The best view", views[0]}, {"PGD", pgd.x}, {"ADMM", admm.x}, {"Truth", truth}})
      .pictures({{"Details: the three views", detail_views}, {"By PGD, by ADMM, and the truth", detail_results}})
      .curves({{"PGD", column(pgd, &IterationRecord::psnr)}, {"ADMM", column(admm, &IterationRecord::psnr)}},
              {.title = "PSNR", .y_label = "dB"});
  if (options.alone) {
    report.text(with("Largest difference from the same algorithms in one process: %.1e.", difference));
  }
  save(context, report, options.out, options.report);
  return promise.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Plug-and-play reconstruction of a photograph, over ranks");
  app.add_option("--image", options.image, "PNG picture, in colour")->capture_default_str();
  app.add_option("--weights", options.weights, "Weights of FFDNet")->capture_default_str();
  app.add_option("--out", options.out, "Folder for pictures and numbers")->capture_default_str();
  app.add_option("--report", options.report, "HTML file to add the report to; else OUT/report.html is written anew");
  app.add_flag("--small", options.small, "A detail of the picture");
  app.add_flag("!--no-single", options.alone, "Leave out the comparison with one process");
  CLI11_PARSE(app, argc, argv);
  return guarded("plug_and_play", [&] { return run(options); });
}
