// SPDX-License-Identifier: BSD-3-Clause
// The choice of a backend by the kind of a device, and the detour over an accelerator where host memory has none.
#include "comm/backend/group_devices.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

GroupDevices::GroupDevices(c10::intrusive_ptr<c10d::ProcessGroup> group) : group_(std::move(group)) {
  check(group_->hasBackends(), "make_process_group_communicator: group has no backends; was it destroyed?");
  bool has_host = false;
  for (const at::Device device : group_->getDeviceTypes()) {
    if (device.is_cpu()) {
      has_host = true;
    } else if (group_->getBackend(device.type())->getBackendName() != "gloo") {
      accelerators_.push_back(device.type());  // Gloo takes tensors of an accelerator in some calls only
    }
  }
  if (!has_host) {
    const std::optional<at::Device> bound = group_->getBoundDeviceId();
    host_goes_by_ = bound ? *bound : c10::impl::VirtualGuardImpl(accelerators_.front()).getDevice();
  }
}

bool GroupDevices::reaches(at::Device device) const {
  return device.is_cpu() || std::ranges::find(accelerators_, device.type()) != accelerators_.end();
}

at::Tensor GroupDevices::on_backend(const at::Tensor& tensor) const {
  return host_goes_by_ && tensor.is_cpu() ? tensor.to(*host_goes_by_) : tensor;
}

c10::intrusive_ptr<c10d::Backend> GroupDevices::backend_of(const at::Tensor& tensor) const {
  return group_->getBackend(tensor.device().type());
}

c10::intrusive_ptr<c10d::Backend> GroupDevices::backend_of_host() const {
  return group_->getBackend(host_goes_by_ ? host_goes_by_->type() : at::kCPU);
}

}  // namespace adjoin
