// SPDX-License-Identifier: BSD-3-Clause
// Values and gradients of this rank's operators summed over the ranks, both by one message.
#include "adjoin/optim/distributed_data_fidelity.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cmath>
#include <exception>
#include <limits>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "optim/plain_error.hpp"

namespace adjoin {

using detail::factor_of;
using detail::scaled;

namespace {

detail::LocalOperators operators_of(const DistributedStackedPhysics& stack) {
  detail::LocalOperators operators = {
      .A = [&stack](const at::Tensor& x,
                    const Params& params) { return stack.A(x, {.gather = false, .params = params}); },
      .vjp = [&stack](const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                      const Params& params) { return stack.local().A_vjp(x, v, out, params); },
      .weighted_residual = {},
      .one = [&stack](std::size_t position) -> const Physics& { return stack.local()[position]; },
      .taken = [&stack](std::size_t position, const Params& params) { return stack.local().taken(position, params); }};
  if (const auto* linear = dynamic_cast<const LocalLinearPhysics*>(&stack.local())) {
    operators.weighted_residual = [linear](const at::Tensor& x, const TensorList& y, const TensorList& weights,
                                           const at::Tensor& out, const Params& params) {
      return linear->stack().A_adjoint_W_residual_sum(x, y, weights, out, params);
    };
  }
  return operators;
}

// A double among the elements of an image: so many of them hold it exactly.
std::int64_t pieces_of(at::ScalarType dtype) { return c10::toRealValueType(dtype) == at::kDouble ? 1 : 3; }

// Every rank writes its values into elements of its own and zeros into those of the others, so that no digit is lost in
// the sum, and every rank then adds the values up in the same order. `slots` has a row for each rank and value.
void write_values(const at::Tensor& slots, const Reals& values, double factor, int rank) {
  std::vector<double> pieces(static_cast<std::size_t>(slots.numel()));
  const auto count = static_cast<std::size_t>(pieces_of(slots.scalar_type()));
  std::size_t next = static_cast<std::size_t>(rank) * values.size() * count;
  for (const double value : values) {
    double rest = factor * value;
    for (std::size_t k = 0; k < count; ++k) {
      const double piece = count == 1 ? rest : static_cast<double>(static_cast<float>(rest));
      pieces[next++] = piece;
      rest = std::isfinite(piece) ? rest - piece : 0.0;
    }
  }
  slots.copy_(at::from_blob(pieces.data(), slots.sizes(), at::kDouble));
}

Reals read_values(const at::Tensor& slots, std::int64_t items) {
  const at::Tensor pieces = (slots.is_complex() ? at::real(slots) : slots).to(at::kCPU, at::kDouble).contiguous();
  const double* piece = pieces.const_data_ptr<double>();
  const std::int64_t count = pieces_of(slots.scalar_type());
  const std::int64_t ranks = pieces.numel() / (count * items);
  Reals totals(static_cast<std::size_t>(items), 0.0);
  for (std::int64_t r = 0; r < ranks; ++r) {
    for (double& total : totals) {
      for (std::int64_t k = 0; k < count; ++k) {
        total += *piece++;
      }
    }
  }
  return totals;
}

}  // namespace

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedPhysics& stack,
                                                 const DataFidelityOptions& options,
                                                 const std::function<std::vector<DataFidelityPtr>()>& make)
    : stack_(stack),
      linear_(dynamic_cast<const DistributedStackedLinearPhysics*>(&stack)),
      reduction_(options.reduction.value_or(linear_ != nullptr ? linear_->reduction() : Reduction::sum)),
      exchange_(std::make_shared<Exchange>(stack.context(), "a fidelity")) {
  exchange_->set_indices(stack.local_indices());
  std::array<double, 4> largest{};
  CallArguments arguments;
  arguments.add("reduction", to_string(reduction_));
  exchange_->call("the making", arguments, [&] {
    // The largest Lipschitz constant; whether all are L2 with one σ: its largest and smallest value where there are
    // any.
    exchange_->agree_max(largest, [&] {
      check(!stack.has_grid(), "stack: a data fidelity takes a stack without a grid");
      terms_ = detail::StackTerms(operators_of(stack), make(), stack.local_indices());
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

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedPhysics& stack,
                                                 const DataFidelityPtr& fidelity, const DataFidelityOptions& options)
    : DistributedDataFidelity(stack, options, [&] { return detail::one_for_all(fidelity, stack.local_indices()); }) {}

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedPhysics& stack,
                                                 const std::vector<DataFidelityPtr>& fidelities,
                                                 const DataFidelityOptions& options)
    : DistributedDataFidelity(
          stack, options, [&] { return detail::picked(fidelities, stack.local_indices(), stack.num_operators()); }) {}

DistributedDataFidelity::DistributedDataFidelity(const DistributedStackedPhysics& stack,
                                                 const DataFidelityFactory& factory, const DataFidelityOptions& options)
    : DistributedDataFidelity(stack, options,
                              [&] { return detail::made(factory, stack.local_indices(), stack.context().device()); }) {}

double DistributedDataFidelity::scale() const { return factor_of(reduction_, stack_.num_operators()); }

double DistributedDataFidelity::weight() const {
  return scale() / factor_of(linear("weight").reduction(), stack_.num_operators());
}

const DistributedStackedLinearPhysics& DistributedDataFidelity::linear(const char* what) const {
  check(linear_ != nullptr, what, ": the operators of the stack must be linear");
  return *linear_;
}

template <class Part>
at::Tensor DistributedDataFidelity::reduce(const char* what, ReducePlan& plan, const at::Tensor& x,
                                           const Measurements& y, Part&& part) const {
  const c10::NoGradGuard no_grad;
  return exchange_->call(what, {"x", x}, [&] {
    return exchange_->reduce(plan, [&](const at::Tensor& out) {
      check(x.defined(), what, ": x must be a tensor, got an undefined one");
      return part(stack_.local_part("y", y), out);
    });
  });
}

ItemValues DistributedDataFidelity::evaluate(Wanted wanted, const at::Tensor& x, const Measurements& y,
                                             std::int64_t items, const Params& params) const {
  if (exchange_->alone()) {
    ItemValues result;
    reduce("data fidelity", both_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      result = terms_.sum(wanted, x, part, items, out, params);
      return at::Tensor();
    });
    for (double& value : result.values) {
      value *= scale();
    }
    result.grad = scaled(result.grad, scale());
    return result;
  }
  if (wanted == Wanted::value) {
    const at::Tensor sum = reduce("fn", value_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      const Reals own = terms_.sum(wanted, x, part, items, out, params).values;
      return at::tensor(at::ArrayRef<double>(own.data(), own.size()), at::kDouble)
          .mul_(scale())
          .to(stack_.context().device());
    });
    const at::Tensor values = sum.cpu();
    return {.values = Reals(values.const_data_ptr<double>(), values.const_data_ptr<double>() + items), .grad = {}};
  }
  if (wanted == Wanted::grad) {
    const at::Tensor sum = reduce("grad", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
      return scaled(terms_.sum(wanted, x, part, items, out, params).grad, scale());
    });
    return {.values = {}, .grad = sum};
  }
  // The image, then what carries the values.
  const std::int64_t slots = pieces_of(x.defined() ? x.scalar_type() : at::kFloat) * stack_.context().size() * items;
  const at::Tensor sum = reduce("fn_and_grad", both_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
    const std::int64_t numel = x.numel();
    at::Tensor flat = out.defined() && out.numel() == numel + slots && out.scalar_type() == x.scalar_type()
                          ? out
                          : at::empty({numel + slots}, x.options());
    const at::Tensor image = flat.narrow(0, 0, numel).view(x.sizes());
    const ItemValues own = terms_.sum(wanted, x, part, items, image, params);
    if (!own.grad.defined()) {
      return at::Tensor();
    }
    if (own.grad.const_data_ptr() != image.const_data_ptr()) {
      image.copy_(own.grad);
    }
    if (scale() != 1.0) {
      image.mul_(scale());
    }
    write_values(flat.narrow(0, numel, slots), own.values, scale(), stack_.context().rank());
    return flat;
  });
  return {.values = read_values(sum.narrow(0, x.numel(), slots), items),
          .grad = sum.narrow(0, 0, x.numel()).view(x.sizes())};
}

