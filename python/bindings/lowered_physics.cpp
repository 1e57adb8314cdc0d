// SPDX-License-Identifier: BSD-3-Clause
// Calls of lowered operators: to ours where it takes the tensors, to the Python original where not.
#include "lowered_physics.hpp"

#include <ATen/ATen.h>
#include <ATen/TensorSubclassLikeUtils.h>

#include <algorithm>
#include <optional>
#include <typeinfo>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/fused_of.hpp"

namespace adjoin::python {

namespace {

// The fused form of stand-ins of one class, for as long as they stand in.
class FusedStandIns final : public FusedOf<LoweredPhysics> {
 public:
  FusedStandIns(Operators operators, std::unique_ptr<FusedStack> stand_ins)
      : FusedOf(std::move(operators)), stand_ins_(std::move(stand_ins)), viewed_(any_view(this->operators())) {}

  bool follows_operators() const override { return false; }

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    if (!serves(x)) {
      return {};
    }
    if (!viewed_) {
      return stand_ins_->A(x, out);
    }
    TensorList room = out;
    for (std::size_t i = 0; i < room.size(); ++i) {
      if (room[i].defined()) {
        room[i] = measurement(i).to_ours(room[i]);
      }
    }
    TensorList y = stand_ins_->A(image().to_ours(x), room);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = measurement(i).from_ours(y[i], x, image());
    }
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    if (!serves(y)) {
      return {};
    }
    if (!viewed_) {
      return stand_ins_->A_adjoint(y, out);
    }
    TensorList own(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      own[i] = measurement(i).to_ours(y[i]);
    }
    const at::Tensor x = stand_ins_->A_adjoint(own, room(out));
    return x.defined() ? image().from_ours(x, y[0], measurement(0)) : x;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const at::Tensor result = serves(x) ? stand_ins_->A_adjoint_A(image().to_ours(x), room(out)) : at::Tensor();
    return result.defined() ? image().from_ours(result, x, image()) : result;
  }

  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const at::Tensor& out) const override {
    return !viewed_ && serves(x) && (y.empty() || serves(y)) ? stand_ins_->A_adjoint_W_residual(x, y, weights, out)
                                                             : FusedStack::A_adjoint_W_residual(x, y, weights, out);
  }

  at::Tensor normal_form(const at::Tensor& x) const override {
    return !viewed_ && serves(x) ? stand_ins_->normal_form(x) : at::Tensor();
  }

  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out) const override {
    return stand_ins_->apply_normal_form(form, x, part, parts, out);
  }

  bool has_normal_forms() const override { return !viewed_ && stand_ins_->has_normal_forms(); }

 private:
  static bool any_view(const Operators& operators) {
    return std::ranges::any_of(operators, [](const auto& op) {
      return !op->stand_in().image.view.empty() || !op->stand_in().measurement.view.empty();
    });
  }

  bool serves(const at::Tensor& x) const {
    return takes(x) && std::ranges::all_of(operators(), [&](const auto& op) { return op->serves_image(x); });
  }
  bool serves(const TensorList& y) const {
    if (!takes(y)) {
      return false;
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!(*this)[i].serves_measurement(y[i])) {
        return false;
      }
    }
    return true;
  }

  // Images of all operators are alike.
  const Side& image() const { return (*this)[0].stand_in().image; }
  const Side& measurement(std::size_t i) const { return (*this)[i].stand_in().measurement; }
  at::Tensor room(const at::Tensor& out) const { return out.defined() ? image().to_ours(out) : out; }

  std::unique_ptr<FusedStack> stand_ins_;
  bool viewed_;
};

}  // namespace

bool Side::fits(const at::Tensor& tensor) const {
  if (sizes.empty()) {
    return true;
  }
  const std::int64_t batch = tensor.dim() - static_cast<std::int64_t>(sizes.size());
  if (any_batch ? batch < 0 : batch != 1) {
    return false;
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] >= 0 && tensor.size(batch + static_cast<std::int64_t>(i)) != sizes[i]) {
      return false;
    }
  }
  return true;
}

