// SPDX-License-Identifier: BSD-3-Clause
// A collective that has been started.
#pragma once

#include <memory>

namespace adjoin {

/// A started collective. It owns what it needs, and its destructor waits. Move-only.
class Pending {
 public:
  /// What an engine does to finish a collective.
  class Work {
   public:
    virtual ~Work() = default;
    /// Whether it is finished; advances it where it can.
    virtual bool test() = 0;
    /// Blocks until it is finished. Throws CommunicationError when it failed.
    virtual void wait() = 0;
  };

  /// A collective that is finished already.
  Pending() = default;
  explicit Pending(std::unique_ptr<Work> work);
  Pending(Pending&&) noexcept;
  Pending& operator=(Pending&&) noexcept;
  ~Pending();

  /// Whether the collective is finished. Does not block, except among ranks that share memory: they do the work of a
  /// collective here or in wait(), together.
  bool test();
  /// Blocks until the collective is finished; then a no-op. Throws CommunicationError when it failed.
  void wait();

 private:
  std::unique_ptr<Work> work_;
};

}  // namespace adjoin
