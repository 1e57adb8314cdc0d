// SPDX-License-Identifier: BSD-3-Clause
// Products with weights, their closed forms, and stacks of them fused block by block.
#include "adjoin/operators/diagonal.hpp"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/layout.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "core/parallel_for.hpp"
#include "kernels/weigh.hpp"
#include "operators/squares.hpp"

namespace adjoin {

Diagonal::Diagonal(const at::Tensor& weights) : Diagonal("Diagonal", "weights", weights) {}

Diagonal::Diagonal(double factor) : Diagonal(at::scalar_tensor(factor, at::kDouble)) {}

Diagonal::Diagonal(const char* name, const char* parameter, const at::Tensor& weights)
    : name_(name), parameter_(parameter), weights_(watched(checked(weights))) {
  made_of({weights_});
}

at::Tensor Diagonal::checked(const at::Tensor& weights) const {
  check(weights.defined() && weights.numel() > 0, name_, ": ", parameter_, " must be a tensor with entries");
  return weights;
}

void Diagonal::update_impl(const Params& params) {
  if (params.contains(parameter_)) {
    weights_ = watched(checked(params.get<at::Tensor>(parameter_)));
    made_of({weights_});
  }
}

at::Tensor Diagonal::weights_for(const at::Tensor& like, const Params& params) const {
  const bool given = !params.empty() && params.contains(parameter_);
  const at::Tensor weights = given ? checked(params.get<at::Tensor>(parameter_)) : weights_;
  check(at::is_expandable_to(weights.sizes(), like.sizes()), name_, ": ", parameter_, " must broadcast to the image ",
        like.sizes(), ", got ", weights.sizes());
  const at::ScalarType dtype = weights.is_complex() ? at::toComplexType(like.scalar_type()) : like.scalar_type();
  if (weights.scalar_type() == dtype && weights.device() == like.device()) {
    return weights;
  }
  if (given || records_gradients(weights)) {
    return weights.to(like.device(), dtype);
  }
  return *converted_.get(version(), std::pair(dtype, like.device()),
                         [&] { return std::make_shared<const at::Tensor>(weights.to(like.device(), dtype)); });
}

at::Tensor Diagonal::A_impl(const at::Tensor& x, const Params& params) const { return x * weights_for(x, params); }

at::Tensor Diagonal::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return y * weights_for(y, params).conj();
}

at::Tensor Diagonal::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor weights = weights_for(x, params);
  return x * weights * weights.conj();
}

at::Tensor Diagonal::A_A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return A_adjoint_A_impl(y, params);
}

at::Tensor Diagonal::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor weights = weights_for(y, params);
  return y * at::where(weights == 0, at::zeros_like(weights), weights.reciprocal());
}

std::optional<double> Diagonal::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  const double largest = weights_for(x0, params).abs().max().item<double>();
  return largest * largest;
}

at::Tensor Diagonal::image_like(const at::Tensor& y) const { return at::zeros_like(y); }

namespace {

bool has_kernel(const at::Tensor& t) {
  const at::ScalarType dtype = t.scalar_type();
  return t.device().is_cpu() && t.is_contiguous() && !t.is_conj() && !t.is_neg() &&
         (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kComplexFloat || dtype == at::kComplexDouble);
}

/// Calls body(begin, end) for blocks that stay in the first-level cache while all measurements are added up in them.
template <class Body>
void for_blocks(std::int64_t numel, const Body& body) {
  constexpr std::int64_t block = 2048;
  constexpr std::int64_t grain = 1 << 16;  // entries that are worth a thread
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (; begin < end; begin += block) {
      body(begin, std::min(end, begin + block));
    }
  };
  if (numel <= grain) {
    run(0, numel);
  } else {
    parallel_for(0, numel, grain, run);
  }
}

}  // namespace

