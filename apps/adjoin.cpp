// The command-line program of adjoin: `adjoin info`, alone or under mpirun.
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

  CLI11_PARSE(app, argc, argv);

  try {
    const adjoin::DistributedContext context;
    return adjoin::info(context, json);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adjoin: %s\n", error.what());
    return 1;
  }
}
