// SPDX-License-Identifier: BSD-3-Clause
// One transform of the image for all blurs, and one product with the sum of their squared responses for the normal
// operator.
#include "operators/blur/fused.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "kernels/residual.hpp"
#include "operators/squares.hpp"

namespace adjoin {
namespace {

/// Numbers of all results up to which a GPU is quicker with all of them at once; more fill it one by one.
constexpr std::int64_t joint_numel = std::int64_t{1} << 24;

bool are_alike(const TensorList& y) {
  return std::ranges::all_of(y, [&](const at::Tensor& t) {
    return t.sizes() == y[0].sizes() && t.scalar_type() == y[0].scalar_type() && t.device() == y[0].device();
  });
}

}  // namespace

TensorList FusedBlurs::A(const at::Tensor& x, const TensorList& out) const {
  const auto plans = plans_for(x);
  if (plans == nullptr || !plans->is_quicker_one_way()) {
    return {};
  }
  return plans->first().has_kernels_for(x) ? forward(*plans, x, out) : forward_by_tensors(*plans, x);
}

at::Tensor FusedBlurs::A_adjoint(const TensorList& y, const at::Tensor& out) const {
  const auto plans = takes(y) && are_alike(y) ? plans_for(y[0]) : nullptr;
  if (plans == nullptr || !plans->is_quicker_one_way()) {
    return {};
  }
  return plans->first().has_kernels_for(y[0]) ? adjoint(*plans, y, out) : adjoint_by_tensors(*plans, y);
}

at::Tensor FusedBlurs::A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const {
  const auto plans = plans_for(x);
  return plans != nullptr && plans->is_quicker_both_ways() && plans->power().defined()
             ? normal(*plans, plans->power(), x, 0, 1, out)
             : at::Tensor();
}

at::Tensor FusedBlurs::A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                            const at::Tensor& out) const {
  const auto plans = plans_for(x);
  if (plans == nullptr) {
    return {};
  }
  // Numbers are factors of the terms of the normal form.
  const std::vector<double> numbers = y.empty() ? numbers_of(weights) : std::vector<double>();
  if (!numbers.empty() && plans->is_quicker_both_ways() && plans->power(numbers)->defined()) {
    return normal(*plans, *plans->power(numbers), x, 0, 1, out);
  }
  const bool alike = y.empty() || (takes(y) && are_alike(y) && Layout(x) == y[0]);
  const bool fit = std::ranges::all_of(weights, [&](const at::Tensor& w) { return weights_fit(w, x); });
  return alike && fit && plans->is_quicker_one_way() && plans->first().has_kernels_for(x)
             ? residual(*plans, x, y, weights, out)
             : FusedStack::A_adjoint_W_residual(x, y, weights, out);
}

at::Tensor FusedBlurs::normal_form(const at::Tensor& x) const {
  const auto plans = plans_for(x);
  if (plans == nullptr || !plans->is_quicker_both_ways() || !plans->first().has_kernels_for(x)) {
    return {};
  }
  // One filter for all images, so that the sums of all stacks have one shape.
  at::Tensor power = plans->new_power();
  return power.defined() && power.size(0) == 1 && power.size(1) == 1 ? power : at::Tensor();
}

at::Tensor FusedBlurs::apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                                         const at::Tensor& out) const {
  const auto plans = plans_for(x);
  return plans != nullptr ? normal(*plans, form, x, part, parts, out) : at::Tensor();
}

at::Tensor FusedBlurs::Plans::sum_powers(const std::vector<double>& weights) const {
  at::Tensor sum;
  for (std::size_t i = 0; i < size(); ++i) {
    blurs_[i]->add_power(sum, weights[i]);
  }
  return keep_digits(sum) ? sum : at::Tensor();
}

at::Tensor FusedBlurs::Plans::stack_responses() const {
  std::vector<at::Tensor> all;
  for (const auto& plan : blurs_) {
    if (plan->response().sizes() != first().response().sizes()) {
      return {};
    }
    all.push_back(plan->response());
  }
  return at::stack(all);
}

std::shared_ptr<const FusedBlurs::Plans> FusedBlurs::plans_for(const at::Tensor& x) const {
  const auto make = [&] {
    std::vector<std::shared_ptr<const Plan>> blurs;
    for (const auto& one : operators()) {
      blurs.push_back(one->plan(x, {}, false, true));
    }
    return std::make_shared<const Plans>(std::move(blurs), x.sizes());
  };
  return takes(x) ? plans_.get(version(), x, [&] { return unless_refused(make); }) : nullptr;
}