class FusedDiagonals final : public FusedOf<Diagonal> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& out) const override {
    const auto plan = plan_for(x);
    if (plan == nullptr) {
      return {};
    }
    TensorList y(size());
    for (std::size_t i = 0; i < size(); ++i) {
      y[i] = fit_or_empty(out, i, x.sizes(), x.options());
      store(y[i], plan->weights[i], x);
    }
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    const auto alike = [&](const at::Tensor& t) {
      return t.sizes() == y[0].sizes() && t.scalar_type() == y[0].scalar_type() && has_kernel(t);
    };
    const auto plan = takes(y) && std::ranges::all_of(y, alike) ? plan_for(y[0]) : nullptr;
    if (plan == nullptr) {
      return {};
    }
    at::Tensor sum = fit_or_empty(out, y[0].sizes(), y[0].options());
    for_blocks(sum.numel(), [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < size(); ++i) {
        kernels::weigh(sum.scalar_type(), i == 0 ? kernels::Use::store_conjugate : kernels::Use::add_conjugate,
                       sum.mutable_data_ptr(), plan->weights[i], y[i].const_data_ptr(), begin, end);
      }
    });
    return sum;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const auto plan = plan_for(x);
    if (plan == nullptr || !plan->normal.defined()) {
      return {};
    }
    at::Tensor product = fit_or_empty(out, x.sizes(), x.options());
    store(product, {plan->normal.const_data_ptr(), plan->normal.numel()}, x);
    return product;
  }

  /// Numbers are factors of the squares.
  at::Tensor A_adjoint_W_residual(const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                  const at::Tensor& out) const override {
    const auto plan = plan_for(x);
    const std::vector<double> numbers = plan != nullptr && y.empty() ? numbers_of(weights) : std::vector<double>();
    const auto normal = numbers.empty() ? nullptr : plan->weighted_normals.get(0, numbers, [&] {
      return std::make_shared<const at::Tensor>(sum_squares(plan->kept, numbers));
    });
    if (normal == nullptr || !normal->defined()) {
      return FusedStack::A_adjoint_W_residual(x, y, weights, out);
    }
    at::Tensor product = fit_or_empty(out, x.sizes(), x.options());
    store(product, {normal->const_data_ptr(), normal->numel()}, x);
    return product;
  }

 private:
  /// The weights for images of one layout.
  struct Plan {
    std::vector<at::Tensor> kept;  // without leading axes of length 1
    std::vector<kernels::RepeatedWeights> weights;
    at::Tensor normal;  // Σ |w_i|², undefined where it would lose digits
    Derived<at::Tensor, std::vector<double>> weighted_normals;
  };

  static at::Tensor sum_squares(const std::vector<at::Tensor>& weights, const std::vector<double>& factors) {
    at::Tensor sum;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const at::Tensor squares = weights[i] * weights[i].conj();
      const at::Tensor term = factors[i] == 1.0 ? squares : squares * factors[i];
      sum = sum.defined() ? sum + term : term;
    }
    return keep_digits(sum) ? sum.contiguous() : at::Tensor();
  }

  static void store(at::Tensor& to, const kernels::RepeatedWeights& weights, const at::Tensor& x) {
    for_blocks(x.numel(), [&](std::int64_t begin, std::int64_t end) {
      kernels::weigh(x.scalar_type(), kernels::Use::store, to.mutable_data_ptr(), weights, x.const_data_ptr(), begin,
                     end);
    });
  }

  /// Null when the weights do not repeat along the image, or it is none for the kernels.
  std::shared_ptr<const Plan> plan_for(const at::Tensor& image) const {
    const auto make = [&] { return unless_refused([&] { return make_plan(image); }); };
    return takes(image) && has_kernel(image) ? plans_.get(version(), image, make) : nullptr;
  }

  std::shared_ptr<const Plan> make_plan(const at::Tensor& image) const {
    auto plan = std::make_shared<Plan>();
    for (const auto& op : operators()) {
      const at::Tensor weights = op->weights_for(image, {}).contiguous();
      at::IntArrayRef sizes = weights.sizes();
      while (!sizes.empty() && sizes.front() == 1) {
        sizes = sizes.slice(1);
      }
      if (weights.scalar_type() != image.scalar_type() ||
          sizes != image.sizes().slice(image.sizes().size() - sizes.size())) {
        return nullptr;
      }
      plan->weights.push_back({weights.const_data_ptr(), weights.numel()});
      plan->kept.push_back(weights.view(sizes));
    }
    plan->normal = sum_squares(plan->kept, std::vector<double>(size(), 1.0));
    return plan;
  }

  Derived<Plan, Layout> plans_;
};

std::unique_ptr<FusedStack> Diagonal::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto diagonals = all_of_class<Diagonal>(operators);
  return diagonals.empty() ? nullptr : std::make_unique<FusedDiagonals>(std::move(diagonals));
}

}  // namespace adjoin
