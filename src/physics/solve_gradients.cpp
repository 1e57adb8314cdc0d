// SPDX-License-Identifier: BSD-3-Clause
// Solves as nodes of autograd, backwards and forwards, for measurements of any vector type.
#include "physics/solve_gradients.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/solvers/krylov.hpp"
#include "core/duals.hpp"
#include "core/saved_tensors.hpp"

namespace adjoin {

namespace {

// Measurements of any vector type as tensors, and back.
Tensors entries(const at::Tensor& y) { return {y}; }
Tensors entries(const TensorList& y) { return y.tensors(); }
Tensors entries(const ShardedTensorList& y) { return y.local.tensors(); }
at::Tensor with_entries(const at::Tensor& /*like*/, const Tensors& entries) { return entries[0]; }
TensorList with_entries(const TensorList& /*like*/, const Tensors& entries) { return TensorList(entries); }
ShardedTensorList with_entries(const ShardedTensorList& like, const Tensors& entries) {
  return {.local = TensorList(entries), .space = like.space};
}

// The weight of their inner product.
double weight_of(const ShardedTensorList& y) { return y.space->weight; }
template <class Y>
double weight_of(const Y& /*y*/) {
  return 1.0;
}

Tensors part(const Tensors& all, std::size_t from, std::size_t count) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(from);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

void append(Tensors& all, const Tensors& more) { all.insert(all.end(), more.begin(), more.end()); }

bool any_recorded(const Tensors& tensors) {
  return std::ranges::any_of(tensors, [](const at::Tensor& t) { return records_gradients(t); });
}

// Options for the solves of derivatives.
DaggerOptions without_start(const DaggerOptions& options) {
  DaggerOptions again = options;
  again.init.reset();
  again.info = nullptr;
  again.monitor = {};
  again.verbose = false;
  return again;
}

template <class Y>
LeastSquaresProblem<Y> for_measurements(const LeastSquaresProblem<Y>& problem, const Tensors& y) {
  LeastSquaresProblem<Y> other = problem;
  other.y = with_entries(problem.y, y);
  other.A_adjoint_y = at::Tensor();
  return other;
}

template <class Y>
Tensors images_of(const LeastSquaresProblem<Y>& problem, const at::Tensor& x) {
  return entries(problem.A(x));
}

// The leaves that A is made of, by what its adjoint records, which is Aᵀ y.
template <class Y>
Tensors leaves_of_problem(LeastSquaresProblem<Y>& problem, const char* method) {
  if (!problem.A_adjoint_y.defined()) {
    Tensors fixed;
    for (const at::Tensor& entry : entries(problem.y)) {
      fixed.push_back(primal_of(entry).detach());
    }
    problem.A_adjoint_y = problem.A_adjoint(with_entries(problem.y, fixed));
  }
  check(!is_dual(problem.A_adjoint_y), method, ": has no tangents with respect to parameters of operators");
  const Tensors leaves = c10::GradMode::is_enabled() ? leaves_of({problem.A_adjoint_y}) : Tensors();
  problem.A_adjoint_y = problem.A_adjoint_y.detach();
  return leaves;
}

// A† and its transpose, as operations of measurements or images, and of what A is made of. Both are linear, and each is
// the other's derivative. Held by what autograd recorded of it.
template <class Y>
class Pseudoinverse : public std::enable_shared_from_this<Pseudoinverse<Y>> {
 public:
  Pseudoinverse(LeastSquaresProblem<Y> problem, DaggerOptions options, const Tensors& leaves)
      : problem_(std::move(problem)),
        options_(std::move(options)),
        leaves_(leaves),
        count_(entries(problem_.y).size()) {}

  /// The solution for y, the first one by `options`, which may have a start.
  at::Tensor applied(const Tensors& y, const DaggerOptions& options) const {
    const TensorList list(y);
    const Tensors primals = primals_of(list).tensors();
    const auto forward = [&]() -> Tensors {
      return {solve_least_squares(for_measurements(problem_, primals), options)};
    };
    const auto backward = [self = this->shared_from_this(), y = saved(y)](const Tensors& gradients) {
      Tensors results = self->transposed(gradients[0]);
      append(results, self->slopes(gradients[0], y->unpack()));
      return results;
    };
    const at::Tensor x = recorded(primals, forward, backward)[0];
    return std::ranges::any_of(y, is_dual) ? with_tangent(x, applied(tangents_of(list).tensors(), options_)) : x;
  }

 private:
  Tensors leaves() const { return leaves_.unpack(); }

  // What slopes need, with their tangents.
  std::shared_ptr<SavedTensors> saved(const Tensors& tensors) const {
    return std::make_shared<SavedTensors>(leaves().empty() ? Tensors() : tensors);
  }

  template <class Forward, class Backward>
  Tensors recorded(Tensors inputs, const Forward& forward, const Backward& backward) const {
    append(inputs, leaves());
    return differentiable(inputs, forward, backward);
  }

