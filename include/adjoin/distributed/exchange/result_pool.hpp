// SPDX-License-Identifier: BSD-3-Clause
// Memory of results, used again once nobody holds them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "adjoin/comm/communicator.hpp"

namespace adjoin {

/// One allocation, filled by one message, and cut into pieces: a result, or each of a list of results. On the CPU a
/// piece has a storage of its own, so that what is saved, copied or sent of it is it alone; it keeps the allocation
/// alive. On other devices pieces are views, since the allocator must know which streams use them.
class ResultMemory {
 public:
  /// Bytes [begin, begin + count) of the allocation.
  struct Piece {
    std::int64_t begin;
    std::int64_t count;
  };
  /// `whole` is flat and held by nobody else.
  ResultMemory(at::Tensor whole, const std::vector<Piece>& pieces);

  const at::Tensor& whole() const { return whole_; }
  /// A contiguous tensor in piece `k`.
  at::Tensor tensor(std::size_t k, at::IntArrayRef sizes, at::ScalarType dtype) const;

  /// Whether nobody holds a piece, so that it may be filled again. Never on other devices, where streams may still read
  /// what nobody holds any more; their allocators know of them.
  bool is_free();
  /// Gives up the storages of the pieces, which are made anew when their last holders are gone: Python may hold one as
  /// long as it is held here, and no longer.
  void release();

 private:
  void cut();

  at::Tensor whole_;
  std::vector<Piece> cuts_;
  /// Empty when released, and on other devices.
  std::vector<c10::Storage> pieces_;
  /// How many storages of pieces there are, here and elsewhere.
  std::shared_ptr<std::atomic<std::size_t>> alive_ = std::make_shared<std::atomic<std::size_t>>(0);
};

/// The memory of the results of one plan.
class ResultPool {
 public:
  /// Results of `numel` elements, cut into `pieces`. Forgets all earlier ones.
  void set_layout(std::int64_t numel, at::ScalarType dtype, at::Device device, std::vector<ResultMemory::Piece> pieces);
  /// Readies memory that the other ranks see, for two results: while a caller computes with one, it often still holds
  /// the last. Collective.
  void provide_visible(Communicator& communicator);
  /// Memory of arbitrary content that nobody holds. It is valid until the next call.
  ResultMemory& take();

 private:
  std::int64_t numel_ = 0;
  at::TensorOptions options_;
  std::vector<ResultMemory::Piece> pieces_;
  std::vector<ResultMemory> visible_;
  std::vector<ResultMemory> held_;
};

/// A contiguous tensor with these sizes in a storage, `byte_offset` bytes from its start, with the keys of `like`.
/// Made directly: going through narrow, view and reshape costs microseconds.
at::Tensor tensor_at(const c10::Storage& storage, std::int64_t byte_offset, at::IntArrayRef sizes, at::ScalarType dtype,
                     const at::Tensor& like);

}  // namespace adjoin
