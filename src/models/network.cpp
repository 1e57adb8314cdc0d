// SPDX-License-Identifier: BSD-3-Clause
// TorchScript and AOTInductor files, told apart by their endings.
#include "adjoin/models/network.hpp"

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

Network load_torchscript(const std::filesystem::path& path, at::Device device) {
  const auto module = std::make_shared<torch::jit::Module>(torch::jit::load(path.string(), device));
  module->eval();
  return [module](at::ArrayRef<at::Tensor> inputs) {
    const torch::jit::IValue output = module->forward(std::vector<torch::jit::IValue>(inputs.begin(), inputs.end()));
    return output.isTuple() ? output.toTupleRef().elements().at(0).toTensor() : output.toTensor();
  };
}

Network load_aot_inductor(const std::filesystem::path& path) {
  const auto loader = std::make_shared<torch::inductor::AOTIModelPackageLoader>(path.string());
  return [loader](at::ArrayRef<at::Tensor> inputs) { return loader->run(inputs.vec()).at(0); };
}

}  // namespace

Network load_network(const std::filesystem::path& path, at::Device device) {
  check(std::filesystem::is_regular_file(path), "load_network: cannot open ", path);
  const std::string extension = path.extension().string();
  check(extension == ".pt" || extension == ".pt2", "load_network: ", path, " must be a .pt or a .pt2 file");
  try {
    return extension == ".pt" ? load_torchscript(path, device) : load_aot_inductor(path);
  } catch (const c10::Error& error) {
    throw InvalidArgument(c10::str("load_network: ", path, ": ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw InvalidArgument(c10::str("load_network: ", path, ": ", error.what()));
  }
}

}  // namespace adjoin
