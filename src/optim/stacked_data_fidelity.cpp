#include "adjoin/optim/stacked_data_fidelity.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cmath>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/distributed/autograd.hpp"
#include "optim/elementwise.hpp"

namespace adjoin {

namespace {

using Wanted = detail::StackTerms::Wanted;

double factor_of(Reduction reduction, std::int64_t n) {
  return reduction == Reduction::mean && n > 0 ? 1.0 / static_cast<double>(n) : 1.0;
}

std::vector<std::int64_t> counting(std::size_t n) {
  std::vector<std::int64_t> indices(n);
  for (std::size_t i = 0; i < n; ++i) {
    indices[i] = static_cast<std::int64_t>(i);
  }
  return indices;
}

void check_fidelity(const DataFidelityPtr& fidelity) {
  check(fidelity != nullptr, "fidelity: must be a data fidelity, got a null pointer");
}

// The fidelities of the operators `indices` of n.
std::vector<DataFidelityPtr> same_for_all(const DataFidelityPtr& fidelity, const std::vector<std::int64_t>& indices) {
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

void check_subset(const Subset& subset) {
  check(subset.count >= 1 && subset.index >= 0 && subset.index < subset.count,
        "subset: must have 0 ≤ index < count, got index ", subset.index, " and count ", subset.count);
}

// What prox_l2 needs for γ: γ weight / σ².
double prox_weight(double gamma, double sigma, double weight) {
  check_step("prox", "gamma", gamma);
  check(!std::isnan(sigma), "prox: every fidelity must be L2 with one sigma");
  return sigma > 0.0 ? gamma * weight / (sigma * sigma) : gamma;
}

at::Tensor scaled(const at::Tensor& sum, double factor) { return !sum.defined() || factor == 1.0 ? sum : sum * factor; }

// The value as one differentiable operation of x; `both` gives value and gradient.
template <class Both>
at::Tensor value_with_gradient(const at::Tensor& x, const Both& both) {
  const auto saved = std::make_shared<at::Tensor>();
  const auto forward = [&] {
    const ValueAndGradient here = both();
    *saved = here.grad;
    return std::vector<at::Tensor>{at::full({}, here.value, x.options().dtype(at::kDouble).requires_grad(false))};
  };
  const auto backward = [saved](const std::vector<at::Tensor>& gradients) {
    return std::vector<at::Tensor>{*saved * gradients[0].to(saved->scalar_type())};
  };
  return differentiable({x}, forward, backward)[0];
}

}  // namespace

// ---- Terms of one process ----------------------------------------------------------------------------------------

namespace detail {

ValueAndGradient StackTerms::sum(Wanted wanted, const StackedLinearPhysics& operators, const at::Tensor& x,
                                 const TensorList& Ax, const TensorList& y, const at::Tensor& out,
                                 const Params& params) const {
  ValueAndGradient result;
  TensorList gradients(Ax.size());
  for (std::size_t k = 0; k < Ax.size(); ++k) {
    for_operator(static_cast<std::int64_t>(k), [&] {
      const DataFidelity& d = *fidelities_[k];
      if (wanted == Wanted::value) {
        result.value += d.fn(Ax[k], y[k]).item<double>();
      } else if (wanted == Wanted::grad) {
        gradients[k] = d.grad(Ax[k], y[k]);
      } else {
        ValueAndGradient here = d.fn_and_grad(Ax[k], y[k]);
        result.value += here.value;
        gradients[k] = std::move(here.grad);
      }
    });
  }
  if (wanted != Wanted::value) {
    result.grad = operators.A_vjp_sum(x, gradients, out, params);
  }
  return result;
}

at::Tensor StackTerms::subset_grad(const Subset& subset, const StackedLinearPhysics& operators, const at::Tensor& x,
                                   const TensorList& y, const Params& params) const {
  at::Tensor total;
  for (std::size_t k = 0; k < fidelities_.size(); ++k) {
    if (indices_[k] % subset.count == subset.index) {
      for_operator(static_cast<std::int64_t>(k), [&] {
        const at::Tensor here = operators[k].A_vjp(x, fidelities_[k]->grad(operators[k].A(x, params), y[k]), params);
        total = total.defined() ? total + here : here;
      });
    }
  }
  return total;
}

TensorList StackTerms::dual_step(const TensorList& u, const TensorList& Ax, const TensorList& y, double sigma,
                                 double weight) const {
  check(u.empty() || u.size() == Ax.size(), "dual_step: u must hold ", Ax.size(), " tensors or none, got ", u.size());
  TensorList result(Ax.size());
  for (std::size_t k = 0; k < Ax.size(); ++k) {
    for_operator(static_cast<std::int64_t>(k), [&] {
      // With v = u + σ A x: v − σ prox_{weight d/σ}(v/σ) (Moreau).
      const at::Tensor v = u.empty() ? Ax[k] : at::add(Ax[k], u[k], 1.0 / sigma);
      result[k] = (v - fidelities_[k]->prox(v, y[k], weight / sigma)).mul_(sigma);
    });
  }
  return result;
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

}  // namespace detail

// ---- One process -------------------------------------------------------------------------------------------------

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityPtr& fidelity,
                                         const DataFidelityOptions& options)
    : stack_(stack),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(same_for_all(fidelity, counting(stack.size())), counting(stack.size())) {}

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack,
                                         const std::vector<DataFidelityPtr>& fidelities,
                                         const DataFidelityOptions& options)
    : stack_(stack),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(picked(fidelities, counting(stack.size()), static_cast<std::int64_t>(stack.size())),
             counting(stack.size())) {}

StackedDataFidelity::StackedDataFidelity(const StackedLinearPhysics& stack, const DataFidelityFactory& factory,
                                         const DataFidelityOptions& options)
    : stack_(stack),
      reduction_(options.reduction.value_or(stack.reduction())),
      terms_(made(factory, counting(stack.size()), at::kCPU), counting(stack.size())) {}

double StackedDataFidelity::scale() const { return factor_of(reduction_, static_cast<std::int64_t>(stack_.size())); }

double StackedDataFidelity::weight() const {
  return scale() / factor_of(stack_.reduction(), static_cast<std::int64_t>(stack_.size()));
}

ValueAndGradient StackedDataFidelity::evaluate(Wanted wanted, const at::Tensor& x, const TensorList& y,
                                               const Params& params) const {
  const c10::NoGradGuard no_grad;
  check(y.size() == stack_.size(), "y: must hold ", stack_.size(), " tensors, one for each operator, got ", y.size());
  ValueAndGradient result = terms_.sum(wanted, stack_, x, stack_.A(x, params), y, {}, params);
  result.value *= scale();
  result.grad = scaled(result.grad, scale());
  return result;
}

at::Tensor StackedDataFidelity::fn(const at::Tensor& x, const TensorList& y, const Params& params) const {
  if (records_gradients(x)) {
    return value_with_gradient(x, [&] { return evaluate(Wanted::both, x, y, params); });
  }
  return at::full({}, evaluate(Wanted::value, x, y, params).value, x.options().dtype(at::kDouble));
}

at::Tensor StackedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Params& params) const {
  return evaluate(Wanted::grad, x, y, params).grad;
}

