// SPDX-License-Identifier: BSD-3-Clause
// A program whose rank 1 leaves as the argument says, while the others wait for it: "return", "throw", "exit", "abort"
// or "context", the end of its context alone. It ends soon, and not with 0 (tests/programs/leaving.cmake).
#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "adjoin/distributed/context.hpp"

int main(int argc, char** argv) {
  const std::string way = argc > 1 ? argv[1] : "return";
  try {
    const adjoin::DistributedContext context;
    at::Tensor x = at::ones({100});
    context.communicator().all_reduce(x);
    if (context.rank() == 1) {
      if (way == "throw") {
        throw std::runtime_error("only here");
      }
      if (way == "exit") {
        std::exit(1);
      }
      if (way == "abort") {
        std::abort();
      }
      return way == "return" ? 1 : 0;
    }
    while (true) {
      context.communicator().all_reduce(x);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
