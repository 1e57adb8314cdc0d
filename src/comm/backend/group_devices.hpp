// SPDX-License-Identifier: BSD-3-Clause
// Which backend of a process group takes a tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <optional>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <vector>

namespace adjoin {

/// The devices that a group has backends for. Host memory goes by way of an accelerator where there is no other.
class GroupDevices {
 public:
  /// Throws InvalidArgument when the group has no backends.
  explicit GroupDevices(c10::intrusive_ptr<c10d::ProcessGroup> group);

  /// Whether the group takes memory of `device`, by way of the accelerator if need be.
  bool reaches(at::Device device) const;
  /// `tensor`, or a copy where a backend takes it.
  at::Tensor on_backend(const at::Tensor& tensor) const;
  /// That which takes `tensor`, as on_backend gives it.
  c10::intrusive_ptr<c10d::Backend> backend_of(const at::Tensor& tensor) const;
  /// That which host memory goes to in the end.
  c10::intrusive_ptr<c10d::Backend> backend_of_host() const;

 private:
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::vector<at::DeviceType> accelerators_;
  /// The accelerator that takes host memory to the group, where this has no backend for the host.
  std::optional<at::Device> host_goes_by_;
};

}  // namespace adjoin
