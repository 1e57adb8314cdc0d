// SPDX-License-Identifier: BSD-3-Clause
// Tensors that a backward pass needs.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <vector>

namespace adjoin {

/// Keeps tensors, defined or not, for a backward pass. unpack throws, as torch does, where one was changed in place
/// since.
class SavedTensors {
 public:
  template <class Tensors>
  explicit SavedTensors(const Tensors& tensors) {
    for (const at::Tensor& tensor : tensors) {
      saved_.emplace_back(tensor, false);
    }
  }
  std::vector<at::Tensor> unpack() const {
    std::vector<at::Tensor> tensors;
    tensors.reserve(saved_.size());
    for (const torch::autograd::SavedVariable& one : saved_) {
      tensors.push_back(one.unpack());
    }
    return tensors;
  }

 private:
  std::vector<torch::autograd::SavedVariable> saved_;
};

}  // namespace adjoin
