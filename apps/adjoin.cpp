// The command-line program of adjoin: `adjoin info`, `adjoin messages` and `adjoin demo`, alone or under mpirun.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
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

  adjoin::DemoOptions options;
  CLI::App* demo = app.add_subcommand("demo", "Three blurs of a picture: operators, norm, reconstructions");
  demo->add_option("--image", options.image, "PNG picture")->required()->check(CLI::ExistingFile);
  demo->add_option("--out", options.out, "Folder for the pictures")->capture_default_str();
  demo->add_option("--seed", options.seed, "Seed of the noise")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  try {
    adjoin::DistributedContext context;
    if (context.size() > 1 && std::getenv("OMP_NUM_THREADS") == nullptr) {
      at::set_num_threads(1);  // ranks share the cores
    }
    if (*info) {
      return adjoin::info(context, json);
    }
    return *messages ? adjoin::messages(context, json) : adjoin::demo(context, options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adjoin: %s\n", error.what());
    return 1;
  }
}