ValueAndGradient StackedDataFidelity::fn_and_grad(const at::Tensor& x, const TensorList& y,
                                                  const Params& params) const {
  return evaluate(Wanted::both, x, y, params);
}

at::Tensor StackedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Subset& subset,
                                     const Params& params) const {
  const c10::NoGradGuard no_grad;
  check_subset(subset);
  check(y.size() == stack_.size(), "y: must hold ", stack_.size(), " tensors, one for each operator, got ", y.size());
  const at::Tensor sum = terms_.subset_grad(subset, stack_, x, y, params);
  return sum.defined() ? scaled(sum, scale()) : at::zeros_like(x);
}

at::Tensor StackedDataFidelity::prox(const at::Tensor& x, const TensorList& y, double gamma,
                                     const DaggerOptions& options) const {
  return stack_.prox_l2(x, y, prox_weight(gamma, terms_.sigma(), weight()), options);
}

at::Tensor StackedDataFidelity::dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                                          const Params& params) const {
  const c10::NoGradGuard no_grad;
  check_step("dual_step", "sigma", sigma);
  check(y.size() == stack_.size(), "y: must hold ", stack_.size(), " tensors, one for each operator, got ", y.size());
  TensorList next = terms_.dual_step(u, stack_.A(x, params), y, sigma, weight());
  at::Tensor image = stack_.A_vjp(x, next, params);  // real where x is real
  u = std::move(next);
  return image;
}

