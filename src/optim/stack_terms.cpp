// SPDX-License-Identifier: BSD-3-Clause
// The sum over the operators that are here, of values, gradients and closed forms of the prox.
#include "adjoin/optim/stack_terms.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <typeinfo>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "optim/elementwise.hpp"

namespace adjoin::detail {

namespace {

void check_fidelity(const DataFidelityPtr& fidelity) {
  check(fidelity != nullptr, "fidelity: must be a data fidelity, got a null pointer");
}

// d(u, y) of each item.
void add_values(const DataFidelity& d, const at::Tensor& u, const at::Tensor& y, Reals& values) {
  if (values.size() == 1) {
    values[0] += d.fn(u, y).item<double>();
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto item = static_cast<std::int64_t>(i);
    values[i] += d.fn(u.narrow(0, item, 1), y.narrow(0, item, 1)).item<double>();
  }
}

}  // namespace

ItemValues StackTerms::sum(Wanted wanted, const at::Tensor& x, const TensorList& y, std::int64_t items,
                           const at::Tensor& out, const Params& params) const {
  ItemValues result{.values = Reals(static_cast<std::size_t>(items), 0.0), .grad = {}};
  if (wanted == Wanted::grad) {
    result.grad = weighted_least_squares(x, y, out, params);
    if (result.grad.defined()) {
      return result;
    }
  }
  const TensorList Ax = operators_.A(x, params);
  TensorList gradients(Ax.size());
  for (std::size_t k = 0; k < Ax.size(); ++k) {
    for_operator(static_cast<std::int64_t>(k), [&] {
      const DataFidelity& d = *fidelities_[k];
      if (wanted == Wanted::both && items == 1) {
        ValueAndGradient here = d.fn_and_grad(Ax[k], y[k]);
        result.values[0] += here.value;
        gradients[k] = std::move(here.grad);
        return;
      }
      if (wanted != Wanted::grad) {
        add_values(d, Ax[k], y[k], result.values);
      }
      if (wanted != Wanted::value) {
        gradients[k] = d.grad(Ax[k], y[k]);
      }
    });
  }
  if (wanted != Wanted::value) {
    result.grad = operators_.vjp(x, gradients, out, params);
  }
  return result;
}

at::Tensor StackTerms::weighted_least_squares(const at::Tensor& x, const TensorList& y, const at::Tensor& out,
                                              const Params& params) const {
  TensorList weights;
  bool one_each = false;
  for (const DataFidelityPtr& d : fidelities_) {
    const DataFidelity& fidelity = *d;
    const auto* l2 = typeid(fidelity) == typeid(L2) ? static_cast<const L2*>(&fidelity) : nullptr;
    if (l2 == nullptr || !operators_.weighted_residual) {
      return {};
    }
    one_each = one_each || l2->weights().defined();
    weights.push_back(l2->weights().defined() ? l2->weights() : at::scalar_tensor(l2->lipschitz(), at::kDouble));
  }
  if (!one_each || y.size() != weights.size()) {
    return {};
  }
  try {
    return operators_.weighted_residual(x, y, weights, out, params);
  } catch (const Error&) {
    return {};  // the way of all other fidelities says whose fault it is
  }
}

at::Tensor StackTerms::subset_grad(const Subset& subset, const at::Tensor& x, const TensorList& y,
                                   const Params& params) const {
  check(subset.count >= 1 && subset.index >= 0 && subset.index < subset.count,
        "subset: must have 0 ≤ index < count, got index ", subset.index, " and count ", subset.count);
  at::Tensor total;
  for (std::size_t k = 0; k < fidelities_.size(); ++k) {
    if (indices_[k] % subset.count == subset.index) {
      for_operator(static_cast<std::int64_t>(k), [&] {
        const Physics& physics = operators_.one(k);
        const Params own = operators_.taken(k, params);
        const at::Tensor here = physics.A_vjp(x, fidelities_[k]->grad(physics.A(x, own), y[k]), own);
        total = total.defined() ? total + here : here;
      });
    }
  }
  return total;
}

at::Tensor StackTerms::dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma, double weight,
                                 const at::Tensor& out, const Params& params) const {
  check_step("dual_step", "sigma", sigma);
  const TensorList Ax = operators_.A(x, params);
  check(u.empty() || u.size() == Ax.size(), "dual_step: u must hold ", Ax.size(), " tensors or none, got ", u.size());
  TensorList next(Ax.size());
  for (std::size_t k = 0; k < Ax.size(); ++k) {
    for_operator(static_cast<std::int64_t>(k), [&] {
      // With v = u + σ A x: v − σ prox_{weight d/σ}(v/σ) (Moreau).
      const at::Tensor v = u.empty() ? Ax[k] : at::add(Ax[k], u[k], 1.0 / sigma);
      next[k] = (v - fidelities_[k]->prox(v, y[k], weight / sigma)).mul_(sigma);
    });
  }
  at::Tensor image = operators_.vjp(x, next, out, params);
  u = std::move(next);
  return image;
}

