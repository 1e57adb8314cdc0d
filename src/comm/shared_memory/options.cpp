// SPDX-License-Identifier: BSD-3-Clause
// Options for shared memory by name, and from the environment.
#include <array>
#include <cstdlib>
#include <span>
#include <utility>

#include "adjoin/comm/shared_memory.hpp"
#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

template <class Choice>
using Names = std::span<const std::pair<Choice, std::string_view>>;

constexpr std::array<std::pair<Sharing, std::string_view>, 4> sharings = {{{Sharing::automatic, "automatic"},
                                                                           {Sharing::in_place, "in_place"},
                                                                           {Sharing::in_pieces, "in_pieces"},
                                                                           {Sharing::off, "off"}}};
constexpr std::array<std::pair<Stores, std::string_view>, 3> all_stores = {
    {{Stores::automatic, "automatic"}, {Stores::cached, "cached"}, {Stores::streamed, "streamed"}}};

template <class Choice>
Choice from_string(const char* what, std::string_view name, Names<Choice> names) {
  std::string choices;
  for (const auto& [choice, its_name] : names) {
    if (name == its_name) {
      return choice;
    }
    choices += c10::str(choices.empty() ? "'" : ", '", its_name, "'");
  }
  throw InvalidArgument(c10::str(what, ": must be one of ", choices, ", got '", name, "'"));
}

template <class Choice>
std::string_view name_of(Choice choice, Names<Choice> names) {
  for (const auto& [one, name] : names) {
    if (one == choice) {
      return name;
    }
  }
  return "unknown";
}

/// The value of an environment variable that is set to something.
const char* environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

Sharing sharing_from_string(std::string_view name) { return from_string<Sharing>("shared_memory", name, sharings); }

std::string_view to_string(Sharing sharing) { return name_of<Sharing>(sharing, sharings); }

std::string_view to_string(Stores stores) { return name_of<Stores>(stores, all_stores); }

SharedMemoryOptions with_environment(SharedMemoryOptions options) {
  const char* const sharing = environment("ADJOIN_SHARED_MEMORY");
  if (sharing != nullptr && options.sharing == Sharing::automatic) {
    options.sharing = from_string<Sharing>("ADJOIN_SHARED_MEMORY", sharing, sharings);
  }
  const char* const stores = environment("ADJOIN_STORES");
  if (stores != nullptr && options.stores == Stores::automatic) {
    options.stores = from_string<Stores>("ADJOIN_STORES", stores, all_stores);
  }
  return options;
}

}  // namespace adjoin