// ---- On the CPU, image by image ----

TensorList FusedBlurs::forward(const Plans& plans, const at::Tensor& x, const TensorList& out) {
  TensorList y;
  y.reserve(plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i) {
    y.push_back(fit_or_empty(out, i, x.sizes(), x.options()));
  }
  plans.make_responses();
  const at::Tensor source = kernels::plain(x);
  const auto forward = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
    const auto spectrum = workspace.spectrum();
    const auto product = workspace.spectrum();
    for (std::int64_t k = begin; k < end; ++k) {
      workspace.load(plans.image<T>(source, k), plans.window(), spectrum);
      spectrum.for_each_block([&](std::int64_t /*offset*/, T* block) { workspace.forward(block); });
      for (std::size_t i = 0; i < plans.size(); ++i) {
        const T* const response = plans.response<T>(i, k);
        product.for_each_block([&](std::int64_t offset, T* block) {
          kernels::multiply(response + 2 * offset, spectrum.data() + 2 * offset, block, product.columns());
          workspace.backward(block);
        });
        workspace.store(product, plans.window(), plans.image<T>(y[i], k));
      }
    }
  };
  plans.for_each_image(x.scalar_type(), forward);
  return y;
}

at::Tensor FusedBlurs::adjoint(const Plans& plans, const TensorList& y, const at::Tensor& out) {
  std::vector<at::Tensor> sources;
  for (const at::Tensor& one : y) {
    sources.push_back(kernels::plain(one));
  }
  plans.make_responses();
  const at::Tensor x = fit_or_empty_with_room(out, y[0].sizes(), y[0].options(), plans.room());
  const auto adjoint = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
    const bool all = begin == 0 && end == plans.images();
    const blur::ResultSpectra<T> sums(workspace, all ? plans.place_for_spectra<T>(x, end) : nullptr);
    std::optional<fft::Spectrum<T>> spectrum;
    if (plans.size() > 1) {
      spectrum.emplace(workspace.spectrum());
    }
    for (std::int64_t k = begin; k < end; ++k) {
      const fft::Spectrum<T> sum = sums.of_image(k * plans.numel());
      for (std::size_t i = 0; i < plans.size(); ++i) {
        const T* const response = plans.response<T>(i, k);
        // The first one is where the sum is.
        const fft::Spectrum<T>& term = i == 0 ? sum : *spectrum;
        workspace.load(plans.image<T>(sources[i], k), plans.window(), term);
        term.for_each_block([&](std::int64_t offset, T* block) {
          workspace.forward(block);
          T* const total = sum.data() + 2 * offset;
          kernels::multiply_conjugate(response + 2 * offset, block, total, i == 0, sum.columns());
          if (i + 1 == plans.size()) {
            workspace.backward(total);
          }
        });
      }
      workspace.store(sum, plans.window(), plans.image<T>(x, k));
    }
  };
  plans.for_each_image(x.scalar_type(), adjoint);
  return x;
}

at::Tensor FusedBlurs::residual(const Plans& plans, const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                const at::Tensor& out) {
  std::vector<at::Tensor> measured;
  std::vector<at::Tensor> factors;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    measured.push_back(y.empty() ? at::Tensor() : kernels::plain(y[i]));
    factors.push_back(weights_for(weights[i], x).expand(x.sizes()).contiguous());
  }
  plans.make_responses();
  const at::Tensor source = kernels::plain(x);
  const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
  const int step = x.is_complex() ? 2 : 1;
  const std::int64_t columns = x.size(-1);
  const auto residual = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
    const auto spectrum = workspace.spectrum();
    const auto product = workspace.spectrum();
    const auto sum = workspace.spectrum();
    for (std::int64_t k = begin; k < end; ++k) {
      workspace.load(plans.image<T>(source, k), plans.window(), spectrum);
      spectrum.for_each_block([&](std::int64_t /*offset*/, T* block) { workspace.forward(block); });
      for (std::size_t i = 0; i < plans.size(); ++i) {
        const T* const response = plans.response<T>(i, k);
        product.for_each_block([&](std::int64_t offset, T* block) {
          kernels::multiply(response + 2 * offset, spectrum.data() + 2 * offset, block, product.columns());
          workspace.backward(block);
        });
        const T* const y_k = y.empty() ? nullptr : plans.image<T>(measured[i], k);
        const T* const w_k = static_cast<const T*>(factors[i].const_data_ptr()) + k * (x.numel() / plans.images());
        workspace.through(product, plans.window(), [&](std::int64_t row, T* values) {
          kernels::weigh_residual(values, y_k == nullptr ? nullptr : y_k + row * columns * step, w_k + row * columns,
                                  columns, step);
        });
        product.for_each_block([&](std::int64_t offset, T* block) {
          workspace.forward(block);
          T* const total = sum.data() + 2 * offset;
          kernels::multiply_conjugate(response + 2 * offset, block, total, i == 0, sum.columns());
          if (i + 1 == plans.size()) {
            workspace.backward(total);
          }
        });
      }
      workspace.store(sum, plans.window(), plans.image<T>(z, k));
    }
  };
  plans.for_each_image(x.scalar_type(), residual);
  return z;
}

