// SPDX-License-Identifier: BSD-3-Clause
// Parallel MRI: eight coils of a scanner, spread over the ranks; a quarter of the lines of k-space is measured. The
// image by SENSE (least squares) and by plug-and-play. With BART on the path, its coil maps and k-space are used, and
// its reconstructions are shown beside ours.
//
//   mpirun -n 2 build/release/examples/parallel_mri
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/psnr.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/models/dncnn.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/split.hpp"
#include "adjoin/optim/algorithms.hpp"
#include "adjoin/optim/distribute.hpp"
#include "bart.hpp"
#include "example.hpp"

namespace {

using namespace adjoin;
using namespace adjoin::example;

constexpr std::int64_t coils = 8;

struct Options {
  std::filesystem::path weights = ".cache/models/dncnn17L.safetensors";
  std::filesystem::path out = "out";
  std::filesystem::path report;
  std::int64_t size = 256;
  int iterations = 10;  // of plug-and-play
  bool use_bart = true;
};

// What the scanner would give: coil maps (coils, H, W), and all of k-space, complex (1, coils, H, W).
struct Scan {
  at::Tensor maps;
  at::Tensor kspace;
};

// The phantom of L. A. Shepp and B. F. Logan, IEEE Trans. Nucl. Sci. 21, 1974, in the contrast of P. A. Toft, 1996, on
// points 1/4 pixel apart, averaged.
at::Tensor shepp_logan(std::int64_t size) {
  struct Ellipse {
    double value, a, b, x, y, degrees;
  };
  constexpr std::array<Ellipse, 10> ellipses = {{{1.0, .69, .92, 0.0, 0.0, 0.0},
                                                 {-.8, .6624, .8740, 0.0, -.0184, 0.0},
                                                 {-.2, .11, .31, .22, 0.0, -18.0},
                                                 {-.2, .16, .41, -.22, 0.0, 18.0},
                                                 {.1, .21, .25, 0.0, .35, 0.0},
                                                 {.1, .046, .046, 0.0, .1, 0.0},
                                                 {.1, .046, .046, 0.0, -.1, 0.0},
                                                 {.1, .046, .023, -.08, -.605, 0.0},
                                                 {.1, .023, .023, 0.0, -.606, 0.0},
                                                 {.1, .023, .046, .06, -.605, 0.0}}};
  const at::Tensor points = (at::arange(4 * size, at::kDouble) + 0.5) * (2.0 / static_cast<double>(4 * size)) - 1.0;
  const at::Tensor x = points.view({1, -1});
  const at::Tensor y = -points.view({-1, 1});  // rows run downwards
  at::Tensor image = at::zeros({4 * size, 4 * size}, at::kDouble);
  for (const Ellipse& e : ellipses) {
    const double c = std::cos(e.degrees * std::numbers::pi / 180.0);
    const double s = std::sin(e.degrees * std::numbers::pi / 180.0);
    const at::Tensor u = ((x - e.x) * c + (y - e.y) * s) / e.a;
    const at::Tensor v = ((y - e.y) * c - (x - e.x) * s) / e.b;
    image += e.value * (u.square() + v.square() <= 1.0).to(at::kDouble);
  }
  return at::avg_pool2d(image.view({1, 1, 4 * size, 4 * size}), {4, 4}).to(at::kFloat);
}

// Coils around the head: each sees most what is near it, and turns the phase.
at::Tensor coil_maps(std::int64_t size) {
  const at::Tensor points = at::linspace(-1.0, 1.0, size, at::kDouble);
  std::vector<at::Tensor> maps;
  for (std::int64_t k = 0; k < coils; ++k) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(coils);
    const at::Tensor dx = points.view({1, -1}) - 1.2 * std::cos(angle);
    const at::Tensor dy = points.view({-1, 1}) - 1.2 * std::sin(angle);
    maps.push_back(at::polar(at::exp(-0.7 * (dx.square() + dy.square())), at::atan2(dy, dx)));
  }
  return at::stack(maps).to(at::kComplexFloat);
}

Scan scan_of_our_own(std::int64_t size) {
  const at::Tensor maps = coil_maps(size);
  return {maps, MultiCoilMRI({}, maps).A(at::complex(shepp_logan(size), at::zeros({1, 1, size, size})))};
}

