// The command-line program of adjoin: `adjoin info` and `adjoin messages`, alone or under mpirun.
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
  CLI11_PARSE(app, argc, argv);

  try {
    adjoin::DistributedContext context;
    return *messages ? adjoin::messages(context, json) : adjoin::info(context, json);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adjoin: %s\n", error.what());
    return 1;
  }
}
