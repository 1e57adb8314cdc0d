// Circular blurs of one image, which share its transform.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/core/layout.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "kernels/arrays.hpp"
#include "operators/blur/images.hpp"
#include "operators/blur/plan.hpp"
#include "operators/blur/workspace.hpp"

namespace adjoin {

class FusedBlurs final : public FusedOf<Blur> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    const auto plans = plans_for(x);
    if (plans == nullptr || !plans->is_quicker_one_way()) {
      return {};
    }
    return plans->first().has_kernels_for(x) ? forward(*plans, x, out) : forward_by_tensors(*plans, x);
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    const auto plans = takes(y) && are_alike(y) ? plans_for(y[0]) : nullptr;
    if (plans == nullptr || !plans->is_quicker_one_way()) {
      return {};
    }
    return plans->first().has_kernels_for(y[0]) ? adjoint(*plans, y, out) : adjoint_by_tensors(*plans, y);
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const auto plans = plans_for(x);
    return plans != nullptr && plans->is_quicker_both_ways() ? normal(*plans, plans->power(), x, 0, 1, out)
                                                             : at::Tensor();
  }

  /// Numbers are factors of the terms of the normal form.
  at::Tensor A_adjoint_W_A(const at::Tensor& x, const TensorList& weights, const at::Tensor& out) const override {
    const auto plans = plans_for(x);
    const std::vector<double> numbers = plans != nullptr ? numbers_of(weights) : std::vector<double>();
    return numbers.empty() || !plans->is_quicker_both_ways() ? FusedStack::A_adjoint_W_A(x, weights, out)
                                                             : normal(*plans, *plans->power(numbers), x, 0, 1, out);
  }

  at::Tensor normal_form(const at::Tensor& x) const override {
    const auto plans = plans_for(x);
    if (plans == nullptr || !plans->is_quicker_both_ways() || !plans->first().has_kernels_for(x)) {
      return {};
    }
    // One filter for all images, so that the sums of all stacks have one shape.
    const at::Tensor& power = plans->power();
    return power.size(0) == 1 && power.size(1) == 1 ? power : at::Tensor();
  }

  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out) const override {
    const auto plans = plans_for(x);
    return plans != nullptr ? normal(*plans, form, x, part, parts, out) : at::Tensor();
  }

  bool has_normal_forms() const override { return true; }

 private:
  using Plan = Blur::Plan;

  /// The plans of all blurs for images of one layout.
  class Plans {
   public:
    Plans(std::vector<std::shared_ptr<const Plan>> blurs, at::IntArrayRef image_sizes)
        : blurs_(std::move(blurs)), channels_(image_sizes[1]), images_(image_sizes[0] * image_sizes[1]) {
      for (const auto& plan : blurs_) {
        one_way_time_ += plan->time();
        normal_time_ += plan->normal_time();
      }
    }

    std::size_t size() const { return blurs_.size(); }
    const Plan& operator[](std::size_t i) const { return *blurs_[i]; }
    const Plan& first() const { return *blurs_[0]; }
    const blur::Window& window() const { return first().source(); }

    // Small kernels are quicker one by one, without transforms.
    /// One transform of the image and one back for each blur, or the reverse.
    bool is_quicker_one_way() const {
      return one_way_time_ >= 0.5 * static_cast<double>(size() + 1) * first().transform_time();
    }
    bool is_quicker_both_ways() const { return normal_time_ >= first().transform_time(); }

    /// Σ |H_i|² / N; in blocks where the CPU transforms.
    const at::Tensor& power() const {
      return power_.get([&] { return lasting([&] { return sum_powers(std::vector<double>(size(), 1.0)); }); });
    }
    /// Σ w_i |H_i|² / N.
    std::shared_ptr<const at::Tensor> power(const std::vector<double>& weights) const {
      return weighted_powers_.get(0, weights, [&] { return std::make_shared<const at::Tensor>(sum_powers(weights)); });
    }
    /// All responses as one tensor; undefined where their sizes differ.
    const at::Tensor& responses() const {
      return responses_.get([&] { return lasting([&] { return stack_responses(); }); });
    }

    // Images on the CPU.
    template <class T>
    T* image(const at::Tensor& batch, std::int64_t k) const {
      return static_cast<T*>(batch.data_ptr()) + k * first().array_size(window());
    }
    /// The factors for image k, which are `numel` real numbers.
    template <class T>
    const T* factor(const at::Tensor& factors, std::int64_t numel, std::int64_t k) const {
      return static_cast<const T*>(factors.const_data_ptr()) + blur::filter_index(factors, k, channels_) * numel;
    }
    /// Blur i's response for image k.
    template <class T>
    const T* response(std::size_t i, std::int64_t k) const {
      return factor<T>(blurs_[i]->response(), 2 * first().spectrum_size(), k);
    }
    /// Calls body(workspace, begin, end) for ranges of `count` images, from `start` on, of a batch of `dtype`.
    template <class Body>
    void for_images(at::ScalarType dtype, std::int64_t start, std::int64_t count, const Body& body) const {
      kernels::with_precision_of(dtype, [&]<class T>(T) {
        blur::for_image_ranges(count, [&](std::int64_t begin, std::int64_t end) {
          blur::Workspace<T> workspace(first().grid());
          body(workspace, start + begin, start + end);
        });
      });
    }
    template <class Body>
    void for_each_image(at::ScalarType dtype, const Body& body) const {
      for_images(dtype, 0, images_, body);
    }

   private:
    at::Tensor sum_powers(const std::vector<double>& weights) const {
      at::Tensor sum = first().compute_power();
      if (weights[0] != 1.0) {
        sum.mul_(weights[0]);
      }
      for (std::size_t i = 1; i < size(); ++i) {
        // Not in place: filters of several items or channels enlarge the sum.
        sum = at::add(sum, blurs_[i]->compute_power(), weights[i]);
      }
      return first().grid().transform != nullptr ? first().in_blocks(sum) : sum;
    }
    at::Tensor stack_responses() const {
      std::vector<at::Tensor> all;
      for (const auto& plan : blurs_) {
        if (plan->response().sizes() != first().response().sizes()) {
          return {};
        }
        all.push_back(plan->response());
      }
      return at::stack(all);
    }

    std::vector<std::shared_ptr<const Plan>> blurs_;
    std::int64_t channels_;
    std::int64_t images_;
    double one_way_time_ = 0.0;  // of the plain stack
    double normal_time_ = 0.0;
    Lazy<at::Tensor> power_;
    Derived<at::Tensor, std::vector<double>> weighted_powers_;
    Lazy<at::Tensor> responses_;
  };

  /// Null where a blur refuses x.
  std::shared_ptr<const Plans> plans_for(const at::Tensor& x) const {
    const auto make = [&] { return unless_refused([&] { return make_plans(x); }); };
    return takes(x) ? plans_.get(version(), x, make) : nullptr;
  }
  std::shared_ptr<const Plans> make_plans(const at::Tensor& x) const {
    std::vector<std::shared_ptr<const Plan>> blurs;
    for (const auto& one : operators()) {
      blurs.push_back(one->plan(x, {}, false, true));
    }
    return std::make_shared<const Plans>(std::move(blurs), x.sizes());
  }
  static bool are_alike(const TensorList& y) {
    return std::ranges::all_of(y, [&](const at::Tensor& t) {
      return t.sizes() == y[0].sizes() && t.scalar_type() == y[0].scalar_type() && t.device() == y[0].device();
    });
  }

  // ---- On the CPU, image by image ----

  static TensorList forward(const Plans& plans, const at::Tensor& x, const TensorList& out) {
    TensorList y;
    y.reserve(plans.size());
    for (std::size_t i = 0; i < plans.size(); ++i) {
      y.push_back(fit_or_empty(out, i, x.sizes(), x.options()));
    }
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

  static at::Tensor adjoint(const Plans& plans, const TensorList& y, const at::Tensor& out) {
    std::vector<at::Tensor> sources;
    for (const at::Tensor& one : y) {
      sources.push_back(kernels::plain(one));
    }
    const at::Tensor x = fit_or_empty(out, y[0].sizes(), y[0].options());
    const auto adjoint = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
      const auto sum = workspace.spectrum();
      const auto spectrum = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
        for (std::size_t i = 0; i < plans.size(); ++i) {
          const T* const response = plans.response<T>(i, k);
          workspace.load(plans.image<T>(sources[i], k), plans.window(), spectrum);
          spectrum.for_each_block([&](std::int64_t offset, T* block) {
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

  static at::Tensor normal(const Plans& plans, const at::Tensor& form, const at::Tensor& x, int part, int parts,
                           const at::Tensor& out) {
    const Plan& first = plans.first();
    if (!first.has_kernels_for(x)) {
      return parts == 1 ? first.image(first.spectrum(x) * form) : at::Tensor();
    }
    const at::Tensor source = kernels::plain(x);
    const at::Tensor z = fit_or_empty(out, x.sizes(), x.options());
    const ImageRange mine = images_of_part(x.sizes(), part, parts);
    const auto normal = [&]<class T>(blur::Workspace<T>& workspace, std::int64_t begin, std::int64_t end) {
      const auto spectrum = workspace.spectrum();
      for (std::int64_t k = begin; k < end; ++k) {
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

  /// Numbers of all results up to which a GPU is quicker with all of them at once; more fill it one by one.
  static constexpr std::int64_t joint_numel = std::int64_t{1} << 24;

  /// Whether the blurs are best applied all at once: on a GPU, to small images.
  static bool joins(const Plans& plans, const at::Tensor& x) {
    return !x.is_cpu() && x.numel() * static_cast<std::int64_t>(plans.size()) <= joint_numel &&
           plans.responses().defined();
  }

  static TensorList forward_by_tensors(const Plans& plans, const at::Tensor& x) {
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

  static at::Tensor adjoint_by_tensors(const Plans& plans, const TensorList& y) {
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

  Derived<Plans, Layout> plans_;
};

std::unique_ptr<FusedStack> Blur::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto blurs = all_of_class<Blur>(operators);
  const auto fuses = [&](const auto& one) {
    return one->options_.padding == Padding::Circular && one->options_.method != ConvolutionMethod::Direct;
  };
  return blurs.empty() || !std::ranges::all_of(blurs, fuses) ? nullptr : std::make_unique<FusedBlurs>(std::move(blurs));
}

}  // namespace adjoin
