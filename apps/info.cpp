// SPDX-License-Identifier: BSD-3-Clause
// The lines of `adjoin info`: versions, ranks, devices, and the libraries in use.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "adjoin/operators/arithmetic.hpp"
#include "adjoin/operators/nufft/nonuniform_fourier.hpp"
#include "commands.hpp"

namespace adjoin {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

int info(const DistributedContext& context, bool json) {
  const nlohmann::ordered_json mine = {{"rank", context.rank()},
                                       {"host", host_name()},
                                       {"device", context.device().str()},
                                       {"threads", at::get_num_threads()},
                                       {"transforms", transform_library()},
                                       {"finufft", has_finufft()},
                                       {"vectors", vector_instructions()}};
  const auto ranks = context.communicator().all_gather_bytes(mine.dump());
  // By which what is measured once is chosen, and can be shown.
  (void)context.communicator().visible(std::int64_t{1} << 20, at::kByte);
  if (context.rank() != 0) {
    return 0;
  }
  nlohmann::ordered_json report = {{"adjoin", ADJOIN_VERSION},     {"torch", TORCH_VERSION},
                                   {"torch_cuda", at::hasCUDA()},  {"engine", context.communicator().description()},
                                   {"engines", {"single", "mpi"}}, {"ranks", nlohmann::ordered_json::array()}};
  for (const std::string& rank : ranks) {
    report["ranks"].push_back(nlohmann::ordered_json::parse(rank));
  }
  if (json) {
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  std::printf("adjoin   %s\ntorch    %s%s\nengines  single, mpi\nrunning  %s\n", ADJOIN_VERSION, TORCH_VERSION,
              at::hasCUDA() ? ", CUDA available" : ", CPU", context.communicator().description().c_str());
  for (const auto& rank : report["ranks"]) {
    std::printf("rank %-3d %s, %s, %d thread(s), transforms by %s, %s FINUFFT, %s vectors\n", rank["rank"].get<int>(),
                rank["host"].get<std::string>().c_str(), rank["device"].get<std::string>().c_str(),
                rank["threads"].get<int>(), rank["transforms"].get<std::string>().c_str(),
                rank["finufft"].get<bool>() ? "with" : "without", rank["vectors"].get<std::string>().c_str());
  }
  return 0;
}

}  // namespace adjoin