double StackedDataFidelity::lipschitz(const at::Tensor& x0, const SqnormOptions& options) const {
  const double largest = terms_.lipschitz();
  return std::isinf(largest) ? largest : largest * weight() * stack_.sqnorm_bounds(x0, options).upper;
}

// ---- Over ranks --------------------------------------------------------------------------------------------------

namespace {

// A double among the elements of an image: so many of them hold it exactly.
std::int64_t pieces_of(at::ScalarType dtype) { return c10::toRealValueType(dtype) == at::kDouble ? 1 : 3; }

// Every rank writes its value into elements of its own and zeros into those of the others, so that no digit is lost in
// the sum, and every rank then adds the values up in the same order.
void write_value(const at::Tensor& slots, double value, int rank) {
  std::vector<double> pieces(static_cast<std::size_t>(slots.numel()));
  const std::int64_t count = pieces_of(slots.scalar_type());
  double rest = value;
  for (std::int64_t k = 0; k < count; ++k) {
    const double piece = count == 1 ? rest : static_cast<double>(static_cast<float>(rest));
    pieces[static_cast<std::size_t>(rank * count + k)] = piece;
    rest = std::isfinite(piece) ? rest - piece : 0.0;
  }
  slots.copy_(at::from_blob(pieces.data(), slots.sizes(), at::kDouble));
}

double read_value(const at::Tensor& slots) {
  const at::Tensor values = (slots.is_complex() ? at::real(slots) : slots).to(at::kCPU, at::kDouble).contiguous();
  const double* pieces = values.const_data_ptr<double>();
  double total = 0.0;
  for (std::int64_t k = 0; k < values.numel(); ++k) {
    total += pieces[k];
  }
  return total;
}

}  // namespace

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedLinearPhysics& stack,
                                                 const DataFidelityOptions& options,
                                                 const std::function<std::vector<DataFidelityPtr>()>& make)
    : stack_(stack),
      reduction_(options.reduction.value_or(stack.reduction())),
      exchange_(std::make_shared<Exchange>(stack.context(), "a fidelity")),
      terms_({}, {}) {
  exchange_->set_indices(stack.local_indices());
  std::array<double, 4> largest{};
  CallArguments arguments;
  arguments.add("reduction", to_string(reduction_));
  exchange_->call("the making", arguments, [&] {
    // The largest Lipschitz constant; whether all are L2 with one σ: its largest and smallest value where there are
    // any.
    exchange_->agree_max(largest, [&] {
      terms_ = detail::StackTerms(make(), stack.local_indices());
      const double own = terms_.sigma();
      const double none = -std::numeric_limits<double>::infinity();
      const bool is_l2 = own > 0.0;
      largest = {terms_.lipschitz(), is_l2 ? own : none, is_l2 ? -own : none, std::isnan(own) ? 1.0 : 0.0};
    });
  });
  exchange_->number(stack.context(), "fidelity");
  lipschitz_ = largest[0];
  sigma_ = largest[3] == 0.0 && largest[1] == -largest[2] ? largest[1] : std::numeric_limits<double>::quiet_NaN();
}

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedLinearPhysics& stack,
                                                 const DataFidelityPtr& fidelity, const DataFidelityOptions& options)
    : DistributedDataFidelity(stack, options, [&] { return same_for_all(fidelity, stack.local_indices()); }) {}

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedLinearPhysics& stack,
                                                 const std::vector<DataFidelityPtr>& fidelities,
                                                 const DataFidelityOptions& options)
    : DistributedDataFidelity(stack, options,
                              [&] { return picked(fidelities, stack.local_indices(), stack.num_operators()); }) {}

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedLinearPhysics& stack,
                                                 const DataFidelityFactory& factory, const DataFidelityOptions& options)
    : DistributedDataFidelity(stack, options,
                              [&] { return made(factory, stack.local_indices(), stack.context().device()); }) {}