  // (A†)ᵀ g = w v, v the solution of minimum norm of A A* v = A g, A* being the adjoint under the weight w.
  Tensors transposed(const at::Tensor& g) const {
    const at::Tensor at_g = primal_of(g);
    const auto forward = [&] {
      const LinearMap<Y, Y> AA = [&](const Y& v) { return problem_.A(problem_.A_adjoint(v)); };
      const SolverOptions common{.max_iter = options_.max_iter, .tol = options_.tol, .items = problem_.items};
      Tensors v = entries(conjugate_gradient(AA, problem_.A(at_g), common).x);
      for (at::Tensor& entry : v) {
        entry = entry * weight_of(problem_.y);
      }
      return v;
    };
    const auto backward = [self = this->shared_from_this(), g = saved({g})](const Tensors& y) {
      Tensors results = {self->applied(y, self->options_)};
      if (const Tensors at = g->unpack(); !at.empty()) {
        append(results, self->slopes(at[0], y));
      }
      return results;
    };
    Tensors v = recorded({at_g}, forward, backward);
    if (is_dual(g)) {
      const Tensors tangents = transposed(tangent_of(g));
      for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] = with_tangent(v[k], tangents[k]);
      }
    }
    return v;
  }

  // The gradients of Re ⟨g, A† y⟩ with respect to what A is made of. With v = (A†)* g, x = A† y, u = A† v, e = y − A x,
  // p = g − A* v and q = (A†)* x they are those of w Re(−⟨v, A x⟩ + ⟨A u, e⟩ + ⟨A p, q⟩) at fixed v, x, u, e, p and q
  // (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973, for any rank that is constant).
  Tensors slopes(const at::Tensor& g, const Tensors& y) const {
    const Tensors leaves = this->leaves();
    if (leaves.empty()) {
      return {};
    }
    const double weight = weight_of(problem_.y);
    Tensors v = transposed(g);
    for (at::Tensor& entry : v) {
      entry = entry * (1.0 / weight);
    }
    const at::Tensor x = applied(y, options_);
    const at::Tensor u = applied(v, options_);
    const at::Tensor p = g - problem_.A_adjoint(with_entries(problem_.y, v));
    Tensors fixed = {x, u, p};
    append(fixed, v);
    const Tensors Ax = images_of(problem_, x);
    for (std::size_t k = 0; k < count_; ++k) {
      fixed.push_back(y[k] - Ax[k]);
    }
    append(fixed, transposed(x));
    const auto value = [self = this->shared_from_this(), weight](const Tensors& at) {
      const Tensors at_x = images_of(self->problem_, at[0]);
      const Tensors at_u = images_of(self->problem_, at[1]);
      const Tensors at_p = images_of(self->problem_, at[2]);
      const std::size_t n = self->count_;
      at::Tensor sum = real_product(at_p[0], at[3 + 2 * n]);
      for (std::size_t k = 0; k < n; ++k) {
        sum = sum + (real_product(at_u[k], at[3 + n + k]) - real_product(at_x[k], at[3 + k])) * weight;
        sum = k == 0 ? sum : sum + real_product(at_p[k], at[3 + 2 * n + k]);
      }
      return sum;
    };
    return part(partial_gradients(fixed, leaves, value), fixed.size(), leaves.size());
  }

  LeastSquaresProblem<Y> problem_;
  DaggerOptions options_;
  SavedTensors leaves_;
  std::size_t count_;
};

}  // namespace

at::Tensor along_batch(const Gamma& gamma, const at::Tensor& like) {
  if (!gamma.tensor().defined()) {
    return at::scalar_tensor(gamma.values()[0], at::TensorOptions(at::kDouble).device(like.device()));
  }
  std::vector<std::int64_t> shape(gamma.is_single() ? 0 : static_cast<std::size_t>(like.dim()), 1);
  if (!shape.empty()) {
    shape[0] = static_cast<std::int64_t>(gamma.values().size());
  }
  return gamma.tensor().to(like.device(), c10::toRealValueType(like.scalar_type())).reshape(shape);
}

at::Tensor real_product(const at::Tensor& a, const at::Tensor& b) {
  return a.is_complex() || b.is_complex() ? at::real(a.conj() * b).sum() : (a * b).sum();
}

template <class Y>
at::Tensor followed_least_squares(const LeastSquaresProblem<Y>& problem, const DaggerOptions& options) {
  const Tensors y = entries(problem.y);
  if (!c10::GradMode::is_enabled() && !any_recorded(y)) {
    return {};
  }
  LeastSquaresProblem<Y> own = problem;
  const Tensors leaves = leaves_of_problem(own, "A_dagger");
  check(!records_gradients(options.init.value_or(at::Tensor())), "A_dagger: has no gradient with respect to init");
  if (leaves.empty() && !any_recorded(y)) {
    const c10::NoGradGuard no_grad;
    return solve_least_squares(own, options);
  }
  const auto pseudoinverse = std::make_shared<const Pseudoinverse<Y>>(own, without_start(options), leaves);
  return pseudoinverse->applied(y, options);
}