at::Tensor DistributedDataFidelity::fn(const at::Tensor& x, const Measurements& y, const Params& params) const {
  if (records_gradients(x)) {
    return detail::value_with_gradient(x, [&] { return evaluate(Wanted::both, x, y, 1, params); });
  }
  const double value = evaluate(Wanted::value, x, y, 1, params).values[0];
  return at::full({}, value, x.options().dtype(at::kDouble));
}

at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const Measurements& y, const Params& params) const {
  return evaluate(Wanted::grad, x, y, 1, params).grad;
}

ValueAndGradient DistributedDataFidelity::fn_and_grad(const at::Tensor& x, const Measurements& y,
                                                      const Params& params) const {
  const ItemValues both = evaluate(Wanted::both, x, y, 1, params);
  return {.value = both.values[0], .grad = both.grad};
}

at::Tensor DistributedDataFidelity::grad(const at::Tensor& x, const Measurements& y, const Subset& subset,
                                         const Params& params) const {
  return reduce("grad", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& /*out*/) {
    const at::Tensor own = terms_.subset_grad(subset, x, part, params);
    return own.defined() ? scaled(own, scale()) : at::zeros_like(x);
  });
}

Reals DistributedDataFidelity::item_values(const at::Tensor& x, const Measurements& y, std::int64_t items,
                                           const Params& params) const {
  return evaluate(Wanted::value, x, y, items, params).values;
}

