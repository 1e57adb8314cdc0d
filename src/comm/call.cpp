// SPDX-License-Identifier: BSD-3-Clause
// The message of an error for ranks that make different calls, rank by rank.
#include "adjoin/comm/call.hpp"

#include <c10/util/StringUtil.h>

#include <ios>
#include <sstream>
#include <tuple>
#include <utility>

#include "comm/call_state.hpp"
#include "comm/ranks_text.hpp"

namespace adjoin {

namespace {

using Entry = CallDisagreement::Entry;

/// What an entry's rank was about to do. `with_arguments`: others were about to do the same with other arguments.
std::string text_of(const Entry& entry, bool with_arguments) {
  if (entry.left) {
    return entry.call.empty() ? "has left" : c10::str("has left (", entry.call, ")");
  }
  if (entry.call.empty()) {
    return "in no call yet";
  }
  std::string text = entry.call;
  if (!entry.refusal.empty()) {
    return c10::str(text, ", in which it cannot take part: ", entry.refusal);
  }
  if (!entry.collective.empty()) {
    text += c10::str(" (", entry.collective, ")");
  }
  if (with_arguments) {
    std::ostringstream number;
    number << std::hex << entry.fingerprint;
    text += c10::str(", arguments of checksum ", number.str());
  }
  return text;
}

std::string message(const std::vector<Entry>& entries) {
  const auto key = [](const Entry& e) { return std::tie(e.call, e.collective, e.refusal, e.left); };
  bool arguments_differ = false;
  for (const Entry& one : entries) {
    for (const Entry& other : entries) {
      arguments_differ = arguments_differ || (key(one) == key(other) && one.fingerprint != other.fingerprint);
    }
  }
  std::string text = "the ranks make calls that do not belong together: ";
  std::vector<bool> told(entries.size(), false);
  for (std::size_t r = 0; r < entries.size(); ++r) {
    if (told[r]) {
      continue;
    }
    std::vector<int> alike;
    for (std::size_t other = r; other < entries.size(); ++other) {
      if (key(entries[other]) == key(entries[r]) && entries[other].fingerprint == entries[r].fingerprint) {
        told[other] = true;
        alike.push_back(static_cast<int>(other));
      }
    }
    text += c10::str(r == 0 ? "" : "; ", ranks_text(alike), ": ", text_of(entries[r], arguments_differ));
  }
  return text;
}

}  // namespace

CallDisagreement::CallDisagreement(std::vector<Entry> of_ranks)
    : Error(message(of_ranks)), entries(std::move(of_ranks)) {}

CallScope::~CallScope() {
  if (state_ != nullptr) {
    state_->exit();
  }
}

void CallScope::commit() {
  if (state_ != nullptr) {
    state_->commit();
  }
}

}  // namespace adjoin