at::Tensor Side::to_ours(const at::Tensor& tensor) const {
  if (view.empty()) {
    return tensor;
  }
  std::vector<std::int64_t> own{tensor.numel() / c10::multiply_integers(view)};
  own.insert(own.end(), view.begin(), view.end());
  return tensor.reshape(own);
}

at::Tensor Side::from_ours(const at::Tensor& result, const at::Tensor& input, const Side& other) const {
  if (view.empty()) {
    return result;
  }
  const auto batch = input.sizes().slice(0, static_cast<std::size_t>(input.dim()) - other.sizes.size());
  std::vector<std::int64_t> theirs = batch.vec();
  theirs.insert(theirs.end(), sizes.begin(), sizes.end());
  return result.reshape(theirs);
}

LoweredPhysics::LoweredPhysics(LinearPhysicsPtr original, Object finish)
    : original_(std::move(original)), finish_(std::move(finish)) {
  made_of({}, {original_.get()});
}

void LoweredPhysics::set_stand_in(StandIn stand_in) {
  if (stand_in.physics == nullptr) {
    made_of({}, {original_.get()});
  } else {
    made_of({}, {original_.get(), stand_in.physics.get()});
  }
  stand_in_ = std::move(stand_in);
  update({});
}

void LoweredPhysics::update_impl(const Params& params) {
  if (!params.empty()) {
    original_->update(params);
  }
}

bool LoweredPhysics::serves(const at::Tensor& tensor, const Side& side) const {
  return stand_in_.physics != nullptr && tensor.defined() && tensor.device() == stand_in_.device &&
         std::ranges::find(stand_in_.dtypes, tensor.scalar_type()) != stand_in_.dtypes.end() &&
         !at::isTensorSubclassLike(tensor) && side.fits(tensor) &&
         std::ranges::none_of(stand_in_.sources, [](const at::Tensor& source) { return records_gradients(source); });
}

// What ours refuses, Python accepts, or refuses in its own words.
template <class Ours, class Original>
at::Tensor LoweredPhysics::either(bool served, const Ours& ours, const Original& original) const {
  if (served) {
    try {
      return ours(*stand_in_.physics);
    } catch (const InvalidArgument&) {
    }
  }
  return original();
}

at::Tensor LoweredPhysics::A_impl(const at::Tensor& x, const Params& params) const {
  return either(
      params.empty() && serves_image(x),
      [&](const LinearPhysics& ours) {
        return stand_in_.measurement.from_ours(ours.A(stand_in_.image.to_ours(x)), x, stand_in_.image);
      },
      [&] { return original_->A(x, params); });
}

at::Tensor LoweredPhysics::forward_impl(const at::Tensor& x, const Params& params) const {
  if (!finish_) {
    return LinearPhysics::forward_impl(x, params);
  }
  if (!params.empty() || !serves_image(x)) {
    return original_->forward(x, params);
  }
  const at::Tensor y = A_impl(x, params);
  return call(finish_, name() + ".forward", {&y}, params);
}

at::Tensor LoweredPhysics::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return either(
      params.empty() && serves_measurement(y),
      [&](const LinearPhysics& ours) {
        return stand_in_.image.from_ours(ours.A_adjoint(stand_in_.measurement.to_ours(y)), y, stand_in_.measurement);
      },
      [&] { return original_->A_adjoint(y, params); });
}

at::Tensor LoweredPhysics::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  return either(
      params.empty() && serves_image(x),
      [&](const LinearPhysics& ours) {
        return stand_in_.image.from_ours(ours.A_adjoint_A(stand_in_.image.to_ours(x)), x, stand_in_.image);
      },
      [&] { return original_->A_adjoint_A(x, params); });
}

at::Tensor LoweredPhysics::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  return closed_dagger(*original_, y, params);
}

