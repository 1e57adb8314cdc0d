#include "adjoin/physics/stacked.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <typeinfo>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/modes.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/core/sole_holder.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/adjointness.hpp"
#include "adjoin/physics/least_squares_problem.hpp"
#include "adjoin/physics/sqnorm.hpp"

namespace adjoin {

namespace {

// [f(0), …, f(n − 1)].
template <class F>
TensorList each(std::size_t n, const F& f) {
  TensorList results(n);
  for (std::size_t i = 0; i < n; ++i) {
    results[i] = for_operator(static_cast<std::int64_t>(i), [&] { return f(i); });
  }
  return results;
}

// What each operator of a stack takes of the parameters of a call. Throws InvalidArgument for a name that none takes.
class Taken {
 public:
  template <class Stack>
  Taken(const Stack& stack, const Params& all) : all_(all) {
    if (all.empty()) {
      return;
    }
    check_names("stack", all, stack.parameter_names());
    for (std::size_t i = 0; i < stack.size(); ++i) {
      own_.push_back(stack[i].taken(all));
    }
  }
  const Params& operator[](std::size_t i) const { return all_.empty() ? all_ : own_[i]; }

 private:
  const Params& all_;
  std::vector<Params> own_;
};

template <class Stack>
Params taken_by(const Stack& stack, std::size_t i, const Params& params) {
  if (params.empty()) {
    return {};
  }
  check_names("stack", params, stack.parameter_names());
  return stack[i].taken(params);
}

// Options of a solve with the operator's own parameters.
template <class Options>
Options with_params(const Options& options, const Params& params) {
  Options own = options;
  own.params = params;
  return own;
}

template <class P>
ParameterNames names_of(const std::vector<std::shared_ptr<P>>& operators, const ParameterNames& more) {
  ParameterNames names = more;
  for (const auto& op : operators) {
    names += op->parameter_names();
  }
  return names;
}

// Whether fused forms may see this argument; the plain stack reports what is wrong with others.
bool fusable(const at::Tensor& x) { return !records_gradients(x); }

bool fusable(const TensorList& y) {
  return std::ranges::all_of(y, [](const at::Tensor& t) { return t.defined(); }) && !records_gradients(y);
}

// Sums the operators' images without ever writing into one: a term may share memory with the operator's input.
class Sum {
 public:
  explicit Sum(at::Tensor out) : out_(std::move(out)) {}

  void add(at::Tensor term) {
    if (!sum_.defined()) {
      sum_ = std::move(term);
      return;
    }
    check(term.sizes() == sum_.sizes(), "its image must have the shape of operator 0's, ", sum_.sizes(), ", got ",
          term.sizes());
    const bool in_place = c10::promoteTypes(sum_.scalar_type(), term.scalar_type()) == sum_.scalar_type() &&
                          !records_gradients(sum_) && !records_gradients(term);
    if (in_place && owned_) {
      adjoin::axpy(Scalars(1, 1.0), term, sum_);
    } else if (in_place && fits(out_, sum_.sizes(), sum_.options())) {
      at::add_out(out_, sum_, term);
      sum_ = out_;
    } else {
      sum_ = at::add(sum_, term);
    }
    owned_ = true;
  }

  at::Tensor result() {
    if (sum_.defined() && !owned_ && !records_gradients(sum_) && fits(out_, sum_.sizes(), sum_.options())) {
      out_.copy_(sum_);
      return out_;
    }
    return sum_;
  }