at::Tensor FusedBlurs::normal(const Plans& plans, const at::Tensor& form, const at::Tensor& x, int part, int parts,
                              const at::Tensor& out) {
  const Plan& first = plans.first();
  if (!first.has_kernels_for(x)) {
    return parts == 1 ? first.image(first.spectrum(x) * form) : at::Tensor();
  }
  const at::Tensor source = kernels::plain(x);
  const at::Tensor z = fit_or_empty_with_room(out, x.sizes(), x.options(), plans.room());
  const ImageRange mine = images_of_part(x.sizes(), part, parts);
  const auto normal = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
    const bool all = begin == mine.first_image && end == begin + mine.images;
    const blur::ResultSpectra<T> spectra(workspace, all ? plans.place_for_spectra<T>(z, end) : nullptr);
    for (std::int64_t k = begin; k < end; ++k) {
      const fft::Spectrum<T> spectrum = spectra.of_image(k * plans.numel());
      const T* const power = plans.factor<T>(form, first.numel_in_blocks(), k);
      workspace.load(plans.image<T>(source, k), plans.window(), spectrum);
      spectrum.for_each_block([&](std::int64_t offset, T* block) {
        workspace.forward(block);
        kernels::scale(block, workspace.factors(power, offset), spectrum.columns());
        workspace.backward(block);
      });
      workspace.store(spectrum, plans.window(), plans.image<T>(z, k));
    }
  };
  plans.for_images(x.scalar_type(), mine.first_image, mine.images, normal);
  return z;
}

// ---- Elsewhere, by tensor operations ----

bool FusedBlurs::joins(const Plans& plans, const at::Tensor& x) {
  return !x.is_cpu() && x.numel() * static_cast<std::int64_t>(plans.size()) <= joint_numel &&
         plans.responses().defined();
}

TensorList FusedBlurs::forward_by_tensors(const Plans& plans, const at::Tensor& x) {
  TensorList y;
  y.reserve(plans.size());
  const at::Tensor spectrum = plans.first().spectrum(x);
  if (joins(plans, x)) {
    const at::Tensor all = plans.first().image(spectrum * plans.responses());
    for (std::int64_t i = 0; i < all.size(0); ++i) {
      y.push_back(all[i]);
    }
    return y;
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    y.push_back(plans[i].image(spectrum * plans[i].bins(plans[i].response())));
  }
  return y;
}

at::Tensor FusedBlurs::adjoint_by_tensors(const Plans& plans, const TensorList& y) {
  const Plan& first = plans.first();
  if (joins(plans, y[0])) {
    return first.image((first.spectrum(at::stack(y.tensors())) * plans.responses().conj()).sum(0));
  }
  at::Tensor sum = first.spectrum(y[0]).mul_(first.bins(first.response()).conj());
  for (std::size_t i = 1; i < plans.size(); ++i) {
    sum.addcmul_(plans[i].spectrum(y[i]), plans[i].bins(plans[i].response()).conj());
  }
  return first.image(sum);
}

std::unique_ptr<FusedStack> Blur::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto blurs = all_of_class<Blur>(operators);
  const auto fuses = [&](const auto& one) {
    return one->options_.padding == Padding::Circular && one->options_.method != ConvolutionMethod::Direct;
  };
  return blurs.empty() || !std::ranges::all_of(blurs, fuses) ? nullptr : std::make_unique<FusedBlurs>(std::move(blurs));
}

}  // namespace adjoin
