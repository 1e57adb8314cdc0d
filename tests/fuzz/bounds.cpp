// SPDX-License-Identifier: BSD-3-Clause
// The bounds that target.cpp sets, against loaders that break them: a file's text says in which way.
#include <limits>
#include <stdexcept>

#include "target.hpp"

namespace adjoin::fuzz {

std::vector<std::string> seeds() { return {"nothing"}; }

void load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string what{std::istreambuf_iterator<char>(file), {}};
  volatile int number = std::numeric_limits<int>::max();
  if (what == "memory") {
    const std::string taken(std::size_t{65} << 20, 'x');
    number = taken[taken.size() / 2];
  } else if (what == "time") {
    for (;;) {
      number = 0;
    }
  } else if (what == "exception") {
    throw std::runtime_error("not one of adjoin's own");
  } else if (what == "heap") {
    const std::vector<char> taken(what.size());
    number = *(taken.data() + number % 16 + what.size());
  } else if (what == "undefined") {
    number = number + 1;
  }
}

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
