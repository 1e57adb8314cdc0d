// SPDX-License-Identifier: BSD-3-Clause
// What is known of a process group, as far as the version of torch tells.
#pragma once

#include <c10/util/Exception.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

namespace adjoin {

/// The timeout of a group's collectives, which torch tells since 2.8; that of torch's default where it does not.
template <class Backend>
std::chrono::milliseconds timeout_of(Backend& backend) {
  constexpr auto usual = std::chrono::minutes(10);
  if constexpr (requires { backend.getBackendOptions(); }) {
    try {
      const auto options = backend.getBackendOptions();
      return options ? options->timeout : usual;
    } catch (const c10::Error&) {  // a backend without options
      return usual;
    }
  }
  return usual;
}

/// Where the ranks of a group met; null where torch does not tell.
template <class Group>
c10::intrusive_ptr<c10d::Store> store_of(const Group& group) {
  if constexpr (requires { group.getStore(); }) {
    return group.getStore();
  }
  return {};
}

/// A name for the next communicator over the group, the same on all of its ranks.
std::string next_name(const std::string& group_name);

/// A name that processes on one node have in common.
std::string node_name();

}  // namespace adjoin
