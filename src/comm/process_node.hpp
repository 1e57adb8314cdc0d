// The ranks of a node, by the operating system alone: anonymous files that each process opens of the others.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "node.hpp"

namespace adjoin {

/// Collectives to set windows up with: from one-dimensional int64 tensors of equal lengths on all ranks, {ranks,
/// length}.
using AllGatherIntegers = std::function<at::Tensor(const at::Tensor&)>;

class ProcessNode : public Node {
 public:
  /// Null on every rank when they cannot see each other's processes. The ranks must share a process namespace; rank r
  /// has row r of what `all_gather` returns. A rank that waits longer than `timeout` gives up. Collective.
  static std::unique_ptr<ProcessNode> make(int rank, int size, AllGatherIntegers all_gather,
                                           std::chrono::milliseconds timeout);

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(processes_.size()); }
  /// The memory is no file that anyone could forget: it lasts as long as a process has it.
  std::shared_ptr<SharedWindow> allocate(std::size_t bytes) override;
  void all_reduce_min(std::span<int> values) override;
  /// When the rank's process has ended or the time is out.
  std::optional<std::string> lost(int rank, std::chrono::milliseconds waited) override;

 private:
  /// An open file, closed at the end.
  class Descriptor {
   public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept;
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor();
    int number() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }

   private:
    int number_;
  };

  struct Process {
    std::int64_t id;
    /// By which the kernel says that it has ended, even where its parent has not asked yet.
    Descriptor handle;
  };

  ProcessNode(int rank, AllGatherIntegers all_gather, std::chrono::milliseconds timeout)
      : rank_(rank), all_gather_(std::move(all_gather)), timeout_(timeout) {}
  bool all_succeeded(bool success);

  int rank_;
  AllGatherIntegers all_gather_;
  std::chrono::milliseconds timeout_;
  std::vector<Process> processes_;
};

}  // namespace adjoin