 private:
  at::Tensor out_;
  at::Tensor sum_;
  bool owned_ = false;
};

// Σ f(i).
template <class F>
at::Tensor sum(std::size_t n, const at::Tensor& out, const F& f) {
  Sum total(out);
  for (std::size_t i = 0; i < n; ++i) {
    for_operator(static_cast<std::int64_t>(i), [&] { total.add(f(i)); });
  }
  return total.result();
}

// The adjoint by `stack`; undefined where that is null or has none.
at::Tensor fused_adjoint(const FusedStack* stack, const TensorList& y, const at::Tensor& out) {
  const auto adjoint = [&](const TensorList& v) { return stack->A_adjoint(v, out); };
  return stack != nullptr ? without_autocast(adjoint, y) : at::Tensor();
}

// The mean of n terms from their sum, which nobody else holds when n > 1.
at::Tensor divide(at::Tensor sum, std::size_t n) {
  if (!sum.defined() || n == 1) {
    return sum;
  }
  const double factor = 1.0 / static_cast<double>(n);
  return sum.requires_grad() ? sum * factor : sum.mul_(factor);
}

void check_image(const char* method, const char* argument, const at::Tensor& image) {
  check(image.defined(), method, ": ", argument, " must be a tensor, got an undefined one");
}

void check_count(const char* method, const char* argument, const TensorList& list, std::size_t n) {
  check(list.size() == n, method, ": ", argument, " must hold ", n, n == 1 ? " tensor" : " tensors",
        ", one for each operator, got ", list.size());
}

void check_weights(const char* method, const TensorList& weights, std::size_t n) {
  check_count(method, "weights", weights, n);
  for (std::size_t i = 0; i < n; ++i) {
    check(weights[i].defined() && !weights[i].is_complex(), method, ": weights must be real tensors, got ",
          weights[i].defined() ? c10::toString(weights[i].scalar_type()) : "an undefined one", " for operator ", i);
  }
}

// Measurements cut off from autograd.
TensorList cut_off(const TensorList& y) {
  TensorList cut = y;
  for (at::Tensor& entry : cut) {
    entry = entry.defined() ? primal_of(entry).detach() : entry;
  }
  return cut;
}

at::Tensor residual_of(const at::Tensor& Ax, const at::Tensor& y) {
  check(y.defined() && y.sizes() == Ax.sizes(), "y must have the shape of A x, ", Ax.sizes(), ", got ",
        y.defined() ? c10::str(y.sizes()) : "an undefined tensor");
  return Ax - y;
}

template <class P>
std::int64_t version_of(const std::vector<std::shared_ptr<P>>& operators) {
  std::int64_t sum = 0;
  for (const auto& op : operators) {
    sum += op->version();
  }
  return sum;
}

template <class P>
void check_operators(const std::vector<std::shared_ptr<P>>& operators) {
  for (std::size_t i = 0; i < operators.size(); ++i) {
    check(operators[i] != nullptr, "operators: entry ", i, " must be an operator, got a null pointer");
  }
}

}  // namespace

Reduction reduction_from_string(std::string_view name) {
  check(name == "sum" || name == "mean", "reduction: must be sum or mean, got '", name, "'");
  return name == "sum" ? Reduction::sum : Reduction::mean;
}

std::string_view to_string(Reduction reduction) { return reduction == Reduction::sum ? "sum" : "mean"; }

// ---- Any physics ----------------------------------------------------------------------------------------------------

StackedPhysics::StackedPhysics(std::vector<PhysicsPtr> operators) : operators_(std::move(operators)) {
  check_operators(operators_);
}

std::int64_t StackedPhysics::version() const { return version_of(operators_); }

ParameterNames StackedPhysics::parameter_names() const { return names_of(operators_, accepted_); }

Params StackedPhysics::taken(std::size_t i, const Params& params) const { return taken_by(*this, i, params); }

TensorList StackedPhysics::A(const at::Tensor& x, const Params& params) const {
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->A(x, own[i]); });
}

TensorList StackedPhysics::forward(const at::Tensor& x, const Params& params) const {
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->forward(x, own[i]); });
}

