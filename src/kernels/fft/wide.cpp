// SPDX-License-Identifier: BSD-3-Clause
// Blocks of columns, along one axis or along two, one after the other.
#include "kernels/fft/wide.hpp"

#include <algorithm>
#include <vector>

#include "kernels/complex_kernels.hpp"
#include "kernels/fft/wide_axis.hpp"

namespace adjoin::fft {

#ifdef ADJOIN_HAS_WIDE_TRANSFORMS

namespace {

template <class T>
class WideTransform final : public Transform {
 public:
  explicit WideTransform(const Plan& plan) {
    for (const Plan::Axis& axis : plan.axes) {
      axes_.emplace_back(axis.size, 2 * axis.source_stride);
    }
  }
  bool is_valid() const {
    return std::ranges::all_of(axes_, [](const wide::Axis<T>& axis) { return axis.is_valid(); });
  }
  void forward(const void* /*source*/, void* spectrum) const override { run(static_cast<T*>(spectrum), false); }
  void backward(void* /*spectrum*/, void* target) const override { run(static_cast<T*>(target), true); }

 private:
  void run(T* block, bool backward) const {
    // Along each axis from each place along the other.
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      const bool alone = axes_.size() == 1;
      const wide::Axis<T>& other = axes_[1 - (alone ? 1 : i)];
      for (std::int64_t k = 0; k < (alone ? 1 : other.size()); ++k) {
        axes_[i](block + (alone ? 0 : k * other.row()), backward);
      }
    }
  }
  std::vector<wide::Axis<T>> axes_;
};

template <class T>
std::shared_ptr<const Transform> make_columns(const Plan& plan) {
  if (plan.count != kernels::columns_in_block<T> || plan.axes.empty() || plan.axes.size() > 2) {
    return nullptr;
  }
  const auto transform = std::make_shared<const WideTransform<T>>(plan);
  return transform->is_valid() ? transform : nullptr;
}

}  // namespace

std::shared_ptr<const Transform> make_wide(const Plan& plan) {
  if (!plan.is_complex() || instruction_set() != InstructionSet::avx512) {
    return nullptr;
  }
  return plan.is_double() ? make_columns<double>(plan) : make_columns<float>(plan);
}

#else

std::shared_ptr<const Transform> make_wide(const Plan& /*plan*/) { return nullptr; }

#endif

}  // namespace adjoin::fft
