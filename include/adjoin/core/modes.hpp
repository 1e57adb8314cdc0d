// SPDX-License-Identifier: BSD-3-Clause
// The modes of torch that a computation must not depend on.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

/// For its lifetime, values can be computed that outlive the call: outside inference mode, whose tensors autograd could
/// not save later, and without recording gradients or casting to lower precision.
class LastingValues {
 public:
  LastingValues() = default;
  LastingValues(const LastingValues&) = delete;
  LastingValues& operator=(const LastingValues&) = delete;

 private:
  c10::InferenceMode outside_inference_{false};
  c10::NoGradGuard without_gradients_;  // after inference mode, whose end would turn gradients on
  c10::impl::ExcludeDispatchKeyGuard without_autocast_{c10::autocast_dispatch_keyset};
};

/// What make() returns, as LastingValues says.
template <class Make>
auto lasting(const Make& make) -> decltype(make()) {
  const LastingValues modes;
  return make();
}

/// Whether torch.autocast is on for any kind of device.
inline bool autocasts() {
  return !c10::impl::tls_local_dispatch_key_set().excluded_.has_all(c10::autocast_dispatch_keyset);
}

/// What autocast has made half precision becomes single.
at::Tensor at_least_single(const at::Tensor& tensor);
TensorList at_least_single(const TensorList& tensors);

/// Calls f(arguments…), tensors or lists of them, outside autocast; at least in single precision where that was on: as
/// torch's custom_fwd(cast_inputs = float32) does.
template <class F, class... Arguments>
auto without_autocast(const F& f, const Arguments&... arguments) -> decltype(f(arguments...)) {
  if (!autocasts()) [[likely]] {
    return f(arguments...);
  }
  const c10::impl::ExcludeDispatchKeyGuard off(c10::autocast_dispatch_keyset);
  return f(at_least_single(arguments)...);
}

}  // namespace adjoin