at::Tensor StackedPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  check_count("A_vjp", "v", v, size());
  const Taken own(*this, params);
  return sum(size(), {}, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

// ---- Linear physics -------------------------------------------------------------------------------------------------

StackedLinearPhysics::StackedLinearPhysics(std::vector<LinearPhysicsPtr> operators, const StackOptions& options)
    : operators_(std::move(operators)), options_(options) {
  check_operators(operators_);
  const auto same_type = [&](const LinearPhysicsPtr& op) {
    const LinearPhysics& one = *op;
    const LinearPhysics& first = *operators_.front();
    return typeid(one) == typeid(first);
  };
  if (options_.fuse && !operators_.empty() && std::ranges::all_of(operators_, same_type)) {
    forms_ = std::make_unique<Forms>();
  }
  MeasurementSpace space;
  space.total = static_cast<std::int64_t>(size());
  for (std::int64_t i = 0; i < space.total; ++i) {
    space.indices.push_back(i);
  }
  space.weight = weight();
  space_ = std::make_shared<const MeasurementSpace>(std::move(space));
}

StackedLinearPhysics::StackedLinearPhysics(StackedLinearPhysics&&) noexcept = default;
StackedLinearPhysics& StackedLinearPhysics::operator=(StackedLinearPhysics&&) noexcept = default;
StackedLinearPhysics::~StackedLinearPhysics() = default;

ParameterNames StackedLinearPhysics::parameter_names() const { return names_of(operators_, accepted_); }

Params StackedLinearPhysics::taken(std::size_t i, const Params& params) const { return taken_by(*this, i, params); }

template <class... Arguments>
StackedLinearPhysics::Fused StackedLinearPhysics::fused(const Params& params, const Arguments&... arguments) const {
  const auto requires_grad = [](const LinearPhysicsPtr& op) { return op->requires_grad(); };
  if (forms_ == nullptr || !params.empty() || !(fusable(arguments) && ...) ||
      (c10::GradMode::is_enabled() && std::ranges::any_of(operators_, requires_grad))) {
    return {};
  }
  const auto make = [&]() -> std::shared_ptr<const FusedStack> {
    const std::vector<std::shared_ptr<const LinearPhysics>> members(operators_.begin(), operators_.end());
    return operators_[0]->fuse(members);
  };
  const auto& following = forms_->following.get([&] {
    return lasting([&] {
      auto form = make();
      return form != nullptr && form->follows_operators() ? form : nullptr;
    });
  });
  if (following != nullptr) {
    return {.form = following.get()};
  }
  auto kept = forms_->by_version.get(version(), make);
  return {.form = kept.get(), .kept = kept};
}

TensorList StackedLinearPhysics::A(const at::Tensor& x, const Params& params) const { return A_into({}, x, params); }

TensorList StackedLinearPhysics::A_into(const TensorList& out, const at::Tensor& x, const Params& params) const {
  check_image("A", "x", x);
  if (const auto stack = fused(params, x)) {
    const auto A = [&](const at::Tensor& image) { return stack->A(image, out); };
    if (TensorList y = without_autocast(A, x); !y.empty()) {
      return y;
    }
  }
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->A(x, own[i]); });
}

TensorList StackedLinearPhysics::A_reusing(TensorList& kept, const at::Tensor& x, const Params& params) const {
  const bool free = std::ranges::all_of(
      kept, [](const at::Tensor& t) { return t.defined() && t.has_storage() && is_sole_holder(t); });
  kept = A_into(free ? kept : TensorList(), x, params);
  return kept;
}

