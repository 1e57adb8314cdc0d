// SPDX-License-Identifier: BSD-3-Clause
// The call that a rank is in, and how the ranks find out whether all of them are in the same one.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "adjoin/comm/call.hpp"
#include "adjoin/comm/pending.hpp"
#include "comm/collective_spec.hpp"

namespace adjoin {

class NodeGroup;

/// Ranks that share memory compare the word of a call with every step that they make together there. Elsewhere an
/// announcement goes ahead of a call's first collective, and again after each commit: a reduction of a few bytes,
/// always of one shape, so that any two calls meet there, and a rank that has failed meets the ranks that go on.
class CallState {
 public:
  /// What announcements need of an engine.
  struct Network {
    /// Starts the maximum over all ranks of a few integers, in place.
    std::function<Pending(at::Tensor&)> start_max;
    /// The texts of all ranks.
    std::function<std::vector<std::string>(const std::string&)> gather;
    /// Tells ranks that wait elsewhere.
    std::function<void()> tell_that_this_rank_leaves;
    /// Counts announcements.
    std::int64_t* count;
  };

  /// All ranks are in `group`, which is there until leave().
  CallState(int rank, int size, NodeGroup& group);
  CallState(int rank, int size, Network network);
  CallState(const CallState&) = delete;
  CallState& operator=(const CallState&) = delete;

  void enter(const Call& call);
  void exit() noexcept;
  void commit();

  /// A collective that is begun.
  struct Begun {
    std::uint64_t word = 0;
    Call call;
    CollectiveSpec collective;
  };
  /// What `collective` is to be begun with, later, whatever call this rank is in then.
  Begun later(const CollectiveSpec& collective) const;

  /// A collective begins or ends. Throws CallDisagreement when unlike calls are found here; where the ranks share
  /// memory, the first step of the collective finds them. `surely`: compares in the midst of a call, too.
  void begin(const CollectiveSpec& collective, bool surely = false);
  void begin(const Begun& begun);
  void end() noexcept;
  /// A step for a collective that makes none itself.
  void meet();

  /// In place of a collective, of `method` where no call has been entered: this rank cannot make it.
  [[noreturn]] void refuse(std::string_view method, const std::string& report);
  /// Whether the other ranks would hear of it.
  bool can_refuse() const { return group_ != nullptr || !announced_; }
  void leave(bool at_once) noexcept;
  /// How many collectives have been begun or refused.
  std::int64_t begun() const { return begun_; }

  /// What this rank is doing.
  CallDisagreement::Entry entry() const;
  /// "A_adjoint of stack 1 (sum of 4096 float32)".
  std::string description() const;

  /// Allows the thread that calls this alone.
  void keep_to_this_thread() { only_thread_ = std::this_thread::get_id(); }

 private:
  /// Makes the calling thread the only one that may go on; throws Error where another one is.
  void occupy();
  void release() noexcept;
  void check_usable() const;
  std::uint64_t call_word() const { return mixed(name_hash_, call_.fingerprint); }
  void announce(std::uint64_t word);
  void hear();
  [[noreturn]] void disagree();

  int rank_;
  int size_;
  NodeGroup* group_ = nullptr;
  Network network_;

  std::atomic<std::thread::id> thread_{};
  std::optional<std::thread::id> only_thread_;
  std::uint64_t forks_;
  /// Calls and collectives that are open, one in the other.
  int depth_ = 0;
  std::int64_t begun_ = 0;
  /// The outermost of them.
  Call call_;
  std::uint64_t name_hash_ = 0;
  /// Whether it has been compared since the last promise.
  bool compared_ = false;
  std::optional<CollectiveSpec> collective_;
  std::string refusal_;

  /// {word, ~word, size - rank of the first rank that leaves}; of the maxima the first two are complementary exactly
  /// when all words are equal.
  at::Tensor announcement_;
  std::optional<Pending> announced_;
  /// Why there are no more calls.
  std::optional<std::string> over_;
  bool has_left_ = false;
};

}  // namespace adjoin
