// SPDX-License-Identifier: BSD-3-Clause
// Circular blurs of one image, which share its transform.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <memory>
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

  TensorList A(const at::Tensor& x, const TensorList& out) const override;
  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override;
  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override;
  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const at::Tensor& out) const override;
  at::Tensor normal_form(const at::Tensor& x) const override;
  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out) const override;
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
    std::int64_t images() const { return images_; }
    const Plan& operator[](std::size_t i) const { return *blurs_[i]; }
    const Plan& first() const { return *blurs_[0]; }
    const blur::Window& window() const { return first().source(); }

    // Small kernels are quicker one by one, without transforms.
    /// One transform of the image and one back for each blur, or the reverse.
    bool is_quicker_one_way() const {
      return one_way_time_ >= 0.5 * static_cast<double>(size() + 1) * first().transform_time();
    }
    bool is_quicker_both_ways() const { return normal_time_ >= first().transform_time(); }

    /// Σ |H_i|² / N; in blocks where the CPU transforms. Undefined where it would lose digits.
    const at::Tensor& power() const {
      return power_.get([&] { return lasting([&] { return sum_powers(std::vector<double>(size(), 1.0)); }); });
    }
    /// The same in memory of the caller's own: for sums over stacks, of which nobody needs the terms again.
    at::Tensor new_power() const {
      return lasting(
          [&] { return power_.is_ready() ? power().clone() : sum_powers(std::vector<double>(size(), 1.0)); });
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
      return static_cast<T*>(batch.data_ptr()) + k * numel();
    }
    /// Real numbers of an image.
    std::int64_t numel() const { return first().array_size(window()); }
    /// Elements behind a result for which the spectrum of its last image lies in its memory.
    std::int64_t room() const {
      const std::int64_t spectrum = 2 * first().spectrum_size();
      return std::max<std::int64_t>(0, spectrum - numel()) / first().grid().step() + 1;
    }
    /// The memory of `result` where the spectra of its images up to `end` may lie in it, each from its image's
    /// beginning on, while they are computed one after the other: it goes on behind the last (FusedStack), and the
    /// images fill the grid and whole cache lines. Else null.
    template <class T>
    T* place_for_spectra(const at::Tensor& result, std::int64_t end) const {
      constexpr std::size_t line = 64;
      T* const images = image<T>(result, 0);
      const auto bytes = static_cast<std::size_t>(numel()) * sizeof(T);
      const bool fill_lines = reinterpret_cast<std::uintptr_t>(images) % line == 0 && bytes % line == 0;
      const std::size_t needed = (static_cast<std::size_t>(end) - 1) * bytes +
                                 static_cast<std::size_t>(2 * first().spectrum_size()) * sizeof(T);
      const std::size_t there =
          result.storage().nbytes() - static_cast<std::size_t>(result.storage_offset()) * result.element_size();
      return window().size == first().grid().size && fill_lines && needed <= there ? images : nullptr;
    }
    /// The factors for image k, which are `numel` real numbers.
    template <class T>
    const T* factor(const at::Tensor& factors, std::int64_t numel, std::int64_t k) const {
      return static_cast<const T*>(factors.const_data_ptr()) + blur::filter_index(factors, k, channels_) * numel;
    }
    /// Those of all blurs, ahead of what else takes memory while they are used.
    void make_responses() const {
      for (const auto& plan : blurs_) {
        plan->response();
      }
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
    at::Tensor sum_powers(const std::vector<double>& weights) const;
    at::Tensor stack_responses() const;

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
  std::shared_ptr<const Plans> plans_for(const at::Tensor& x) const;

  // On the CPU, image by image.
  static TensorList forward(const Plans& plans, const at::Tensor& x, const TensorList& out);
  static at::Tensor adjoint(const Plans& plans, const TensorList& y, const at::Tensor& out);
  /// A measurement is there a row at a time, between the transforms of A and those of the adjoint.
  static at::Tensor residual(const Plans& plans, const at::Tensor& x, const TensorList& y, const TensorList& weights,
                             const at::Tensor& out);
  /// Elsewhere, too.
  static at::Tensor normal(const Plans& plans, const at::Tensor& form, const at::Tensor& x, int part, int parts,
                           const at::Tensor& out);

  // Elsewhere, by tensor operations.
  /// Whether the blurs are best applied all at once: on a GPU, to small images.
  static bool joins(const Plans& plans, const at::Tensor& x);
  static TensorList forward_by_tensors(const Plans& plans, const at::Tensor& x);
  static at::Tensor adjoint_by_tensors(const Plans& plans, const TensorList& y);

  Derived<Plans, Layout> plans_;
};

}  // namespace adjoin
