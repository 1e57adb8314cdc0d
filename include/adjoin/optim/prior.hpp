// SPDX-License-Identifier: BSD-3-Clause
// Priors g(x), which say what images are like.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "adjoin/core/recipe.hpp"
#include "adjoin/core/sharded_image.hpp"

namespace adjoin {

/// A prior g with any of a value, a gradient and a prox; asking for one it lacks throws InvalidArgument. Public methods
/// validate; `…_impl` do the work. Results are cut off from autograd where a prior does not say otherwise.
class Prior {
 public:
  virtual ~Prior() = default;

  /// Name for messages, such as "TotalVariation".
  virtual std::string name() const = 0;
  /// How to make another like this one; copies and files are made so.
  virtual Recipe recipe() const { return {.maker = name()}; }
  /// Whether g(x) can be evaluated; a denoiser used as a prior has no value.
  virtual bool explicit_prior() const { return true; }

  /// g(x), summed over the batch: a scalar tensor of dtype double.
  at::Tensor fn(const at::Tensor& x) const;
  /// ∇g(x), of the shape of x.
  at::Tensor grad(const at::Tensor& x) const;
  /// argmin_v γ g(v) + 1/2 ‖v − x‖², γ > 0 and finite.
  at::Tensor prox(const at::Tensor& x, double gamma) const;
  /// prox of γ (λ g)*, with * the convex conjugate, by Moreau's identity x − γ prox_{λ g/γ}(x/γ). For convex g.
  at::Tensor prox_conjugate(const at::Tensor& x, double gamma, double lambda = 1.0) const;

  // ---- Sharded images: every rank calls these with its slab ----
  // A prior that acts on numbers acts on slabs, with a few numbers sent for the value and none else; others say what
  // they need of the slabs of other ranks, which by default is everything: the image is gathered, and the result is
  // cut. What fails on one rank is thrown on all. Not differentiable.

  at::Tensor fn(const ShardedImage& x) const;
  ShardedImage grad(const ShardedImage& x) const;
  ShardedImage prox(const ShardedImage& x, double gamma) const;
  /// Whether g treats every number by itself and g(x) is the sum over the numbers.
  virtual bool acts_on_numbers() const { return false; }

  /// Whether its prox needs little or nothing of the slabs of other ranks.
  virtual bool acts_on_slabs() const { return acts_on_numbers(); }

  /// The Lipschitz constant of ∇g; infinite where there is none.
  virtual double lipschitz() const { return std::numeric_limits<double>::infinity(); }

  /// While one lives, an algorithm iterates, and a prox may begin where the one before it ended. Otherwise what a prox
  /// returns does not depend on what came before.
  class Iterating {
   public:
    explicit Iterating(const Prior& prior) : prior_(prior) { prior.begin_iterating(); }
    Iterating(const Iterating&) = delete;
    Iterating& operator=(const Iterating&) = delete;
    ~Iterating() { prior_.end_iterating(); }

   private:
    const Prior& prior_;
  };

 protected:
  virtual at::Tensor fn_impl(const at::Tensor& x) const;
  virtual at::Tensor grad_impl(const at::Tensor& x) const;
  virtual at::Tensor prox_impl(const at::Tensor& x, double gamma) const;
  virtual at::Tensor fn_of_slab(const ShardedImage& x) const;
  virtual ShardedImage prox_of_slab(const ShardedImage& x, double gamma) const;
  virtual void begin_iterating() const {}
  virtual void end_iterating() const {}

  [[noreturn]] void lacks(const char* what) const;

 private:
  void check_slab(const ShardedImage& x) const;
};

using PriorPtr = std::shared_ptr<const Prior>;

/// g = 0.
class ZeroPrior : public Prior {
 public:
  std::string name() const override { return "ZeroPrior"; }
  double lipschitz() const override { return 0.0; }
  bool acts_on_numbers() const override { return true; }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor grad_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;
};

/// 1/2 ‖x‖². The value is differentiable.
class Tikhonov : public Prior {
 public:
  std::string name() const override { return "Tikhonov"; }
  double lipschitz() const override { return 1.0; }
  bool acts_on_numbers() const override { return true; }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor grad_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;
};

/// ‖x‖₁; the gradient is a subgradient. The value is differentiable.
class L1Prior : public Prior {
 public:
  std::string name() const override { return "L1Prior"; }
  bool acts_on_numbers() const override { return true; }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor grad_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;
};

/// The indicator of lower ≤ x ≤ upper, of real images: 0 within, infinite without; the prox is the projection. Bounds
/// may be infinite.
class Box : public Prior {
 public:
  Box(double lower, double upper);
  std::string name() const override { return "Box"; }
  bool acts_on_numbers() const override { return true; }
  Recipe recipe() const override { return {.maker = name(), .arguments = {{"lower", lower_}, {"upper", upper_}}}; }

 protected:
  at::Tensor fn_impl(const at::Tensor& x) const override;
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;

 private:
  double lower_;
  double upper_;
};

/// The indicator of x ≥ 0, of real images.
class Positivity : public Box {
 public:
  Positivity();
  std::string name() const override { return "Positivity"; }
  Recipe recipe() const override { return {.maker = name()}; }
};

/// A denoiser: the image without its noise of standard deviation sigma. It must keep shape and dtype, and, among
/// several ranks, give every rank the same image.
using Denoiser = std::function<at::Tensor(const at::Tensor& x, double sigma)>;

/// Plug-and-play (Venkatakrishnan, Bouman and Wohlberg, GlobalSIP 2013): the denoiser stands for the prox, since
/// prox_{γ g}(x) is the most likely image where x is it plus noise of variance γ.
class PnP : public Prior {
 public:
  /// `sigma`: the strength of the denoiser, the same at every call; by default √γ, which lets a schedule of steps, as
  /// of half-quadratic splitting, set the strength.
  explicit PnP(Denoiser denoiser, std::optional<double> sigma = {});
  std::string name() const override { return "PnP"; }
  /// None: a function cannot say how it was made.
  Recipe recipe() const override { return {}; }
  const Denoiser& denoiser() const { return denoiser_; }
  std::optional<double> sigma() const { return sigma_; }
  bool explicit_prior() const override { return false; }

 protected:
  at::Tensor prox_impl(const at::Tensor& x, double gamma) const override;

 private:
  Denoiser denoiser_;
  std::optional<double> sigma_;
};

/// Regularisation by denoising (Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10, 2017): ∇g(x) = x − D(x).
class RED : public Prior {
 public:
  RED(Denoiser denoiser, double sigma);
  std::string name() const override { return "RED"; }
  /// None: a function cannot say how it was made.
  Recipe recipe() const override { return {}; }
  const Denoiser& denoiser() const { return denoiser_; }
  double sigma() const { return sigma_; }
  bool explicit_prior() const override { return false; }
  /// 2, as for a denoiser that never moves two images apart.
  double lipschitz() const override { return 2.0; }

 protected:
  at::Tensor grad_impl(const at::Tensor& x) const override;

 private:
  Denoiser denoiser_;
  double sigma_;
};

}  // namespace adjoin
