// SPDX-License-Identifier: BSD-3-Clause
// Memory cut into tensors that tell the pool when their last holder has gone.
#include "adjoin/distributed/exchange/result_pool.hpp"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/TensorImpl.h>

#include <utility>

namespace adjoin {

namespace {

// Results of one plan that may wait for their next use.
constexpr std::size_t most_held = 3;

// What a piece keeps alive.
struct Keeper {
  c10::Storage whole;
  std::shared_ptr<std::atomic<std::size_t>> alive;

  static void end(void* keeper) {
    const std::unique_ptr<Keeper> self(static_cast<Keeper*>(keeper));
    self->alive->fetch_sub(1, std::memory_order_release);
  }
};

}  // namespace

at::Tensor tensor_at(const c10::Storage& storage, std::int64_t byte_offset, at::IntArrayRef sizes, at::ScalarType dtype,
                     const at::Tensor& like) {
  at::Tensor view =
      at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage), like.key_set(), c10::scalarTypeToTypeMeta(dtype));
  view.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  view.unsafeGetTensorImpl()->set_storage_offset(byte_offset / static_cast<std::int64_t>(c10::elementSize(dtype)));
  return view;
}

ResultMemory::ResultMemory(at::Tensor whole, const std::vector<Piece>& pieces)
    : whole_(std::move(whole)), cuts_(pieces) {
  cut();
}

void ResultMemory::cut() {
  if (!whole_.is_cpu()) {
    return;
  }
  auto* const start = static_cast<char*>(whole_.mutable_data_ptr());
  for (const Piece& piece : cuts_) {
    auto keeper = std::make_unique<Keeper>(whole_.storage(), alive_);
    alive_->fetch_add(1, std::memory_order_relaxed);
    // As torch's own: it may be made larger, which moves it elsewhere.
    pieces_.emplace_back(c10::Storage::use_byte_size_t(), static_cast<std::size_t>(piece.count),
                         at::DataPtr(start + piece.begin, keeper.release(), &Keeper::end, whole_.device()),
                         c10::GetAllocator(whole_.device().type()), /*resizable=*/true);
  }
}

at::Tensor ResultMemory::tensor(std::size_t k, at::IntArrayRef sizes, at::ScalarType dtype) const {
  return pieces_.empty() ? tensor_at(whole_.storage(), cuts_[k].begin, sizes, dtype, whole_)
                         : tensor_at(pieces_[k], 0, sizes, dtype, whole_);
}

bool ResultMemory::is_free() {
  if (!whole_.is_cpu()) {
    return false;
  }
  if (pieces_.empty()) {
    if (alive_->load(std::memory_order_acquire) != 0) {
      return false;
    }
    cut();
    return true;
  }
  const char* const start = static_cast<const char*>(whole_.const_data_ptr());
  for (std::size_t k = 0; k < pieces_.size(); ++k) {
    // A holder may have moved it to memory that processes share.
    if (pieces_[k].use_count() != 1 || pieces_[k].data() != start + cuts_[k].begin) {
      return false;
    }
  }
  return true;
}

void ResultMemory::release() { pieces_.clear(); }

void ResultPool::set_layout(std::int64_t numel, at::ScalarType dtype, at::Device device,
                            std::vector<ResultMemory::Piece> pieces) {
  visible_.clear();
  held_.clear();
  numel_ = numel;
  options_ = at::TensorOptions(dtype).device(device);
  pieces_ = std::move(pieces);
}

void ResultPool::provide_visible(Communicator& communicator) {
  const c10::InferenceMode normal(false);
  visible_.clear();
  for (int result = 0; result < 2 && options_.device().is_cpu(); ++result) {
    at::Tensor tensor = communicator.visible(numel_, c10::typeMetaToScalarType(options_.dtype()));
    if (tensor.defined()) {
      visible_.emplace_back(std::move(tensor), pieces_);
    }
  }
}

ResultMemory& ResultPool::take() {
  for (std::vector<ResultMemory>* const memories : {&visible_, &held_}) {
    for (ResultMemory& memory : *memories) {
      if (memory.is_free()) {
        return memory;
      }
    }
  }
  for (ResultMemory& memory : visible_) {
    memory.release();
    if (memory.is_free()) {
      return memory;
    }
  }
  const c10::InferenceMode normal(false);
  if (held_.size() == (options_.device().is_cpu() ? most_held : 1)) {
    held_.erase(held_.begin());
  }
  return held_.emplace_back(at::empty({numel_}, options_), pieces_);
}

}  // namespace adjoin
