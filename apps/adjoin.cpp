// SPDX-License-Identifier: BSD-3-Clause
// The command-line program of adjoin: `adjoin recon`, `adjoin info` and `adjoin messages`, alone or under mpirun.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "commands.hpp"

int main(int argc, char** argv) {
  CLI::App app("adjoin: distributed stacks of linear operators for imaging");
  app.require_subcommand(1);
  app.set_version_flag("--version", ADJOIN_VERSION);

  bool json = false;
  CLI::App* info = app.add_subcommand("info", "Versions, and the engine, host and device of each rank");
  info->add_flag("--json", json, "Print JSON");

  CLI::App* messages =
      app.add_subcommand("messages", "How many messages each method and each solver's iteration sends");
  messages->add_flag("--json", json, "Print JSON");

  adjoin::ReconOptions options;
  CLI::App* recon = app.add_subcommand(
      "recon",
      "An image from the k-space of an MRI scanner\n\n"
      "Reads ISMRMRD files (.h5, .hdf5, .mrd, .ismrmrd), on the grid or along their trajectory, with their noise,\n"
      "calibration lines, averages and slices; and BART's (NAME.cfl, NAME.hdr; the extension may be left out): on the\n"
      "grid (readout, phase 1, phase 2, coils), zero where nothing was measured, with --trajectory (1, samples, "
      "shots,\n"
      "coils), the trajectory (3, samples, shots) in cycles a field of view. Coils are made white by the noise that "
      "the\n"
      "file has. Under mpirun, ranks share the coils, and each reads its own.\n\n"
      "  adjoin recon scan.h5 -o image.nii\n"
      "  mpirun -n 4 adjoin recon scan.h5 --coils 8 --method tv -o image.nii --report report.html\n"
      "  adjoin recon kspace --trajectory t --maps maps -o image");
  recon->add_option("kspace", options.kspace, "k-space")->required();
  recon->add_option("-o,--out", options.out, "Where to write: .cfl, .npy (complex), .nii, .nii.gz or .png (magnitude)")
      ->required();
  recon->add_option("-t,--trajectory", options.trajectory, "Where the samples lie; on the grid if left out");
  recon->add_option("-m,--maps", options.maps, "Coil maps: espirit, from the data, or a file")->capture_default_str();
  recon
      ->add_option("--sets", options.sets,
                   "Sets of maps that ESPIRiT finds; 2 where the field of view folds (soft SENSE)")
      ->capture_default_str();
  recon
      ->add_option(
          "--method", options.method,
          "sense: least squares; tv: total variation; l1-wavelet: sparse in wavelets (db4); pnp: plug-and-play "
          "with a learned denoiser")
      ->capture_default_str();
  recon->add_option("--denoiser", options.denoiser, "Weights of a denoiser of grey images for pnp (.safetensors)");
  recon->add_option("--lambda", options.lambda,
                    "Weight of the prior, where the image's largest value is about 1 (1e-3 for sense, 2e-3 for tv and "
                    "l1-wavelet); of pnp the noise that the denoiser takes away (0.03)");
  recon->add_option("--iterations", options.iterations,
                    "Iterations (30 for sense, 100 for tv and l1-wavelet, 15 for pnp)");
  recon->add_option("--checkpoint", options.checkpoint,
                    "A file that is written on the way; a run that finds it goes on from there");
  recon->add_option("--size", options.size, "Pixels of the image, readout first (as far as the trajectory reaches)");
  recon->add_option("--calibration", options.calibration, "Samples of ESPIRiT's region along each axis")
      ->capture_default_str();
  recon
      ->add_option("--voxel-size", options.voxel_size,
                   "Millimetres between pixels, readout first, for .nii (the file's)")
      ->expected(3);
  recon->add_option("--coils", options.coils, "Virtual coils in place of those of the file (as many as it has)");
  recon->add_option("--slice", options.slice, "Of an ISMRMRD file, from 0 (all)");
  recon->add_option("--contrast", options.contrast, "Of an ISMRMRD file")->capture_default_str();
  recon->add_option("--phase", options.phase, "Of an ISMRMRD file")->capture_default_str();
  recon->add_option("--repetition", options.repetition, "Of an ISMRMRD file")->capture_default_str();
  recon->add_option("--set", options.set, "Of an ISMRMRD file")->capture_default_str();
  recon->add_option("--report", options.report, "An HTML file with pictures, settings and curves");
  recon->add_option("--json", options.json, "A file with settings and times");
  CLI11_PARSE(app, argc, argv);

  try {
    adjoin::DistributedContext context;
    if (*recon) {
      return adjoin::recon(context, options);
    }
    return *messages ? adjoin::messages(context, json) : adjoin::info(context, json);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adjoin: %s\n", error.what());
    return 1;
  }
}