double DistributedDataFidelity::scale() const { return factor_of(reduction_, stack_.num_operators()); }

double DistributedDataFidelity::weight() const {
  return scale() / factor_of(stack_.reduction(), stack_.num_operators());
}

template <class Y, class Part>
at::Tensor DistributedDataFidelity::reduce(const char* what, ReducePlan& plan, const at::Tensor& x, const Y& y,
                                           Part&& part) const {
  return exchange_->call(what, {"x", x}, [&] {
    return exchange_->reduce(plan, [&](const at::Tensor& out) {
      check(x.defined(), what, ": x must be a tensor, got an undefined one");
      return part(stack_.local_part("y", y), out);
    });
  });
}

template <class Y>
ValueAndGradient DistributedDataFidelity::evaluate(Wanted wanted, const at::Tensor& x, const Y& y,
                                                   const Params& params) const {
  const auto local_sum = [&](const TensorList& part, const at::Tensor& out) {
    const TensorList Ax = stack_.A(x, {.gather = false, .params = params});
    return terms_.sum(wanted, stack_.local_operators(), x, Ax, part, out, params);
  };
  if (exchange_->alone()) {
    ValueAndGradient result;
    reduce("data fidelity", both_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      result = local_sum(part, out);
      return at::Tensor();
    });
    return {.value = result.value * scale(), .grad = scaled(result.grad, scale())};
  }
  if (wanted == Wanted::value) {
    const at::Tensor sum = reduce("fn", value_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      return at::full({1}, scale() * local_sum(part, out).value,
                      at::TensorOptions(at::kDouble).device(stack_.context().device()));
    });
    return {.value = sum.item<double>(), .grad = {}};
  }
  if (wanted == Wanted::grad) {
    const at::Tensor sum = reduce("grad", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      return scaled(local_sum(part, out).grad, scale());
    });
    return {.value = 0.0, .grad = sum};
  }
  // The image, then what carries the values.
  const std::int64_t slots = pieces_of(x.defined() ? x.scalar_type() : at::kFloat) * stack_.context().size();
  const at::Tensor sum = reduce("fn_and_grad", both_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
    const std::int64_t numel = x.numel();
    at::Tensor flat = out.defined() && out.numel() == numel + slots && out.scalar_type() == x.scalar_type()
                          ? out
                          : at::empty({numel + slots}, x.options());
    const at::Tensor image = flat.narrow(0, 0, numel).view(x.sizes());
    const ValueAndGradient own = local_sum(part, image);
    if (!own.grad.defined()) {
      return at::Tensor();
    }
    if (own.grad.const_data_ptr() != image.const_data_ptr()) {
      image.copy_(own.grad);
    }
    if (scale() != 1.0) {
      image.mul_(scale());
    }
    write_value(flat.narrow(0, numel, slots), scale() * own.value, stack_.context().rank());
    return flat;
  });
  return {.value = read_value(sum.narrow(0, x.numel(), slots)), .grad = sum.narrow(0, 0, x.numel()).view(x.sizes())};
}

template <class Y>
at::Tensor DistributedDataFidelity::differentiable_value(const at::Tensor& x, const Y& y, const Params& params) const {
  if (records_gradients(x)) {
    return value_with_gradient(x, [&] { return evaluate(Wanted::both, x, y, params); });
  }
  const double value = evaluate(Wanted::value, x, y, params).value;
  return at::full({}, value, x.options().dtype(at::kDouble));
}

template <class Y>
at::Tensor DistributedDataFidelity::subset_grad(const at::Tensor& x, const Y& y, const Subset& subset,
                                                const Params& params) const {
  const at::Tensor sum = reduce("grad", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& /*out*/) {
    check_subset(subset);
    const at::Tensor own = terms_.subset_grad(subset, stack_.local_operators(), x, part, params);
    return own.defined() ? scaled(own, scale()) : at::zeros_like(x);
  });
  return sum;
}

