// SPDX-License-Identifier: BSD-3-Clause
// Places of ranks in a grid, and slices of measurements by them.
#include "adjoin/distributed/slice_grid.hpp"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <span>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "core/shape_of_image.hpp"
#include "distributed/no_slices.hpp"

namespace adjoin {

namespace {

// Sums over all ranks of a grid of what each group has as one, for which its first rank speaks: so all ranks get the
// same bits.
class SumOfGroups : public ScalarSum {
 public:
  SumOfGroups(std::shared_ptr<Exchange> everyone, bool speaks) : everyone_(std::move(everyone)), speaks_(speaks) {}
  void sum(std::span<c10::complex<double>> values) override {
    if (!speaks_) {
      std::ranges::fill(values, 0.0);
    }
    everyone_->sum(values);
  }
  const Communicator& communicator() const { return everyone_->communicator(); }

 private:
  std::shared_ptr<Exchange> everyone_;
  bool speaks_;
};

}  // namespace

std::string SliceGrid::text() const {
  return c10::str("slices ", slices, ", operators ", operators, ", images ", at::IntArrayRef(image), " along axis ",
                  axis);
}

void SliceGrid::check_for(int ranks) const {
  const auto dims = static_cast<std::int64_t>(image.size());
  check(std::ranges::all_of(image, [](std::int64_t size) { return size >= 0; }) && dims > 0,
        "grid: image must hold the sizes of the whole images, got ", at::IntArrayRef(image));
  check(axis >= -dims && axis < dims, "grid: axis must be one of the ", dims, " axes of images, got ", axis);
  check(slices >= 1 && operators >= 1 && static_cast<std::int64_t>(slices) * operators == ranks,
        "grid: slices times operators must be the number of ranks, ", ranks, ", got ", slices, " times ", operators);
}

SliceShare::SliceShare(const SliceGrid& grid, int rank, const std::shared_ptr<Exchange>& everyone) : grid_(grid) {
  grid.check_for(grid.slices * grid.operators);
  const int part = rank / grid.operators;
  const bool speaks = rank % grid.operators == 0;
  ImageSpace space = evenly_cut(grid.image, grid.axis, part, grid.slices);
  grid_.axis = *space.axis;
  if (!everyone->alone()) {
    space.reducer = std::make_shared<SumOfGroups>(everyone, speaks);
  }
  ImageSpace once = space;
  once.rank = rank;
  once.reducer = everyone->alone() ? nullptr : everyone;
  once.begins = {0};
  for (int r = 0; r < grid.slices * grid.operators; ++r) {
    once.begins.push_back(space.begins[static_cast<std::size_t>(r / grid.operators) + 1]);
  }
  space_ = std::make_shared<const ImageSpace>(std::move(space));
  once_ = std::make_shared<const ImageSpace>(std::move(once));
}

bool SliceShare::has_images_of(const ImageSpace& space) const {
  const auto* const mine = dynamic_cast<const SumOfGroups*>(space_->reducer.get());
  const auto* const other = dynamic_cast<const SumOfGroups*>(space.reducer.get());
  return same_space(space, *space_) && (mine == nullptr) == (other == nullptr) &&
         (mine == nullptr || &mine->communicator() == &other->communicator());
}

std::optional<ItemShare> SliceShare::items() const {
  return grid_.axis == 0 ? std::optional(ItemShare{begin(), end(), slices()}) : std::nullopt;
}

SliceWise SliceShare::restricted(const PhysicsPtr& physics) const {
  const auto linear = std::dynamic_pointer_cast<LinearPhysics>(physics);
  check(linear != nullptr, "grid: operators must be linear, got a ", physics->name());
  const std::optional<SliceWise> own = linear->on_slices(grid_.image, grid_.axis, begin(), end());
  check(own.has_value(), "grid: every operator must act slice by slice along axis ", grid_.axis, " of images ",
        at::IntArrayRef(grid_.image), ", and a ", physics->name(), " does not");
  check((own->measurement_axis == 0) == (grid_.axis == 0), "grid: measurements must have the slices along axis 0 if ",
        "images do, and only then; those of a ", physics->name(), " have them along axis ", own->measurement_axis,
        ", images along axis ", grid_.axis);
  const LinearPhysicsPtr part = own->part != nullptr ? own->part : linear;
  const bool is_empty = begin() == end();
  return {.measurement_axis = own->measurement_axis,
          .part = is_empty ? std::make_shared<NoSlices>(part, grid_.axis, own->measurement_axis) : part};
}

void SliceShare::set_axes(std::vector<std::int64_t> axes, const Sharding& operators) {
  axes_ = std::move(axes);
  std::vector<int> owners;
  for (const int owner : operators.owners()) {
    for (int part = 0; part < grid_.slices; ++part) {
      owners.push_back(part * grid_.operators + owner);
    }
  }
  pieces_ = Sharding(std::move(owners), grid_.slices * grid_.operators);
}

at::Tensor SliceShare::own(const char* argument, const at::Tensor& y, std::int64_t index) const {
  const std::int64_t axis = axes_[static_cast<std::size_t>(index)];
  const std::int64_t length = y.dim() > axis ? y.size(axis) : -1;
  if (length == end() - begin()) {
    return y;
  }
  check(length == slices(), argument, ": the measurement of operator ", index, " must have the ", slices(),
        " slices of the image along axis ", axis, ", or the ", end() - begin(), " of this rank, got ", y.sizes());
  return y.narrow(axis, begin(), end() - begin()).contiguous();
}

bool SliceShare::has_all_slices(const TensorList& y) const {
  for (std::size_t i = 0; i < std::min(y.size(), axes_.size()); ++i) {
    if (!y[i].defined() || y[i].dim() <= axes_[i] || y[i].size(axes_[i]) != slices()) {
      return false;
    }
  }
  return true;
}

TensorList SliceShare::joined(const TensorList& pieces) const {
  const auto parts = static_cast<std::size_t>(grid_.slices);
  TensorList all;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    std::vector<at::Tensor> own;
    for (std::size_t part = 0; part < parts; ++part) {
      own.push_back(pieces[i * parts + part]);
    }
    all.push_back(parts == 1 ? own[0] : at::cat(own, axes_[i]));
  }
  return all;
}

ShardedImage SliceShare::once(const ShardedImage& x) const {
  const bool speaks = once_->rank % grid_.operators == 0;
  return {speaks ? x.local : x.local.narrow(grid_.axis, 0, 0), once_};
}

std::int64_t SliceShare::items_of(const TensorList& y) const {
  const auto whole = [](at::IntArrayRef sizes) { return shape_of_image(sizes, at::TensorOptions()); };
  TensorList measured;
  for (const at::Tensor& entry : y) {
    std::vector<std::int64_t> sizes = entry.sizes().vec();
    if (grid_.axis == 0 && !sizes.empty()) {
      sizes[0] = slices();
    }
    measured.push_back(whole(sizes));
  }
  return common_items(whole(grid_.image), measured);
}

}  // namespace adjoin
