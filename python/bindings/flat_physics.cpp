// SPDX-License-Identifier: BSD-3-Clause
// Operators on vectors, as PyLops and SciPy have them, made of ours.
#include <ATen/ATen.h>

#include <numeric>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/stacked.hpp"
#include "casters.hpp"
#include "lowered_physics.hpp"

namespace adjoin::python {

namespace {

// An operator of ours whose images and measurements others see in other axes.
class Viewed final : public LinearPhysics {
 public:
  Viewed(LinearPhysicsPtr inner, Side image, Side measurement)
      : inner_(std::move(inner)), image_(std::move(image)), measurement_(std::move(measurement)) {
    made_of({}, {inner_.get()});
  }

  std::string name() const override { return inner_->name(); }
  ParameterNames parameter_names() const override { return inner_->parameter_names(); }
  Recipe recipe() const override {
    return {.maker = "viewed",
            .arguments = {{"image", image_.sizes},
                          {"image_view", image_.view},
                          {"measurement", measurement_.sizes},
                          {"measurement_view", measurement_.view}}};
  }
  std::vector<PhysicsPtr> operands() const override { return {inner_}; }
  at::Tensor image_like(const at::Tensor& y) const override {
    const at::Tensor image = inner_->image_like(measurement_.to_ours(y));
    return image.defined() ? image_.from_ours(image, y, measurement_) : image;
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return measurement_.from_ours(inner_->A(image_.to_ours(x), params), x, image_);
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return image_.from_ours(inner_->A_adjoint(measurement_.to_ours(y), params), y, measurement_);
  }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return image_.from_ours(inner_->A_adjoint_A(image_.to_ours(x), params), x, image_);
  }
  void update_impl(const Params& params) override { inner_->update(params); }

 private:
  LinearPhysicsPtr inner_;
  Side image_;
  Side measurement_;
};

// Operators on vectors (batch, n) whose measurements (batch, m_i) are one after the other.
class Concatenated final : public LinearPhysics {
 public:
  Concatenated(const std::vector<LinearPhysicsPtr>& rows, std::vector<std::int64_t> sizes)
      : operands_(rows.begin(), rows.end()), rows_(rows), sizes_(std::move(sizes)) {
    check(!rows.empty() && rows.size() == sizes_.size(),
          "concatenated: sizes must have one entry for each of at least one operator, got ", sizes_.size(), " for ",
          rows.size());
    std::vector<const Physics*> parts;
    for (const LinearPhysicsPtr& row : rows) {
      parts.push_back(row.get());
    }
    made_of({}, parts);
  }

  std::string name() const override { return "Concatenated"; }
  ParameterNames parameter_names() const override { return rows_.parameter_names(); }
  Recipe recipe() const override { return {.maker = "concatenated", .arguments = {{"sizes", sizes_}}}; }
  std::vector<PhysicsPtr> operands() const override { return operands_; }
  at::Tensor image_like(const at::Tensor& y) const override { return rows_[0].image_like(split(y)[0]); }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override {
    return at::cat(rows_.A(x, params).tensors(), 1);
  }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return rows_.A_adjoint(split(y), params);
  }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return rows_.A_adjoint_A(x, params);
  }
  void update_impl(const Params& params) override {
    for (const PhysicsPtr& row : operands_) {
      row->update(row->taken(params));
    }
  }

 private:
  TensorList split(const at::Tensor& y) const {
    check(y.dim() == 2 && y.size(1) == std::reduce(sizes_.begin(), sizes_.end()),
          "Concatenated: y must be (batch, m) with m the sum of ", at::IntArrayRef(sizes_), ", got ", y.sizes());
    return TensorList(y.split_with_sizes(sizes_, 1));
  }

  std::vector<PhysicsPtr> operands_;
  StackedLinearPhysics rows_;
  std::vector<std::int64_t> sizes_;
};

}  // namespace

void bind_flat(py::module_& m) {
  using Sizes = std::vector<std::int64_t>;
  m.def(
      "viewed",
      [](const LinearPhysicsPtr& physics, Sizes image, Sizes image_view, Sizes measurement,
         Sizes measurement_view) -> LinearPhysicsPtr {
        return std::make_shared<Viewed>(physics, Side{.sizes = std::move(image), .view = std::move(image_view)},
                                        Side{.sizes = std::move(measurement), .view = std::move(measurement_view)});
      },
      py::arg("physics"), py::arg("image"), py::arg("image_view"), py::arg("measurement"), py::arg("measurement_view"),
      "`physics` for images and measurements that have these sizes behind the batch, and others, the views, as it "
      "sees\n"
      "them.");
  m.def(
      "concatenated",
      [](const py::args& rows, Sizes sizes) -> LinearPhysicsPtr {
        return std::make_shared<Concatenated>(rows.cast<std::vector<LinearPhysicsPtr>>(), std::move(sizes));
      },
      py::arg("sizes"),
      "Operators on vectors (batch, n), whose measurements, vectors of these sizes, come one after the other.");
}

}  // namespace adjoin::python