// The k-space of BART's phantom is that of the ellipses themselves, not of their pixels. Files go to `folder`.
Scan scan_of_bart(std::int64_t size, const std::filesystem::path& folder) {
  const std::string x = " -x " + std::to_string(size) + " ";
  const std::string s = std::to_string(coils) + " ";
  const bool made = bart("phantom" + x + "-S " + s + (folder / "maps").string()) &&
                    bart("phantom" + x + "-k -s " + s + (folder / "kspace").string());
  check(made, "bart: phantom failed");
  // (coil, x, y): BART's phantom lies on its side.
  const auto upright = [&](const char* name) { return read_reversed(folder / name).select(1, 0).transpose(1, 2); };
  return {upright("maps"), upright("kspace").unsqueeze(0)};
}

// Real and imaginary part of a complex image, as channels: (1, 1, H, W) gives (1, 2, H, W).
at::Tensor as_channels(const at::Tensor& x) {
  return at::view_as_real(x.squeeze(1)).permute({0, 3, 1, 2}).contiguous();
}

int run(const Options& options) {
  DistributedContext context;
  Promises promise(context);
  const std::int64_t size = options.size;
  const std::filesystem::path folder = options.out / "bart";
  // Rank 0 does what concerns files and other programs; the others get what it found.
  const bool with_bart = options.use_bart && context.communicator().broadcast_bytes(
                                                 context.rank() == 0 && bart("version") ? "yes" : "no", 0) == "yes";
  Scan scan{at::empty({coils, size, size}, at::kComplexFloat), at::empty({1, coils, size, size}, at::kComplexFloat)};
  if (context.rank() == 0) {
    std::filesystem::create_directories(folder);
    scan = with_bart ? scan_of_bart(size, folder) : scan_of_our_own(size);
    scan.maps = (scan.maps / scan.maps.abs().max()).contiguous();
    scan.kspace = scan.kspace.contiguous();
  }
  context.communicator().broadcast(scan.maps, 0);
  context.communicator().broadcast(scan.kspace, 0);
  print(context, "parallel MRI: " + context.description() + (with_bart ? ", data by BART\n" : ", data of our own\n"));

  // The image that all of k-space gives is what we are after; in units in which its largest value is 1.
  const at::Tensor combined = MultiCoilMRI({}, scan.maps).A_dagger(scan.kspace, {.max_iter = 30});
  const at::Tensor y_full = scan.kspace / combined.abs().max();
  const at::Tensor truth = as_channels(combined / combined.abs().max()).to(context.device());

  // Every fourth line, and the middle ones; with noise.
  at::Tensor mask = at::zeros({size, 1});
  mask.slice(0, 0, size, 4).fill_(1.0);
  mask.narrow(0, size / 2 - size / 16, size / 8).fill_(1.0);
  const double noise = 0.02 * scan.maps.abs().mean().item<double>();
  const at::Tensor y_complex = (y_full + noise * randn_like(y_full, 1)) * mask;
  const at::Tensor measured =
      at::view_as_real(y_complex).permute({0, 4, 1, 2, 3}).contiguous().to(context.device());  // (1, 2, coils, H, W)

  // The scanner, split into its coils, which the ranks share.
  const MultiCoilMRI whole(mask.expand({size, size}).contiguous(), scan.maps);
  const DistributedStackedLinearPhysics A = distribute(split(whole, coils), context);
  TensorList all;
  for (std::int64_t k = 0; k < coils; ++k) {
    all.push_back(measured.narrow(2, k, 1).contiguous());
  }
  const ShardedTensorList y = A.shard(all);

  // Zero filling: the coils combined as if what was not measured were zero.
  const at::Tensor rss = scan.maps.abs().square().sum(0).to(context.device());
  const at::Tensor zero_filled = A.A_adjoint(y) / rss;
  // SENSE: argmin ‖A x − y‖² + λ ‖x‖², by conjugate gradients.
  constexpr double lambda = 1e-3;
  at::Tensor sense;
  const double time_sense = seconds(
      context, [&] { sense = A.prox_l2(at::zeros_like(truth), y, 1.0 / lambda, {.max_iter = 50, .tol = 1e-6}); });
  // Plug-and-play with a denoiser of grey images for the real and for the imaginary part, in tiles over the ranks.
  const DnCNN dncnn(read_safetensors(options.weights), context.device());
  const DistributedProcessing tiled = distribute(
      dncnn, context, {.patch_size = {size, size / 2}, .overlap = {dncnn.radius()}, .pad_mode = PadMode::circular});
  const DistributedDataFidelity f = distribute(L2(), A);
  OptimResult pnp;
  const double time_pnp = seconds(context, [&] {
    pnp = admm(data_term(f, y, {.prox = {.max_iter = 15, .tol = 1e-5}}), PnP(std::cref(tiled), 0.03), sense, 10.0,
               {.max_iter = options.iterations, .tol = 0.0, .truth = truth});
  });

  Table table{.header = {"", "PSNR", "time"}};
  std::vector<Picture> pictures;
  const auto add = [&](const std::string& name, const at::Tensor& image, const std::string& time) {
    table.rows.push_back({name, with("%.2f dB", psnr(image, truth)), time});
    pictures.push_back({name, image.square().sum(1, true).sqrt()});
  };
  add("zero filling", zero_filled, "");
  add("SENSE", sense, with("%.2f s", time_sense));
  add("plug-and-play ADMM", pnp.x, with("%.1f s", time_pnp));

  // What BART makes of the same measurements, on rank 0.
  double apart = 0.0;
  if (with_bart && context.rank() == 0) {
    write_reversed(folder / "measured", y_complex[0].unsqueeze(1));
    write_reversed(folder / "maps", scan.maps.unsqueeze(1));
    const std::string files = (folder / "measured").string() + " " + (folder / "maps").string() + " ";
    const auto pics = [&](const std::string& name, const std::string& arguments) {
      const std::string result = (folder / name).string();
      check(bart("pics -w 1 " + arguments + files + result), "bart: pics ", arguments, "failed");
      return as_channels(read_reversed(result)).to(context.device());
    };
    const at::Tensor l2 = pics("l2", "-l2 -r 0.001 -i 50 ");
    apart = adjoin::norm(l2 - sense) / adjoin::norm(sense);
    add("BART pics, l2", l2, "");
    add("BART pics, wavelets", pics("wavelets", "-e -R W:3:0:0.002 -i 100 "), "");
  }
  print(context, '\n' + to_text(table) + '\n');

  const StackedLinearPhysics single(split(whole, coils));
  const at::Tensor alone = single.prox_l2(at::zeros_like(truth), all, 1.0 / lambda, {.max_iter = 50, .tol = 1e-6});
  const double difference = adjoin::norm(sense - alone) / adjoin::norm(alone);
  promise(difference < 1e-4, with("distributed equals single to 1e-4 (%.1e)", difference));
  promise(psnr(sense, truth) > psnr(zero_filled, truth) + 2.0, "SENSE is 2 dB better than zero filling");
  promise(psnr(pnp.x, truth) > psnr(sense, truth) + 1.0, "and plug-and-play 1 dB better than SENSE");
  if (with_bart) {
    context.communicator().all_reduce(std::span(&apart, 1), ReduceOp::max);
    promise(apart < 0.02, with("BART's SENSE is ours (they differ by %.1e)", apart));
  }

  pictures.push_back({"all of k-space", truth.square().sum(1, true).sqrt()});
  std::vector<at::Tensor> row;
  row.reserve(pictures.size());
  for (const Picture& picture : pictures) {
    row.push_back(picture.image);
  }
  save(context, side_by_side(row), options.out / "parallel_mri.png");
  Report report("Parallel MRI: eight coils as eight operators");
  report.text("A quarter of the lines of k-space, and the middle ones. The coils are spread over the ranks.")
      .table(table)
      .pictures(pictures)
      .curves({{"plug-and-play", column(pnp, &IterationRecord::psnr)}}, {.title = "PSNR", .y_label = "dB"});
  save(context, report, options.out, options.report);
  return promise.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool small = false;
  CLI::App app("Parallel MRI over ranks");
  app.add_option("--weights", options.weights, "Weights of DnCNN")->capture_default_str();
  app.add_option("--out", options.out, "Folder for pictures and numbers")->capture_default_str();
  app.add_option("--report", options.report, "HTML file to add the report to; else OUT/report.html is written anew");
  app.add_flag("!--no-bart", options.use_bart, "Do without BART even where it is installed");
  app.add_flag("--small", small, "128 x 128 pixels in place of 256 x 256, and fewer iterations");
  CLI11_PARSE(app, argc, argv);
  if (small) {
    options.size = 128;
    options.iterations = 4;
  }
  return guarded("parallel_mri", [&] { return run(options); });
}