TensorList StackedLinearPhysics::forward(const at::Tensor& x, const Params& params) const {
  check_image("forward", "x", x);
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->forward(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint(const TensorList& y, const Params& params) const {
  return weighted(A_adjoint_sum(y, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_for(const TensorList& y, const at::Tensor& image,
                                               const Params& params) const {
  return weighted(A_adjoint_for_sum(y, image, {}, params));
}

at::Tensor StackedLinearPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  return weighted(A_vjp_sum(x, v, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_A(const at::Tensor& x, const Params& params) const {
  return weighted(A_adjoint_A_sum(x, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_W_A(const at::Tensor& x, const TensorList& weights,
                                               const Params& params) const {
  return weighted(A_adjoint_W_residual_sum(x, {}, weights, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_W_residual(const at::Tensor& x, const TensorList& y,
                                                      const TensorList& weights, const Params& params) const {
  check_count("A_adjoint_W_residual", "y", y, size());
  return weighted(A_adjoint_W_residual_sum(x, y, weights, {}, params));
}

TensorList StackedLinearPhysics::A_A_adjoint(const TensorList& y, const Params& params) const {
  check_count("A_A_adjoint", "y", y, size());
  return size() == 0 ? TensorList{} : A(A_adjoint(y, params), params);
}

TensorList StackedLinearPhysics::A_adjoint_each(const TensorList& y, const Params& params) const {
  check_count("A_adjoint", "y", y, size());
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], own[i]); });
}

TensorList StackedLinearPhysics::A_vjp_each(const at::Tensor& x, const TensorList& v, const Params& params) const {
  check_image("A_vjp", "x", x);
  check_count("A_vjp", "v", v, size());
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

TensorList StackedLinearPhysics::A_adjoint_A_each(const at::Tensor& x, const Params& params) const {
  check_image("A_adjoint_A", "x", x);
  const Taken own(*this, params);
  return each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_sum(const TensorList& y, const at::Tensor& out, const Params& params) const {
  check_count("A_adjoint", "y", y, size());
  if (at::Tensor image = fused_adjoint(fused(params, y).form, y, out); image.defined()) {
    return image;
  }
  const Taken own(*this, params);
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_for_sum(const TensorList& y, const at::Tensor& image, const at::Tensor& out,
                                                   const Params& params) const {
  check_image("A_adjoint_for", "image", image);
  check_count("A_adjoint_for", "y", y, size());
  if (at::Tensor adjoint = fused_adjoint(fused(params, y).form, y, out); adjoint.defined()) {
    return adjoint;
  }
  const Taken own(*this, params);
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint_for(y[i], image, own[i]); });
}

at::Tensor StackedLinearPhysics::A_vjp_sum(const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                                           const Params& params) const {
  check_image("A_vjp", "x", x);
  check_count("A_vjp", "v", v, size());
  if (at::Tensor image = fused_adjoint(fused(params, x, v).form, v, out); image.defined()) {
    return in_space_of(x, image);
  }
  const Taken own(*this, params);
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_A_sum(const at::Tensor& x, const at::Tensor& out,
                                                 const Params& params) const {
  check_image("A_adjoint_A", "x", x);
  if (const auto stack = fused(params, x)) {
    const auto normal = [&](const at::Tensor& image) { return stack->A_adjoint_A(image, out); };
    if (at::Tensor image = without_autocast(normal, x); image.defined()) {
      return image;
    }
  }
  const Taken own(*this, params);
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, own[i]); });
}

at::Tensor StackedLinearPhysics::A_adjoint_W_residual_sum(const at::Tensor& x, const TensorList& y,
                                                          const TensorList& weights, const at::Tensor& out,
                                                          const Params& params) const {
  check_image("A_adjoint_W_residual", "x", x);
  check_weights("A_adjoint_W_residual", weights, size());
  check(y.empty() || y.size() == size(), "A_adjoint_W_residual: y must hold ", size(), " tensors, got ", y.size());
  if (const auto stack = fused(params, x, y, weights)) {
    const auto residual = [&](const at::Tensor& image, const TensorList& measured) {
      return stack->A_adjoint_W_residual(image, measured, weights, out);
    };
    if (at::Tensor image = without_autocast(residual, x, y); image.defined()) {
      return in_space_of(x, image);
    }
  }
  const Taken own(*this, params);
  return sum(size(), out, [&](std::size_t i) {
    const at::Tensor Ax = operators_[i]->A(x, own[i]);
    return operators_[i]->A_vjp(x, weighed(y.empty() ? Ax : residual_of(Ax, y[i]), weights[i]), own[i]);
  });
}

at::Tensor StackedLinearPhysics::normal_form(const at::Tensor& x, const Params& params) const {
  const Fused stack = x.defined() ? fused(params, x) : Fused();
  const auto form = [&](const at::Tensor& image) { return stack->normal_form(image); };
  return stack ? without_autocast(form, x) : at::Tensor();
}

at::Tensor StackedLinearPhysics::apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                                                   const at::Tensor& out) const {
  const auto stack = fused({}, x);
  const auto apply = [&](const at::Tensor& image) { return stack->apply_normal_form(form, image, part, parts, out); };
  at::Tensor result = stack ? without_autocast(apply, x) : at::Tensor();
  check(result.defined(), "apply_normal_form: form must be a sum of normal forms for images like x");
  return result;
}

bool StackedLinearPhysics::has_normal_forms() const {
  const Fused stack = fused({});
  return stack && stack->has_normal_forms();
}

std::int64_t StackedLinearPhysics::version() const { return version_of(operators_); }

at::Tensor StackedLinearPhysics::weighted(at::Tensor sum) const {
  return options_.reduction == Reduction::mean ? divide(std::move(sum), size()) : sum;
}

double StackedLinearPhysics::weight() const {
  return options_.reduction == Reduction::mean && size() > 0 ? 1.0 / static_cast<double>(size()) : 1.0;
}

// Measurements under the inner product of this stack.
ShardedTensorList StackedLinearPhysics::as_vector(TensorList y) const {
  return {.local = std::move(y), .space = space_};
}

// Among images like `image`; one known beforehand spares an application of the adjoint.
LeastSquaresProblem<ShardedTensorList> StackedLinearPhysics::least_squares_problem(const TensorList& y,
                                                                                   at::Tensor image,
                                                                                   const DaggerOptions& options) const {
  const Params& params = options.params;
  if (!options.weights.empty()) {
    return weighted_least_squares_problem(y, std::move(image), options);
  }
  at::Tensor A_adjoint_y;
  if (!image.defined()) {
    A_adjoint_y = A_adjoint(cut_off(y), params);
    image = A_adjoint_y;
  }
  return {
      .A = [this, params, kept = std::make_shared<TensorList>()](
               const at::Tensor& x) { return as_vector(A_reusing(*kept, x, params)); },
      .A_adjoint = [this, params, like = image.detach()](
                       const ShardedTensorList& v) { return in_space_of(like, A_adjoint_for(v.local, like, params)); },
      .A_adjoint_A = [this, params](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, params)); },
      .y = as_vector(y),
      .items = common_items(image, y),
      .A_adjoint_y = A_adjoint_y};
}

// The same for weights W: measurements and operators times √W.
LeastSquaresProblem<ShardedTensorList> StackedLinearPhysics::weighted_least_squares_problem(
    const TensorList& y, at::Tensor image, const DaggerOptions& options) const {
  check_weights("weights", options.weights, size());
  const auto roots = std::make_shared<TensorList>(roots_of(options.weights));
  at::Tensor A_adjoint_y;
  if (!image.defined()) {
    A_adjoint_y = A_adjoint(weighed(weighed(cut_off(y), *roots), *roots), options.params);
    image = A_adjoint_y;
  }
  return {.A = [this, params = options.params,
                roots](const at::Tensor& x) { return as_vector(weighed(A(x, params), *roots)); },
          .A_adjoint =
              [this, params = options.params, roots, like = image.detach()](const ShardedTensorList& v) {
                return in_space_of(like, A_adjoint_for(weighed(v.local, *roots), like, params));
              },
          .A_adjoint_A = [this, params = options.params, weights = options.weights](
                             const at::Tensor& x) { return in_space_of(x, A_adjoint_W_A(x, weights, params)); },
          .y = as_vector(weighed(y, *roots)),
          .items = common_items(image, y),
          .A_adjoint_y = A_adjoint_y};
}

void StackedLinearPhysics::check_solvable(const char* method, const TensorList& y) const {
  check(size() > 0, method, ": the stack must have an operator, got an empty one");
  check_count(method, "y", y, size());
}

at::Tensor StackedLinearPhysics::A_dagger(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger", y);
  if (size() == 1) {
    const Taken own(*this, options.params);
    return for_operator(0, [&] { return operators_[0]->A_dagger(y[0], with_params(options, own[0])); });
  }
  at::Tensor image = options.init.value_or(at::Tensor());
  for (std::size_t i = 0; i < size() && !image.defined(); ++i) {
    image = operators_[i]->image_like(y[i]);
  }
  return solve_least_squares(least_squares_problem(y, image, options), options);
}

at::Tensor StackedLinearPhysics::A_dagger_mean(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger_mean", y);
  check(options.weights.empty() || options.weights.size() == size(), "A_dagger_mean: weights must hold ", size(),
        " tensors, one for each operator, got ", options.weights.size());
  const Taken params(*this, options.params);
  SolveInfo info;
  const auto dagger = [&](std::size_t i) {
    SolveInfo one;
    DaggerOptions own = with_params(options, params[i]);
    own.info = &one;
    if (!own.weights.empty()) {
      own.weights = {options.weights[i]};
    }
    at::Tensor x = operators_[i]->A_dagger(y[i], own);
    info.add(one);
    return x;
  };
  at::Tensor mean = divide(sum(size(), {}, dagger), size());
  if (options.info != nullptr) {
    *options.info = std::move(info);
  }
  return mean;
}

at::Tensor StackedLinearPhysics::prox_l2(const at::Tensor& z, const TensorList& y, const Gamma& gamma,
                                         const DaggerOptions& options) const {
  check_image("prox_l2", "z", z);
  check_solvable("prox_l2", y);
  return solve_prox_l2(least_squares_problem(y, z, options), z, gamma, options);
}

double StackedLinearPhysics::compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options) const {
  check_image("compute_sqnorm", "x0", x0);
  check_options(options);
  if (size() <= 1) {
    const Taken own(*this, options.params);
    return size() == 0
               ? 0.0
               : for_operator(0, [&] { return operators_[0]->compute_sqnorm(x0, with_params(options, own[0])); });
  }
  return estimate_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, options.params)); }, x0,
                         options);
}

