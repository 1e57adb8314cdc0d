// SPDX-License-Identifier: BSD-3-Clause
// Gradients of pseudoinverses and proximal steps by the implicit function theorem: the differential of a solve is a
// solve with the same operator.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "adjoin/core/gradients.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/solvers/krylov.hpp"
#include "core/saved_tensors.hpp"
#include "physics/solve_gradients.hpp"

namespace adjoin {

namespace {

TensorList scaled(TensorList list, const Gamma& gamma, double weight) {
  for (at::Tensor& entry : list) {
    entry = (entry * along_batch(gamma, entry) * weight).to(entry.scalar_type());
  }
  return list;
}

// Re ⟨a, b⟩ of each item, or of all together, in the shape of γ.
at::Tensor real_products(const at::Tensor& a, const at::Tensor& b, const Gamma& gamma) {
  const at::Tensor products = at::real(a.is_complex() ? a.conj() * b : a * b);
  const at::Tensor sums = gamma.is_single() ? products.sum() : products.flatten(1).sum(1);
  return sums.reshape(gamma.tensor().sizes());
}

bool any_dual(const Params& params) { return std::ranges::any_of(RecordedInputs().add(params).tensors, is_dual); }

}  // namespace

Tensors DistributedStackedLinearPhysics::parameter_gradients(
    const Params& params, const std::function<at::Tensor(const Params&)>& value) const {
  return exchange_->call("gradient", {}, [&] {
    const Tensors keywords = RecordedInputs().add(params).tensors;
    Tensors gradients;
    const auto local_gradients = [&] {
      const at::AutoGradMode recording(true);
      Tensors leaves;
      Tensors sources;
      for (const at::Tensor& tensor : keywords) {
        leaves.push_back(tensor.detach().requires_grad_(tensor.requires_grad()));
      }
      const Tensors own = parameters_.recorded() ? parameters_.tensors() : Tensors();
      for (const Tensors* const group : {&std::as_const(leaves), &own}) {
        std::ranges::copy_if(*group, std::back_inserter(sources),
                             [](const at::Tensor& t) { return t.requires_grad(); });
      }
      const at::Tensor part = value(with_tensors(params, leaves));
      Tensors found(sources.size());
      if (part.defined() && part.requires_grad()) {
        found = torch::autograd::grad({part}, sources, {}, {}, false, /*allow_unused=*/true);
      }
      auto next = found.begin();
      for (const Tensors* const group : {&std::as_const(leaves), &own}) {
        for (const at::Tensor& source : *group) {
          gradients.push_back(source.requires_grad() ? *next++ : at::Tensor());
        }
      }
    };
    Tensors wanted;
    for (const at::Tensor& tensor : keywords) {
      if (tensor.requires_grad()) {
        wanted.push_back(tensor);
      }
    }
    if (wanted.empty()) {
      local_gradients();
      return gradients;
    }
    const at::Tensor sum = exchange_->reduce(keyword_plans_->sums, [&](const at::Tensor& /*out*/) {
      local_gradients();
      Tensors parts;
      for (std::size_t k = 0; k < keywords.size(); ++k) {
        if (keywords[k].requires_grad()) {
          parts.push_back(gradients[k].defined() ? gradients[k] : at::zeros_like(keywords[k]));
        }
      }
      return joined(parts);
    });
    const Tensors sums = parted(sum, wanted);
    for (std::size_t k = 0, next = 0; k < keywords.size(); ++k) {
      if (keywords[k].requires_grad()) {
        gradients[k] = sums[next++];
      }
    }
    return gradients;
  });
}

// ---- prox_l2 -----------------------------------------------------------------------------------------------------

// x solves H x = z + γ A* y with H = γ A*A + I, A* being the adjoint under the weight w of the measurements. With
// u = H⁻¹ g the gradients of z, y, γ and of what A is made of are u, γ w A u, ⟨u, x − z⟩/γ and that of
// −γ w Re⟨A u, A x − y⟩ at fixed u and x.
at::Tensor DistributedStackedLinearPhysics::followed_prox(const at::Tensor& z, const Measurements& y,
                                                          const Gamma& gamma, const DaggerOptions& options) const {
  if (is_dual(z) || std::ranges::any_of(y.list(), is_dual) || is_dual(gamma.tensor()) || any_dual(options.params)) {
    check(!any_dual(options.params), "prox_l2: has no tangents with respect to parameters of operators");
    const TensorList primals = primals_of(y.list());
    const Gamma at_gamma = gamma.tensor().defined() ? Gamma(primal_of(gamma.tensor())) : gamma;
    const at::Tensor at_z = primal_of(z);
    const at::Tensor x = prox_l2(at_z, primals, at_gamma, options);
    at::Tensor right = is_dual(z) ? tangent_of(z) : at::zeros_like(at_z);
    if (is_dual(gamma.tensor())) {
      right = right + (x - at_z) * along_batch(Gamma(tangent_of(gamma.tensor())), x) / along_batch(at_gamma, x);
    }
    DaggerOptions again = options;
    again.init.reset();
    again.info = nullptr;
    return with_tangent(x, prox_l2(right, tangents_of(y.list()), at_gamma, again));
  }
  const bool whole = y.is_whole(*space_);
  const TensorList list = y.list();
  const Tensors keywords = RecordedInputs().add(options.params).tensors;
  const bool has_parameters = uses_followed(options.params);
  Tensors inputs = {z};
  inputs.insert(inputs.end(), list.begin(), list.end());
  if (gamma.tensor().defined()) {
    inputs.push_back(gamma.tensor());
  }
  inputs.insert(inputs.end(), keywords.begin(), keywords.end());
  if (parameters_.recorded()) {
    const Tensors routes = parameters_.routes();
    inputs.insert(inputs.end(), routes.begin(), routes.end());
  }
  DaggerOptions again = options;
  again.init.reset();
  again.info = nullptr;
  again.monitor = {};
  const auto saved = std::make_shared<SavedTensors>(Tensors{z, gamma.tensor()});
  const auto saved_y = std::make_shared<SavedTensors>(list);
  const auto forward = [&]() -> Tensors { return {prox_l2(z, y, gamma, options)}; };
  const bool y_wanted = records_gradients(list);
  const auto backward = [this, saved, saved_y, number = gamma, whole, again, has_parameters, y_wanted,
                         keep = weak_from_this().lock()](const Tensors& gradients, const Tensors& outputs) -> Tensors {
    const at::Tensor& x = outputs[0];
    check(!is_dual(gradients[0]) || (!number.tensor().defined() && !has_parameters),
          "prox_l2: its gradient with respect to gamma or parameters has no tangents");
    const Gamma at_gamma = number.tensor().defined() ? Gamma(saved->unpack()[1]) : number;
    const TensorList measurements(saved_y->unpack());
    TensorList zeros;
    for (const at::Tensor& entry : local_part("y", measurements)) {
      zeros.push_back(at::zeros_like(entry));
    }
    const at::Tensor u = prox_l2(gradients[0], zeros, at_gamma, again);
    Tensors results = {u};
    const TensorList of_y = y_wanted ? scaled(A(u, {.gather = whole, .params = again.params}), at_gamma, weight())
                                     : TensorList(measurements.size());
    results.insert(results.end(), of_y.begin(), of_y.end());
    if (at_gamma.tensor().defined()) {
      const at::Tensor slope = real_products(u, x - saved->unpack()[0], at_gamma) / at_gamma.tensor();
      results.push_back(slope.to(at_gamma.tensor().device(), at_gamma.tensor().scalar_type()));
    }
    if (has_parameters) {
      const at::Tensor at_u = u.detach();
      const at::Tensor at_x = x.detach();
      const auto value = [&](const Params& params) {
        at::Tensor sum;
        const TensorList Au = local_.A(at_u, params);
        const TensorList Ax = local_.A(at_x, params);
        const TensorList own = local_part("y", measurements);
        for (std::size_t k = 0; k < own.size(); ++k) {
          const at::Tensor residual = (Ax[k] - own[k].detach()) * along_batch(at_gamma, own[k]).detach();
          const at::Tensor term = real_product(Au[k], residual) * -weight();
          sum = sum.defined() ? sum + term : term;
        }
        return sum;
      };
      const Tensors of_parameters =
          differentiable_once({gradients[0], x}, parameter_gradients(again.params, value),
                              "prox_l2: its gradient with respect to parameters of operators");
      results.insert(results.end(), of_parameters.begin(), of_parameters.end());
    }
    return results;
  };
  return differentiable_by_outputs(inputs, forward, backward)[0];
}

// ---- A_dagger ----------------------------------------------------------------------------------------------------

// (A†)ᵀ g = w v, v the solution of minimum norm of A A* v = A g. The map is linear, and its transpose A†.
TensorList DistributedStackedLinearPhysics::dagger_transposed(const at::Tensor& g, bool whole,
                                                              const DistributedDaggerOptions& options) const {
  const auto solve = [&] {
    return exchange_->call("A_dagger", {}, [&] {
      const c10::NoGradGuard no_grad;
      check_tensor("gradient", g);
      const auto problem_of_g = problem(local_.A(g, options.params), g, options.params);
      const LinearMap<ShardedTensorList, ShardedTensorList> AA = [&](const ShardedTensorList& v) {
        return problem_of_g.A(problem_of_g.A_adjoint(v));
      };
      const SolverOptions common{.max_iter = options.max_iter, .tol = options.tol, .items = problem_of_g.items};
      ShardedTensorList v = conjugate_gradient(AA, problem_of_g.y, common).x;
      adjoin::scale(Scalars(static_cast<std::size_t>(common.items), weight()), v);
      return whole ? gather(v) : v.local;
    });
  };
  if (!records_gradients(g)) {
    return solve();
  }
  if (is_dual(g)) {
    TensorList results = dagger_transposed(primal_of(g), whole, options);
    const TensorList tangents = dagger_transposed(tangent_of(g), whole, options);
    for (std::size_t k = 0; k < results.size(); ++k) {
      results[k] = with_tangent(results[k], tangents[k]);
    }
    return results;
  }
  DistributedDaggerOptions again = options;
  const auto backward = [this, again, keep = weak_from_this().lock()](const Tensors& gradients) -> Tensors {
    return {A_dagger(TensorList(gradients), again)};
  };
  return TensorList(differentiable({g}, [&] { return solve().tensors(); }, backward));
}

// With v = (A†)* g under the weight w, u = A† v, e = y − A x, p = g − A* v and q = (A†)* x, the gradient of what A is
// made of is that of w Re(−⟨v, A x⟩ + ⟨A u, e⟩ + ⟨A p, q⟩) at fixed v, x, u, e, p and q (Golub and Pereyra, SIAM J.
// Numer. Anal. 10, 1973, for any rank that is constant); p vanishes where the stack has full column rank.
at::Tensor DistributedStackedLinearPhysics::followed_dagger(const Measurements& y,
                                                            const DistributedDaggerOptions& options) const {
  check(!records_gradients(options.init.value_or(at::Tensor())), "A_dagger: has no gradient with respect to init");
  const TensorList list = y.list();
  if (std::ranges::any_of(list, is_dual) || any_dual(options.params)) {
    check(!any_dual(options.params), "A_dagger: has no tangents with respect to parameters of operators");
    DistributedDaggerOptions again = options;
    again.init.reset();
    again.info = nullptr;
    return with_tangent(A_dagger(primals_of(list), options), A_dagger(tangents_of(list), again));
  }
  const bool whole = y.is_whole(*space_);
  const Tensors keywords = RecordedInputs().add(options.params).tensors;
  const bool has_parameters = uses_followed(options.params);
  Tensors inputs = list.tensors();
  inputs.insert(inputs.end(), keywords.begin(), keywords.end());
  if (parameters_.recorded()) {
    const Tensors routes = parameters_.routes();
    inputs.insert(inputs.end(), routes.begin(), routes.end());
  }
  DistributedDaggerOptions again = options;
  again.init.reset();
  again.info = nullptr;
  again.monitor = {};
  again.verbose = false;
  const auto saved_y = std::make_shared<SavedTensors>(has_parameters ? list : TensorList());
  const auto forward = [&]() -> Tensors { return {A_dagger(y, options)}; };
  const auto backward = [this, saved_y, whole, again, has_parameters, keep = weak_from_this().lock()](
                            const Tensors& gradients, const Tensors& outputs) -> Tensors {
    const at::Tensor& g = gradients[0];
    check(!is_dual(g) || !has_parameters, "A_dagger: its gradient with respect to parameters has no tangents");
    Tensors results = dagger_transposed(g, whole, again).tensors();
    if (has_parameters) {
      const auto of_parameters = [&] {
        const c10::NoGradGuard no_grad;
        const CallOptions local{.gather = false, .params = again.params};
        const at::Tensor x = outputs[0].detach();
        const at::Tensor at_g = g.detach();
        const TensorList all(results);
        const ShardedTensorList v = sharded(local_part("y", all) * (1.0 / weight()));
        const at::Tensor u = A_dagger(v, again);
        const at::Tensor p = at_g - A_adjoint(v, {.params = again.params});
        const TensorList measurements(saved_y->unpack());
        const TensorList own = local_part("y", measurements);
        const TensorList q = dagger_transposed(x, false, again);
        const TensorList Ax = A(x, local);
        const auto value = [&](const Params& params) {
          at::Tensor sum;
          const TensorList at_x = local_.A(x, params);
          const TensorList at_u = local_.A(u, params);
          const TensorList at_p = local_.A(p, params);
          for (std::size_t k = 0; k < own.size(); ++k) {
            const at::Tensor term =
                (real_product(at_u[k], own[k].detach() - Ax[k]) - real_product(at_x[k], v.local[k])) * weight() +
                real_product(at_p[k], q[k]);
            sum = sum.defined() ? sum + term : term;
          }
          return sum;
        };
        return parameter_gradients(again.params, value);
      };
      const Tensors found = differentiable_once({g, outputs[0]}, of_parameters(),
                                                "A_dagger: its gradient with respect to parameters of operators");
      results.insert(results.end(), found.begin(), found.end());
    }
    return results;
  };
  return differentiable_by_outputs(inputs, forward, backward)[0];
}

}  // namespace adjoin
