// SPDX-License-Identifier: BSD-3-Clause
// Ways in which the ranks of a context communicate, as parameters of tests.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "adjoin/distributed/context.hpp"

namespace adjoin::test {

struct Way {
  std::string name;
  ContextOptions options;
};

inline void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

inline std::string name_of(const testing::TestParamInfo<Way>& test) { return test.param.name; }

// By the memory of a node as it is chosen, by messages alone, and on several nodes.
inline std::vector<Way> ways() {
  return {{"automatic", {}},
          {"network", {.mpi = {.shared_memory = {.sharing = Sharing::off}}}},
          {"two_ranks_a_node", {.mpi = {.ranks_per_node = 2}}}};
}

}  // namespace adjoin::test
