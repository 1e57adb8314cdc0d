// SPDX-License-Identifier: BSD-3-Clause
// Networks that were saved from Python, and files that are none.
#include "adjoin/models/network.hpp"

#include <fstream>

#include "io/temporary_folder.hpp"
#include "models/support.hpp"

namespace adjoin::test {
namespace {

TEST(Network, FilesSavedFromPythonGiveTheirFirstOutput) {
  const Safetensors expected = read_safetensors(reference("network.safetensors"));
  for (const char* file : {"network.pt", "network.pt2"}) {
    const Network network = load_network(reference(file));
    for (int call = 0; call < 2; ++call) {
      expect_equal(network({expected.at("x"), expected.at("sigma")}), expected.at("output"));
    }
  }
}

TEST(Network, BadFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(refusal([&] { load_network(folder / "none.pt"); }), "none.pt"));
  for (const char* name : {"bad.pt", "bad.pt2", "bad.onnx"}) {
    std::ofstream(folder / name) << "not a network";
    EXPECT_TRUE(contains(refusal([&] { load_network(folder / name); }), name));
  }
}

}  // namespace
}  // namespace adjoin::test