template <class Y>
at::Tensor DistributedDataFidelity::dual(TensorList& u, const at::Tensor& x, const Y& y, double sigma,
                                         const Params& params) const {
  TensorList next;
  const at::Tensor image = reduce("dual_step", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
    check_step("dual_step", "sigma", sigma);
    const TensorList Ax = stack_.A(x, {.gather = false, .params = params});
    next = terms_.dual_step(u, Ax, part, sigma, weight());
    const at::Tensor own = stack_.local_operators().A_vjp_sum(x, next, out, params);
    return scaled(own, factor_of(stack_.reduction(), stack_.num_operators()));
  });
  u = std::move(next);
  return image;
}

template <class Y>
at::Tensor DistributedDataFidelity::solve_prox(const at::Tensor& x, const Y& y, double gamma,
                                               const DaggerOptions& options) const {
  double factor = 0.0;
  exchange_->call("prox", {}, [&] { exchange_->agree([&] { factor = prox_weight(gamma, sigma_, weight()); }); });
  return stack_.prox_l2(x, y, factor, options);
}

bool DistributedDataFidelity::on_all_ranks(const std::function<bool()>& question) const {
  const bool answer = exchange_->deferring(question, [] { return false; });
  return exchange_->call("agreement", {}, [&] { return exchange_->agree_min(answer ? 1.0 : 0.0) > 0.0; });
}

void DistributedDataFidelity::deferring(const std::function<void()>& work) const {
  if (exchange_->alone()) {
    work();
  } else {
    exchange_->deferring(work, [] {});
  }
}

void DistributedDataFidelity::settle(NextMessage next) const {
  if (next == NextMessage::prox) {
    exchange_->call("prox", {}, [&] { exchange_->agree([] {}); });
  } else if (grad_plan_.buffer) {
    exchange_->call("grad", {}, [&] {
      return exchange_->reduce(grad_plan_, [](const at::Tensor& /*out*/) { return at::Tensor(); });
    });
  }
}

double DistributedDataFidelity::lipschitz(const at::Tensor& x0, const SqnormOptions& options) const {
  return std::isinf(lipschitz_) ? lipschitz_ : lipschitz_ * weight() * stack_.sqnorm_bounds(x0, options).upper;
}

at::Tensor DistributedDataFidelity::fn(const at::Tensor& x, const TensorList& y, const Params& params) const {
  return differentiable_value(x, y, params);
}
at::Tensor DistributedDataFidelity::fn(const at::Tensor& x, const ShardedTensorList& y, const Params& params) const {
  return differentiable_value(x, y, params);
}
at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Params& params) const {
  return evaluate(Wanted::grad, x, y, params).grad;
}
at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const ShardedTensorList& y, const Params& params) const {
  return evaluate(Wanted::grad, x, y, params).grad;
}
ValueAndGradient DistributedDataFidelity::fn_and_grad(const at::Tensor& x, const TensorList& y,
                                                      const Params& params) const {
  return evaluate(Wanted::both, x, y, params);
}
ValueAndGradient DistributedDataFidelity::fn_and_grad(const at::Tensor& x, const ShardedTensorList& y,
                                                      const Params& params) const {
  return evaluate(Wanted::both, x, y, params);
}
at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const TensorList& y, const Subset& subset,
                                         const Params& params) const {
  return subset_grad(x, y, subset, params);
}
at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const ShardedTensorList& y, const Subset& subset,
                                         const Params& params) const {
  return subset_grad(x, y, subset, params);
}
at::Tensor DistributedDataFidelity::prox(const at::Tensor& x, const TensorList& y, double gamma,
                                         const DaggerOptions& options) const {
  return solve_prox(x, y, gamma, options);
}
at::Tensor DistributedDataFidelity::prox(const at::Tensor& x, const ShardedTensorList& y, double gamma,
                                         const DaggerOptions& options) const {
  return solve_prox(x, y, gamma, options);
}
at::Tensor DistributedDataFidelity::dual_step(TensorList& u, const at::Tensor& x, const TensorList& y, double sigma,
                                              const Params& params) const {
  return dual(u, x, y, sigma, params);
}
at::Tensor DistributedDataFidelity::dual_step(TensorList& u, const at::Tensor& x, const ShardedTensorList& y,
                                              double sigma, const Params& params) const {
  return dual(u, x, y, sigma, params);
}

}  // namespace adjoin