std::optional<double> LoweredPhysics::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  return params.empty() && serves_image(x0) ? closed_sqnorm(*stand_in_.physics, stand_in_.image.to_ours(x0), params)
                                            : std::nullopt;
}

at::Tensor LoweredPhysics::image_like(const at::Tensor& y) const {
  if (!serves_measurement(y)) {
    return {};
  }
  const at::Tensor image = stand_in_.physics->image_like(stand_in_.measurement.to_ours(y));
  return image.defined() ? stand_in_.image.from_ours(image, y, stand_in_.measurement) : image;
}

std::unique_ptr<FusedStack> LoweredPhysics::fuse(
    std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto lowered = all_of_class<LoweredPhysics>(operators);
  std::vector<std::shared_ptr<const LinearPhysics>> stand_ins;
  for (const auto& one : lowered) {
    if (one->stand_in_.physics == nullptr) {
      return nullptr;
    }
    stand_ins.push_back(one->stand_in_.physics);
    const LinearPhysics& own = *stand_ins.back();
    const LinearPhysics& first = *stand_ins.front();
    if (typeid(own) != typeid(first)) {
      return nullptr;
    }
  }
  std::unique_ptr<FusedStack> fused = stand_ins.empty() ? nullptr : stand_ins[0]->fuse(stand_ins);
  return fused == nullptr ? nullptr : std::make_unique<FusedStandIns>(std::move(lowered), std::move(fused));
}

void bind_lowered(py::module_& m) {
  using Sizes = std::vector<std::int64_t>;
  py::class_<LoweredPhysics, LinearPhysics, std::shared_ptr<LoweredPhysics>>(
      m, "LoweredPhysics",
      "A Python operator `original`, for which an operator of ours, the stand-in, does the work. `finish` adds noise "
      "and\n"
      "sensor to measurements. adjoin.lowering makes them.")
      .def(py::init([](const LinearPhysicsPtr& original, const py::object& finish) {
             return std::make_shared<LoweredPhysics>(original, finish.is_none() ? Object() : Object(finish));
           }),
           py::arg("original"), py::arg("finish"))
      .def(
          "set_stand_in",
          [](LoweredPhysics& lowered, const std::optional<LinearPhysicsPtr>& physics, std::vector<at::Tensor> sources,
             std::vector<at::ScalarType> dtypes, const at::Device& device, Sizes image, Sizes image_view,
             Sizes measurement, Sizes measurement_view, bool any_batch) {
            lowered.set_stand_in(
                {.physics = physics.value_or(nullptr),
                 .sources = std::move(sources),
                 .dtypes = std::move(dtypes),
                 .device = device,
                 .image = {.sizes = std::move(image), .any_batch = any_batch, .view = std::move(image_view)},
                 .measurement = {
                     .sizes = std::move(measurement), .any_batch = any_batch, .view = std::move(measurement_view)}});
          },
          py::arg("physics"), py::arg("sources") = std::vector<at::Tensor>(),
          py::arg("dtypes") = std::vector<at::ScalarType>(), py::arg("device") = at::Device(at::kCPU),
          py::arg("image") = Sizes(), py::arg("image_view") = Sizes(), py::arg("measurement") = Sizes(),
          py::arg("measurement_view") = Sizes(), py::arg("any_batch") = false,
          "Makes `physics`, None for nobody, do the work for tensors of these dtypes and sizes on this device; sizes "
          "are\n"
          "those behind the batch, -1 for any, none for whatever it takes, and views those of `physics` itself. Where\n"
          "autograd records one of the `sources`, the Python operator does.")
      .def_property_readonly(
          "stand_in",
          [](const LoweredPhysics& lowered) {
            const LinearPhysicsPtr& physics = lowered.stand_in().physics;
            return physics == nullptr ? std::nullopt : std::optional(physics);
          },
          "The operator of ours that does the work, or None.");
}

}  // namespace adjoin::python
