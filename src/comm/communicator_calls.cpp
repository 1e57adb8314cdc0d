// SPDX-License-Identifier: BSD-3-Clause
// What communicators do about calls: comparing them, refusing and leaving.
#include <ATen/ATen.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "adjoin/comm/communicator.hpp"
#include "adjoin/core/errors.hpp"
#include "comm/call_state.hpp"
#include "comm/deferred.hpp"
#include "comm/shared_memory/group.hpp"
#include "comm/texts.hpp"

namespace adjoin {

void Communicator::compare_calls_in(NodeGroup& group) {
  calls_ = std::make_unique<CallState>(rank(), size(), group);
  deferred_ = std::make_shared<Deferred>(*calls_);
}

void Communicator::compare_calls_by_announcements(NodeGroup* node) {
  const auto gather = [this](const std::string& text) {
    at::Tensor lengths = at::zeros({size()}, at::kLong);
    lengths[rank()] = static_cast<std::int64_t>(text.size());
    all_gather_v_impl(lengths, std::vector<std::int64_t>(static_cast<std::size_t>(size()), 1));
    const std::vector<std::int64_t> counts(lengths.const_data_ptr<std::int64_t>(),
                                           lengths.const_data_ptr<std::int64_t>() + lengths.numel());
    constexpr std::int64_t most = 1 << 20;
    if (std::ranges::any_of(counts, [](std::int64_t count) { return count < 0 || count > most; })) {
      throw CommunicationError("the ranks make unlike calls, and cannot tell each other which");
    }
    at::Tensor payload = texts_with_own(text, counts, rank());
    all_gather_v_impl(payload, counts);
    return texts_in(payload, counts);
  };
  calls_ = std::make_unique<CallState>(
      rank(), size(),
      CallState::Network{.start_max = [this](at::Tensor& values) { return announce_impl(values); },
                         .gather = gather,
                         .tell_that_this_rank_leaves = [this] { tell_that_this_rank_leaves(); },
                         .count = &counters_.announcements});
  if (node != nullptr) {
    node->describe_by([calls = calls_.get()] { return calls->entry(); }, false);
  }
}

void Communicator::meet() {
  if (calls_) {
    calls_->meet();
  }
}

std::int64_t Communicator::begun() const { return calls_ ? calls_->begun() : counters_.collectives; }

std::string Communicator::doing() const { return calls_ ? calls_->description() : "no call"; }

void Communicator::keep_to_this_thread() {
  if (calls_) {
    calls_->keep_to_this_thread();
  }
}

CallScope Communicator::enter(const Call& call) {
  if (calls_) {
    calls_->enter(call);
  }
  return CallScope(calls_.get());
}

void Communicator::refuse(const std::string& report) {
  if (calls_) {
    if (deferred_) {
      deferred_->make_all();
    }
    calls_->refuse("refuse", report);
  }
  throw CallDisagreement({{.call = "a call", .collective = {}, .refusal = report}});
}

void Communicator::leave(bool at_once) noexcept {
  if (deferred_) {
    deferred_->close(std::make_exception_ptr(CommunicationError("this rank has left before the collective was made")));
  }
  if (calls_) {
    calls_->leave(at_once);
  }
}

}  // namespace adjoin