double StackTerms::lipschitz() const {
  double largest = 0.0;
  for (const DataFidelityPtr& d : fidelities_) {
    largest = std::max(largest, d->lipschitz());
  }
  return largest;
}

double StackTerms::sigma() const {
  double common = 0.0;
  for (const DataFidelityPtr& d : fidelities_) {
    const auto* l2 = dynamic_cast<const L2*>(d.get());
    if (l2 == nullptr || (common != 0.0 && l2->sigma() != common)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    common = l2->sigma();
  }
  return common;
}

std::vector<DataFidelityPtr> one_for_all(const DataFidelityPtr& fidelity, const std::vector<std::int64_t>& indices) {
  check_fidelity(fidelity);
  return std::vector<DataFidelityPtr>(indices.size(), fidelity);
}

std::vector<DataFidelityPtr> picked(const std::vector<DataFidelityPtr>& all, const std::vector<std::int64_t>& indices,
                                    std::int64_t n) {
  check(static_cast<std::int64_t>(all.size()) == n, "fidelities: must hold one for each of ", n, " operators, got ",
        all.size());
  std::vector<DataFidelityPtr> own;
  for (const std::int64_t i : indices) {
    own.push_back(all[static_cast<std::size_t>(i)]);
    check_fidelity(own.back());
  }
  return own;
}

std::vector<DataFidelityPtr> made(const DataFidelityFactory& factory, const std::vector<std::int64_t>& indices,
                                  at::Device device) {
  check(static_cast<bool>(factory), "factory: must be callable, got an empty function");
  std::vector<DataFidelityPtr> own;
  for (const std::int64_t i : indices) {
    for_operator(static_cast<std::int64_t>(own.size()), [&] {
      own.push_back(factory(i, device));
      check_fidelity(own.back());
    });
  }
  return own;
}

double factor_of(Reduction reduction, std::int64_t n) {
  return reduction == Reduction::mean && n > 0 ? 1.0 / static_cast<double>(n) : 1.0;
}

at::Tensor scaled(const at::Tensor& sum, double factor) { return !sum.defined() || factor == 1.0 ? sum : sum * factor; }

double prox_weight(double gamma, double sigma, double weight) {
  check_step("prox", "gamma", gamma);
  check(!std::isnan(sigma), "prox: every fidelity must be L2 with one sigma");
  return sigma > 0.0 ? gamma * weight / (sigma * sigma) : gamma;
}

TensorList in_precision_of(const at::Tensor& x, const TensorList& y) {
  const at::ScalarType real = c10::toRealValueType(x.scalar_type());
  TensorList result;
  for (const at::Tensor& entry : y) {
    result.push_back(entry.defined() ? entry.to(entry.is_complex() ? c10::toComplexType(real) : real) : entry);
  }
  return result;
}

at::Tensor value_with_gradient(const at::Tensor& x, const std::function<ItemValues()>& both) {
  const auto saved = std::make_shared<at::Tensor>();
  const auto forward = [&] {
    const ItemValues here = both();
    *saved = here.grad;
    return std::vector<at::Tensor>{at::full({}, here.values[0], x.options().dtype(at::kDouble).requires_grad(false))};
  };
  const auto backward = [saved](const std::vector<at::Tensor>& gradients) {
    return std::vector<at::Tensor>{*saved * gradients[0].to(saved->scalar_type())};
  };
  return differentiable({x}, forward, backward)[0];
}

}  // namespace adjoin::detail