ItemValues DistributedDataFidelity::item_values_and_grad(const at::Tensor& x, const Measurements& y, std::int64_t items,
                                                         const Params& params) const {
  return evaluate(Wanted::both, x, y, items, params);
}

std::int64_t DistributedDataFidelity::items(const at::Tensor& x0, const Measurements& y) const {
  return least_items(y, [&](const TensorList& part) { return common_items(x0, part); });
}

std::int64_t DistributedDataFidelity::least_items(
    const Measurements& y, const std::function<std::int64_t(const TensorList& part)>& own_items) const {
  return exchange_->call("items", {}, [&] {
    const auto own = [&] { return static_cast<double>(own_items(stack_.local_part("y", y))); };
    return static_cast<std::int64_t>(exchange_->agree_min(exchange_->deferring(own, [] { return 1.0; })));
  });
}

std::pair<double, TensorList> DistributedDataFidelity::prox_arguments(const at::Tensor& x, const Measurements& y,
                                                                      double gamma) const {
  double factor = 0.0;
  TensorList converted;
  exchange_->call("prox", {}, [&] {
    exchange_->agree([&] {
      check(x.defined(), "prox: x must be a tensor, got an undefined one");
      (void)linear("prox");
      factor = detail::prox_weight(gamma, sigma_, weight());
      (void)stack_.local_part("y", y);
      converted = detail::in_precision_of(x, y.list());
    });
  });
  return {factor, converted};
}

at::Tensor DistributedDataFidelity::prox(const at::Tensor& x, const Measurements& y, double gamma,
                                         const DaggerOptions& options) const {
  const auto [factor, converted] = prox_arguments(x, y, gamma);
  return as_plain_error([&, &weight = factor, &measured = converted] {
    return y.is_vector() ? linear_->prox_l2(x, linear_->shard(measured), weight, options)
                         : linear_->prox_l2(x, measured, weight, options);
  });
}

at::Tensor DistributedDataFidelity::dual_step(TensorList& u, const at::Tensor& x, const Measurements& y, double sigma,
                                              const Params& params) const {
  TensorList next = u;
  const at::Tensor image = reduce("dual_step", grad_plan_, x, y, [&](const TensorList& part, const at::Tensor& out) {
    const double factor = factor_of(linear("dual_step").reduction(), stack_.num_operators());
    return scaled(terms_.dual_step(next, x, part, sigma, weight(), out, params), factor);
  });
  u = std::move(next);
  return image;
}

double DistributedDataFidelity::lipschitz(const at::Tensor& x0, const Params& params) const {
  const double largest = linear_ != nullptr ? lipschitz_ : std::numeric_limits<double>::infinity();
  return std::isinf(largest) ? largest : largest * weight() * sqnorm(x0, params);
}

double DistributedDataFidelity::sqnorm(const at::Tensor& x0, const Params& params) const {
  return linear("sqnorm").guess_sqnorm(x0, params);
}

// ---- Loops -------------------------------------------------------------------------------------------------------

void DistributedDataFidelity::run(const char* what, const std::function<std::string()>& begin,
                                  const std::function<void()>& work) const {
  if (exchange_->alone()) {
    (void)begin();
    work();
    return;
  }
  const auto meet = [&](const CallArguments& arguments) {
    exchange_->call(what, arguments, [&] { exchange_->agree([] {}); });
  };
  CallArguments options;
  try {
    options.add("options", begin());
  } catch (...) {
    exchange_->refuse(what);
  }
  meet(options);
  std::exception_ptr mine;
  try {
    work();
    meet({});  // before a rank leaves, none can fail any more
    return;
  } catch (...) {
    mine = std::current_exception();
  }
  try {
    exchange_->call(what, {}, [&] { std::rethrow_exception(mine); });
  } catch (const AgreedFailure& failure) {
    if (failure.everywhere && std::current_exception() != mine) {
      std::rethrow_exception(mine);
    }
    throw;
  }
}

bool DistributedDataFidelity::on_all_ranks(const std::function<bool()>& question) const {
  return exchange_->call("agreement", {}, [&] {
    std::array<double, 1> noes = {};
    exchange_->agree_max(noes, [&] { noes[0] = question() ? 0.0 : 1.0; });
    return noes[0] == 0.0;
  });
}

}  // namespace adjoin
