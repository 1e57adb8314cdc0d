// SPDX-License-Identifier: BSD-3-Clause
// Distributed denoiser: a trained network works on tiles of a photograph, spread over the ranks; the result is that of
// the network on the whole.
//
//   mpirun -n 2 build/release/examples/distributed_denoiser
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "adjoin/core/psnr.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/distributed/distribute.hpp"
#include "adjoin/models/ffdnet.hpp"
#include "example.hpp"

namespace {

using namespace adjoin;
using namespace adjoin::example;

struct Options {
  std::filesystem::path image = ".cache/data/hubble_deep_field.png";
  std::filesystem::path weights = ".cache/models/ffdnet_color.safetensors";
  std::filesystem::path out = "out";
  double sigma = 25.0 / 255.0;
  bool small = false;
};

int run(const Options& options) {
  DistributedContext context;
  Promises promise(context);
  print(context, "distributed denoiser: " + context.description() + '\n');
  at::Tensor clean = read_png(options.image).to(context.device());
  if (options.small) {
    clean = clean.narrow(2, 0, 200).narrow(3, 0, 280).contiguous();
  }
  const at::Tensor noisy = clean + options.sigma * randn_like(clean, 1);  // the same on every rank

  // A tile contributes patch_size pixels and sees `overlap` more on every side. As the overlap is the reach of the
  // network, cutting changes nothing; and FFDNet pads images by itself, so tiles need no padding at the border.
  const FFDNet ffdnet(read_safetensors(options.weights), context.device());
  const DistributedProcessing tiled =
      distribute(ffdnet, context,
                 {.patch_size = {options.small ? 96 : 256}, .overlap = {ffdnet.radius()}, .pad_mode = PadMode::none});

  at::Tensor in_tiles;
  at::Tensor whole;
  const double time = seconds(context, [&] { in_tiles = tiled(noisy, options.sigma); });
  const double time_whole = seconds(context, [&] { whole = ffdnet(noisy, options.sigma); });
  const double difference = largest_difference(in_tiles, whole);

  print(context,
        '\n' +
            to_text({.header = {"", "PSNR", "time"},
                     .rows = {{"noisy", with("%.2f dB", psnr(noisy, clean)), ""},
                              {"denoised, whole", with("%.2f dB", psnr(whole, clean)), with("%.2f s", time_whole)},
                              {with("denoised, in %.0f tiles", static_cast<double>(tiled.num_patches())),
                               with("%.2f dB", psnr(in_tiles, clean)), with("%.2f s", time)}}}) +
            '\n');
  promise(difference < 1e-5, with("tiles and whole differ by at most 1e-5 (%.1e)", difference));
  promise(psnr(in_tiles, clean) > psnr(noisy, clean) + 8.0, "the noise is 8 dB less");
  if (context.rank() == 0) {
    std::filesystem::create_directories(options.out);
  }
  save(context, noisy, options.out / "denoiser_noisy.png");
  save(context, in_tiles, options.out / "denoiser_denoised.png");
  return promise.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A photograph denoised in tiles over the ranks, and whole");
  app.add_option("--image", options.image, "PNG picture, in colour")->capture_default_str();
  app.add_option("--weights", options.weights, "Weights of FFDNet")->capture_default_str();
  app.add_option("--sigma", options.sigma, "Standard deviation of the noise, for values in [0, 1]")
      ->capture_default_str();
  app.add_option("--out", options.out, "Folder for the pictures")->capture_default_str();
  app.add_flag("--small", options.small, "A detail of the picture");
  CLI11_PARSE(app, argc, argv);
  return guarded("distributed_denoiser", [&] { return run(options); });
}