// x solves H x = z + γ A* y with H = γ A*A + I, A* being the adjoint under the weight w of the measurements. With
// u = H⁻¹ g the gradients are those of Re⟨u, z⟩ + γ w Re⟨A u, y − A x⟩ at fixed u and x.
template <class Y>
at::Tensor followed_prox_l2(const LeastSquaresProblem<Y>& problem, const at::Tensor& z, const Gamma& gamma,
                            const DaggerOptions& options) {
  const Tensors y = entries(problem.y);
  Tensors points = y;
  if (gamma.tensor().defined()) {
    points.push_back(gamma.tensor());
  }
  const bool given = records_gradients(z) || any_recorded(points);
  if (!c10::GradMode::is_enabled() && !given) {
    return {};
  }
  LeastSquaresProblem<Y> own = problem;
  const Tensors leaves = leaves_of_problem(own, "prox_l2");
  if (leaves.empty() && !given) {
    const c10::NoGradGuard no_grad;
    return solve_prox_l2(own, z, gamma, options);
  }
  const DaggerOptions again = without_start(options);
  const TensorList list(y);
  const at::Tensor at_z = primal_of(z);
  const Gamma at_gamma = gamma.tensor().defined() ? Gamma(primal_of(gamma.tensor())) : gamma;
  own.y = with_entries(own.y, primals_of(list).tensors());
  Tensors inputs = {at_z};
  for (const at::Tensor& point : points) {
    inputs.push_back(primal_of(point));
  }
  append(inputs, leaves);
  // The solution with its tangent, for derivatives of the backward pass; without its history, which leads here.
  const auto dual = std::make_shared<at::Tensor>();
  const auto forward = [&]() -> Tensors { return {solve_prox_l2(own, at_z, at_gamma, options)}; };
  const auto backward =
      [own, again, dual, number = gamma, count = y.size(), saved = std::make_shared<SavedTensors>(points),
       saved_leaves = std::make_shared<SavedTensors>(leaves)](const Tensors& gradients, const Tensors& outputs) {
        const at::Tensor x = is_dual(*dual) ? with_tangent(outputs[0], tangent_of(*dual)) : outputs[0];
        const Tensors at = saved->unpack();
        const Tensors at_leaves = saved_leaves->unpack();
        const Gamma its_gamma = number.tensor().defined() ? Gamma(at.back()) : number;
        const Tensors zeros = entries(adjoin::zeros_like(own.y));
        const at::Tensor u = solve_prox_l2(for_measurements(own, zeros), gradients[0], its_gamma, again);
        Tensors fixed = {u, x};
        append(fixed, at);
        const auto value = [own, number, count](const Tensors& all) {
          const Gamma weight = number.tensor().defined() ? Gamma(all.back()) : number;
          const Tensors at_u = images_of(own, all[0]);
          const Tensors at_x = images_of(own, all[1]);
          at::Tensor sum;
          for (std::size_t k = 0; k < count; ++k) {
            const at::Tensor residual = (all[2 + k] - at_x[k]) * along_batch(weight, at_x[k]);
            const at::Tensor term = real_product(at_u[k], residual) * weight_of(own.y);
            sum = sum.defined() ? sum + term : term;
          }
          return sum;
        };
        Tensors results = {u};
        const Tensors slopes = partial_gradients(fixed, at_leaves, value);
        append(results, part(slopes, 2, slopes.size() - 2));
        return results;
      };
  const at::Tensor x = differentiable_by_outputs(inputs, forward, backward)[0];
  if (!is_dual(z) && std::ranges::none_of(points, is_dual)) {
    return x;
  }
  at::Tensor right = is_dual(z) ? tangent_of(z) : at::zeros_like(at_z);
  if (is_dual(gamma.tensor())) {
    right = right + (x - at_z) * along_batch(Gamma(tangent_of(gamma.tensor())), x) / along_batch(at_gamma, x);
  }
  const at::Tensor its = solve_prox_l2(for_measurements(own, tangents_of(list).tensors()), right, at_gamma, again);
  *dual = with_tangent(x.detach(), its.detach());
  return with_tangent(x, its);
}

#define ADJOIN_INSTANTIATE(Y)                                                                          \
  template at::Tensor followed_least_squares(const LeastSquaresProblem<Y>&, const DaggerOptions&);     \
  template at::Tensor followed_prox_l2(const LeastSquaresProblem<Y>&, const at::Tensor&, const Gamma&, \
                                       const DaggerOptions&);

ADJOIN_INSTANTIATE(at::Tensor)
ADJOIN_INSTANTIATE(TensorList)
ADJOIN_INSTANTIATE(ShardedTensorList)
#undef ADJOIN_INSTANTIATE

}  // namespace adjoin
