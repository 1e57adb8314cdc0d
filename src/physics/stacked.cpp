#include "adjoin/physics/stacked.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <typeinfo>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
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

// Whether fused forms may see these arguments; the plain stack reports what is wrong with others.
bool fusable(const at::Tensor& x, const Params& params) { return params.empty() && !records_gradients(x); }

bool fusable(const TensorList& y, const Params& params) {
  return params.empty() &&
         std::ranges::all_of(y, [](const at::Tensor& t) { return t.defined() && !records_gradients(t); });
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

TensorList StackedPhysics::A(const at::Tensor& x, const Params& params) const {
  return each(size(), [&](std::size_t i) { return operators_[i]->A(x, params); });
}

TensorList StackedPhysics::forward(const at::Tensor& x, const Params& params) const {
  return each(size(), [&](std::size_t i) { return operators_[i]->forward(x, params); });
}

at::Tensor StackedPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  check_count("A_vjp", "v", v, size());
  return sum(size(), {}, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], params); });
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
  options_.fuse = options_.fuse && !operators_.empty() && std::ranges::all_of(operators_, same_type);
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

FusedStack* StackedLinearPhysics::fused() const {
  if (!options_.fuse) {
    return nullptr;
  }
  bool current = !fused_versions_.empty();
  for (std::size_t i = 0; current && i < size(); ++i) {
    current = operators_[i]->version() == fused_versions_[i];
  }
  if (!current) {
    fused_.reset();
    fused_versions_.clear();
    const std::vector<std::shared_ptr<const LinearPhysics>> members(operators_.begin(), operators_.end());
    fused_ = operators_[0]->fuse(members);
    for (const LinearPhysicsPtr& op : operators_) {
      fused_versions_.push_back(op->version());
    }
  }
  return fused_.get();
}

TensorList StackedLinearPhysics::A(const at::Tensor& x, const Params& params) const { return A_into({}, x, params); }

TensorList StackedLinearPhysics::A_into(const TensorList& out, const at::Tensor& x, const Params& params) const {
  check_image("A", "x", x);
  if (fusable(x, params)) {
    if (FusedStack* stack = fused()) {
      if (TensorList y = stack->A(x, out); !y.empty()) {
        return y;
      }
    }
  }
  return each(size(), [&](std::size_t i) { return operators_[i]->A(x, params); });
}

TensorList StackedLinearPhysics::A_reusing(TensorList& kept, const at::Tensor& x, const Params& params) const {
  const bool free = std::ranges::all_of(
      kept, [](const at::Tensor& t) { return t.defined() && t.has_storage() && is_sole_holder(t); });
  kept = A_into(free ? kept : TensorList(), x, params);
  return kept;
}

TensorList StackedLinearPhysics::forward(const at::Tensor& x, const Params& params) const {
  check_image("forward", "x", x);
  return each(size(), [&](std::size_t i) { return operators_[i]->forward(x, params); });
}

at::Tensor StackedLinearPhysics::A_adjoint(const TensorList& y, const Params& params) const {
  return weighted(A_adjoint_sum(y, {}, params));
}

at::Tensor StackedLinearPhysics::A_vjp(const at::Tensor& x, const TensorList& v, const Params& params) const {
  return weighted(A_vjp_sum(x, v, {}, params));
}

at::Tensor StackedLinearPhysics::A_adjoint_A(const at::Tensor& x, const Params& params) const {
  return weighted(A_adjoint_A_sum(x, {}, params));
}

TensorList StackedLinearPhysics::A_A_adjoint(const TensorList& y, const Params& params) const {
  check_count("A_A_adjoint", "y", y, size());
  return size() == 0 ? TensorList{} : A(A_adjoint(y, params), params);
}

TensorList StackedLinearPhysics::A_adjoint_each(const TensorList& y, const Params& params) const {
  check_count("A_adjoint", "y", y, size());
  return each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], params); });
}

TensorList StackedLinearPhysics::A_vjp_each(const at::Tensor& x, const TensorList& v, const Params& params) const {
  check_image("A_vjp", "x", x);
  check_count("A_vjp", "v", v, size());
  return each(size(), [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], params); });
}

TensorList StackedLinearPhysics::A_adjoint_A_each(const at::Tensor& x, const Params& params) const {
  check_image("A_adjoint_A", "x", x);
  return each(size(), [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, params); });
}

at::Tensor StackedLinearPhysics::A_adjoint_sum(const TensorList& y, const at::Tensor& out, const Params& params) const {
  check_count("A_adjoint", "y", y, size());
  if (fusable(y, params)) {
    if (FusedStack* stack = fused()) {
      if (at::Tensor image = stack->A_adjoint(y, out); image.defined()) {
        return image;
      }
    }
  }
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint(y[i], params); });
}

at::Tensor StackedLinearPhysics::A_vjp_sum(const at::Tensor& x, const TensorList& v, const at::Tensor& out,
                                           const Params& params) const {
  check_image("A_vjp", "x", x);
  check_count("A_vjp", "v", v, size());
  if (fusable(x, params) && fusable(v, params)) {
    if (FusedStack* stack = fused()) {
      if (at::Tensor image = stack->A_adjoint(v, out); image.defined()) {
        return image.is_complex() && !x.is_complex() ? at::real(image).contiguous() : image;
      }
    }
  }
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_vjp(x, v[i], params); });
}