double StackedLinearPhysics::guess_sqnorm(const at::Tensor& x0, const Params& params) const {
  check_image("guess_sqnorm", "x0", x0);
  if (size() == 0) {
    return 0.0;
  }
  const std::optional<double> kept = params.empty() ? kept_sqnorm_.find(x0, version()) : std::nullopt;
  if (kept) {
    return *kept;
  }
  const double guess =
      adjoin::guess_sqnorm([&](const at::Tensor& x) { return in_space_of(x, A_adjoint_A(x, params)); }, x0);
  if (params.empty()) {
    kept_sqnorm_.keep(x0, version(), guess);
  }
  return guess;
}

SqnormBounds StackedLinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_image("sqnorm_bounds", "x0", x0);
  check_options(options);
  const Taken own(*this, options.params);
  SqnormBounds bounds;
  for (std::size_t i = 0; i < size(); ++i) {
    const SqnormBounds one = for_operator(
        static_cast<std::int64_t>(i), [&] { return operators_[i]->sqnorm_bounds(x0, with_params(options, own[i])); });
    bounds.lower = std::max(bounds.lower, weight() * one.lower);
    bounds.upper += weight() * one.upper;
  }
  return bounds;
}

double StackedLinearPhysics::adjointness_test(const at::Tensor& u, std::uint64_t seed, const Params& params) const {
  const c10::NoGradGuard no_grad;
  if (size() == 0) {
    return 0.0;
  }
  const ShardedTensorList Au = as_vector(A(u, params));
  ShardedTensorList v = Au;
  for (std::size_t i = 0; i < size(); ++i) {
    v.local[i] = adjoin::randn_like(Au.local[i], seed + i);
  }
  return adjoint_mismatch(u, Au, v, A_adjoint_for(v.local, u, params));
}

}  // namespace adjoin
