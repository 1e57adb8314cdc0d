// SPDX-License-Identifier: BSD-3-Clause
// Names that all ranks derive alike: of communicators over one group, and of the node.
#include "comm/backend/group_facts.hpp"

#include <c10/util/StringUtil.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <mutex>

namespace adjoin {

std::string next_name(const std::string& group_name) {
  static std::mutex mutex;
  static std::map<std::string, int> made;
  const std::lock_guard lock(mutex);
  return c10::str("adjoin/", group_name, '/', made[group_name]++);
}

std::string node_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return c10::str(host.data(), ' ', boot);
}

}  // namespace adjoin