at::Tensor StackedLinearPhysics::A_adjoint_A_sum(const at::Tensor& x, const at::Tensor& out,
                                                 const Params& params) const {
  check_image("A_adjoint_A", "x", x);
  if (fusable(x, params)) {
    if (FusedStack* stack = fused()) {
      if (at::Tensor image = stack->A_adjoint_A(x, out); image.defined()) {
        return image;
      }
    }
  }
  return sum(size(), out, [&](std::size_t i) { return operators_[i]->A_adjoint_A(x, params); });
}

at::Tensor StackedLinearPhysics::normal_form(const at::Tensor& x, const Params& params) const {
  FusedStack* stack = x.defined() && fusable(x, params) ? fused() : nullptr;
  return stack != nullptr ? stack->normal_form(x) : at::Tensor();
}

at::Tensor StackedLinearPhysics::apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                                                   const at::Tensor& out) const {
  FusedStack* stack = fused();
  at::Tensor result = stack != nullptr ? stack->apply_normal_form(form, x, part, parts, out) : at::Tensor();
  check(result.defined(), "apply_normal_form: form must be a sum of normal forms for images like x");
  return result;
}

std::int64_t StackedLinearPhysics::version() const {
  std::int64_t sum = 0;
  for (const LinearPhysicsPtr& op : operators_) {
    sum += op->version();
  }
  return sum;
}

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

// An image known beforehand spares an application of the adjoint.
LeastSquaresProblem<ShardedTensorList> StackedLinearPhysics::least_squares_problem(const TensorList& y,
                                                                                   const at::Tensor& image,
                                                                                   const Params& params) const {
  LeastSquaresProblem<ShardedTensorList> problem{
      .A = [this, &params, kept = std::make_shared<TensorList>()](
               const at::Tensor& x) { return as_vector(A_reusing(*kept, x, params)); },
      .A_adjoint = [this, &params](const ShardedTensorList& v) { return A_adjoint(v.local, params); },
      .A_adjoint_A = [this, &params](const at::Tensor& x) { return A_adjoint_A(x, params); },
      .y = as_vector(y),
      .items = 1,
      .A_adjoint_y = {}};
  if (!image.defined()) {
    const c10::NoGradGuard no_grad;
    problem.A_adjoint_y = A_adjoint(y, params);
  }
  problem.items = common_items(image.defined() ? image : problem.A_adjoint_y, y);
  return problem;
}

void StackedLinearPhysics::check_solvable(const char* method, const TensorList& y) const {
  check(size() > 0, method, ": the stack must have an operator, got an empty one");
  check_count(method, "y", y, size());
}

at::Tensor StackedLinearPhysics::A_dagger(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger", y);
  if (size() == 1) {
    return for_operator(0, [&] { return operators_[0]->A_dagger(y[0], options); });
  }
  const at::Tensor image = options.init ? *options.init : operators_[0]->image_like(y[0]);
  return solve_least_squares(least_squares_problem(y, image, options.params), options);
}

at::Tensor StackedLinearPhysics::A_dagger_mean(const TensorList& y, const DaggerOptions& options) const {
  check_solvable("A_dagger_mean", y);
  return divide(sum(size(), {}, [&](std::size_t i) { return operators_[i]->A_dagger(y[i], options); }), size());
}

at::Tensor StackedLinearPhysics::prox_l2(const at::Tensor& z, const TensorList& y, double gamma,
                                         const DaggerOptions& options) const {
  check_image("prox_l2", "z", z);
  check_solvable("prox_l2", y);
  return solve_prox_l2(least_squares_problem(y, z, options.params), z, gamma, options);
}

double StackedLinearPhysics::compute_sqnorm(const at::Tensor& x0, const SqnormOptions& options) const {
  check_image("compute_sqnorm", "x0", x0);
  check_options(options);
  if (size() <= 1) {
    return size() == 0 ? 0.0 : for_operator(0, [&] { return operators_[0]->compute_sqnorm(x0, options); });
  }
  return estimate_sqnorm([&](const at::Tensor& x) { return A_adjoint_A(x, options.params); }, x0, options);
}

SqnormBounds StackedLinearPhysics::sqnorm_bounds(const at::Tensor& x0, const SqnormOptions& options) const {
  check_image("sqnorm_bounds", "x0", x0);
  check_options(options);
  SqnormBounds bounds;
  for (std::size_t i = 0; i < size(); ++i) {
    const SqnormBounds own =
        for_operator(static_cast<std::int64_t>(i), [&] { return operators_[i]->sqnorm_bounds(x0, options); });
    bounds.lower = std::max(bounds.lower, weight() * own.lower);
    bounds.upper += weight() * own.upper;
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
  return adjoint_mismatch(u, Au, v, A_adjoint(v.local, params));
}

}  // namespace adjoin
