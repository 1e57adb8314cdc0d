// SPDX-License-Identifier: BSD-3-Clause
// Stacks of operators over ranks, and sums over ranks of what Python computes.
#include "adjoin/distributed/local_sum.hpp"
#include "adjoin/distributed/measure_costs.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"

#include "casters.hpp"
#include "stack_calls.hpp"

namespace adjoin::python {

namespace {

using ContextPtr = std::shared_ptr<DistributedContext>;

// Sizes of images, groups along the slices, ranks of a group, and the axis.
using Grid = std::tuple<std::vector<std::int64_t>, int, int, std::int64_t>;

DistributedOptions to_options(const std::string& reduction, const std::optional<at::ScalarType>& dtype,
                              const std::string& gather_strategy, const std::vector<double>& costs, bool fuse,
                              const std::optional<Grid>& grid) {
  std::optional<SliceGrid> own;
  if (grid) {
    const auto& [image, slices, operators, axis] = *grid;
    own = SliceGrid{.image = image, .axis = axis, .slices = slices, .operators = operators};
  }
  return {.reduction = reduction_from_string(reduction),
          .dtype = dtype,
          .gather_strategy = gather_strategy_from_string(gather_strategy),
          .costs = costs,
          .fuse = fuse,
          .grid = own};
}

// A factory(index) of Python's that returns an operator of ours.
PhysicsFactory to_factory(const py::object& factory) {
  return [make = Object(factory)](std::int64_t index, at::Device /*device*/, const Params& /*shared*/) {
    const py::gil_scoped_acquire gil;
    return make.get()(index).cast<PhysicsPtr>();
  };
}

// The stack keeps its context, and an autograd graph keeps the stack.
template <class S>
auto constructor() {
  return py::init([](const ContextPtr& context, std::int64_t num_operators, const py::object& factory,
                     const std::string& reduction, const std::optional<at::ScalarType>& dtype,
                     const std::string& gather_strategy, const std::vector<double>& costs, bool fuse,
                     const std::optional<Grid>& grid) {
    const DistributedOptions options = to_options(reduction, dtype, gather_strategy, costs, fuse, grid);
    const PhysicsFactory make = to_factory(factory);
    const py::gil_scoped_release release;
    return without_gil(std::make_unique<S>(*context, num_operators, make, options), context);
  });
}

template <class S, class Result>
using CallOf = Result (S::*)(const at::Tensor& x, const CallOptions& options) const;

template <class S, class Result, class Class>
void bind_call(Class& stacks, const char* name, CallOf<S, Result> method) {
  stacks.def(
      name,
      [method, name](const S& stack, const TensorLike& x, bool gather, const py::object& kwargs) {
        const CallOptions options = call_options(stack, name, gather, kwargs);
        const py::gil_scoped_release release;
        return (stack.*method)(x, options);
      },
      py::arg("x"), py::arg("gather"), py::arg("kwargs"));
}

template <class Result, class Y, class Class>
void bind_call_of_list(Class& stacks, const char* name,
                       Result (LinearStack::*method)(Y y, const CallOptions& options) const) {
  stacks.def(
      name,
      [method, name](const LinearStack& stack, const TensorList& y, bool gather, const py::object& kwargs) {
        const CallOptions options = call_options(stack, name, gather, kwargs);
        const py::gil_scoped_release release;
        return (stack.*method)(y, options);
      },
      py::arg("y"), py::arg("gather"), py::arg("kwargs"));
}

template <class Result, class Class>
void bind_call_of_both(Class& stacks, const char* name,
                       Result (LinearStack::*method)(const at::Tensor& x, const Measurements& v,
                                                     const CallOptions& options) const) {
  stacks.def(
      name,
      [method, name](const LinearStack& stack, const TensorLike& x, const TensorList& v, bool gather,
                     const py::object& kwargs) {
        const CallOptions options = call_options(stack, name, gather, kwargs);
        const py::gil_scoped_release release;
        return (stack.*method)(x, v, options);
      },
      py::arg("x"), py::arg("v"), py::arg("gather"), py::arg("kwargs"));
}

template <class Class>
void bind_call_of_reduced(Class& stacks, const char* name,
                          at::Tensor (Stack::*method)(const at::Tensor& x, Reduction reduction,
                                                      const CallOptions& options) const) {
  stacks.def(
      name,
      [method, name](const Stack& stack, const TensorLike& x, const std::string& reduction, bool gather,
                     const py::object& kwargs) {
        const CallOptions options = call_options(stack, name, gather, kwargs);
        const Reduction own = reading(stack, name, gather, [&] { return reduction_from_string(reduction); });
        const py::gil_scoped_release release;
        return (stack.*method)(x, own, options);
      },
      py::arg("x"), py::arg("reduction"), py::arg("gather"), py::arg("kwargs"));
}

at::Tensor term_of(const Object& function, std::size_t position, const std::vector<at::Tensor>& tensors) {
  const py::gil_scoped_acquire gil;
  py::tuple arguments(1 + tensors.size());
  arguments[0] = position;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    arguments[1 + i] = tensors[i];
  }
  return to_tensor("data_fidelity", function.get()(*arguments));
}

}  // namespace

void bind_distributed(py::module_& m) {
  const auto context = py::arg("context");
  const auto num_operators = py::arg("num_operators");
  const auto factory = py::arg("factory");

  py::class_<Stack, std::shared_ptr<Stack>> stacks(m, "DistributedStackedPhysics");
  stacks
      .def(constructor<Stack>(), context, num_operators, factory, py::arg("reduction"), py::arg("dtype"),
           py::arg("gather_strategy"), py::arg("costs"), py::arg("fuse"), py::arg("grid"))
      .def_property_readonly("num_operators", &Stack::num_operators)
      .def_property_readonly("group", &Stack::group)
      .def_property_readonly("local_indices", &Stack::local_indices)
      .def("set_parameters", &Stack::set_parameters, py::arg("replicated"), py::arg("owned"), Unlocked())
      .def("refuse", refuse_with<Stack>, py::arg("method"), py::arg("error"));
  bind_call<Stack, TensorList>(stacks, "A", &Stack::A);
  bind_call<Stack, TensorList>(stacks, "forward", &Stack::forward);
  bind_call_of_reduced(stacks, "A_reduced", &Stack::A_reduced);
  bind_call_of_reduced(stacks, "forward_reduced", &Stack::forward_reduced);

  LinearStackClass linear(m, "DistributedStackedLinearPhysics");
  linear.def(constructor<LinearStack>(), context, num_operators, factory, py::arg("reduction"), py::arg("dtype"),
             py::arg("gather_strategy"), py::arg("costs"), py::arg("fuse"), py::arg("grid"));
  bind_call_of_list<at::Tensor>(linear, "A_adjoint", &LinearStack::A_adjoint);
  bind_call_of_list<TensorList>(linear, "A_adjoint_each", &LinearStack::A_adjoint_each);
  bind_call_of_both<at::Tensor>(linear, "A_vjp", &LinearStack::A_vjp);
  bind_call_of_both<TensorList>(linear, "A_vjp_each", &LinearStack::A_vjp_each);
  bind_call<LinearStack, at::Tensor>(linear, "A_adjoint_A", &LinearStack::A_adjoint_A);
  bind_call<LinearStack, TensorList>(linear, "A_adjoint_A_each", &LinearStack::A_adjoint_A_each);
  bind_call_of_list<TensorList, const TensorList&>(linear, "A_A_adjoint", &LinearStack::A_A_adjoint);
  const auto solver = py::arg("solver");
  const auto max_iter = py::arg("max_iter");
  const auto tol = py::arg("tol");
  const auto verbose = py::arg("verbose");
  const auto init = py::arg("init");
  const auto gather = py::arg("gather");
  const auto info = py::arg("info");
  const auto image_layout = py::arg("layout");
  const auto kwargs = py::arg("kwargs");
  linear
      .def(
          "A_dagger",
          [](const LinearStack& stack, const TensorList& y, const std::string& method, int iterations, double accuracy,
             bool progress, const MaybeTensor& start, bool local_only, bool gathered, SolveInfo* ended,
             const std::string& layout, const py::object& others) {
            const auto options = reading(stack, "A_dagger", gathered || !local_only, [&] {
              auto own =
                  solve_options<DistributedDaggerOptions>(stack, method, iterations, accuracy, progress, ended, others);
              own.init = tensor_of(start);
              own.local_only = local_only;
              own.gather = gathered;
              own.layout = image_layout_from_string(layout);
              return own;
            });
            const py::gil_scoped_release release;
            return stack.A_dagger(y, options);
          },
          py::arg("y"), solver, max_iter, tol, verbose, init, py::arg("local_only"), gather, info, image_layout, kwargs)
      .def(
          "prox_l2",
          [](const LinearStack& stack, const TensorLike& z, const TensorList& y, const py::object& gamma,
             const std::string& method, int iterations, double accuracy, bool progress, const MaybeTensor& start,
             SolveInfo* ended, const std::string& layout, const py::object& others) {
            const ImageLayout own = reading(stack, "prox_l2", true, [&] { return image_layout_from_string(layout); });
            const Gamma weight = reading(stack, "prox_l2", true, [&] { return to_gamma(gamma); });
            const auto options = reading(stack, "prox_l2", true, [&] {
              auto all = solve_options<DaggerOptions>(stack, method, iterations, accuracy, progress, ended, others);
              all.init = tensor_of(start);
              return all;
            });
            const py::gil_scoped_release release;
            return stack.prox_l2(z, y, weight, options, own);
          },
          py::arg("z"), py::arg("y"), py::arg("gamma"), solver, max_iter, tol, verbose, init, info, image_layout,
          kwargs)
      .def(
          "compute_sqnorm",
          [](const LinearStack& stack, const TensorLike& x0, int iterations, double accuracy, bool progress,
             bool local_only, bool gathered, const std::string& layout, const py::object& others) {
            const auto options =
                reading(stack, "compute_sqnorm", gathered || !local_only, [&]() -> DistributedSqnormOptions {
                  return {.max_iter = iterations,
                          .tol = accuracy,
                          .verbose = progress,
                          .params = to_params(others),
                          .local_only = local_only,
                          .gather = gathered,
                          .layout = image_layout_from_string(layout)};
                });
            const py::gil_scoped_release release;
            return stack.compute_sqnorm(x0, options);
          },
          py::arg("x0"), max_iter, tol, verbose, py::arg("local_only"), gather, image_layout, kwargs)
      .def(
          "sqnorm_bounds",
          [](const LinearStack& stack, const TensorLike& x0, int iterations, double accuracy,
             const py::object& others) {
            const auto options = reading(stack, "sqnorm_bounds", true, [&]() -> SqnormOptions {
              return {.max_iter = iterations, .tol = accuracy, .params = to_params(others)};
            });
            const py::gil_scoped_release release;
            const SqnormBounds bounds = stack.sqnorm_bounds(x0, options);
            return std::pair(bounds.lower, bounds.upper);
          },
          py::arg("x0"), max_iter, tol, kwargs)
      .def(
          "adjointness_test",
          [](const LinearStack& stack, const TensorLike& u, std::uint64_t seed, const py::object& others) {
            const Params params = reading(stack, "adjointness_test", true, [&] { return to_params(others); });
            const py::gil_scoped_release release;
            return stack.adjointness_test(u, seed, params);
          },
          py::arg("u"), py::arg("seed"), kwargs);

  bind_slabs(m, linear);

  m.def(
      "measure_costs",
      [](const ContextPtr& shared, std::int64_t count, const py::object& make, const TensorLike& x) {
        const PhysicsFactory operators = to_factory(make);
        const py::gil_scoped_release release;
        return measure_costs(*shared, count, operators, x);
      },
      context, num_operators, factory, py::arg("x"));

  py::class_<LocalSum, std::shared_ptr<LocalSum>>(m, "LocalSum")
      .def(py::init([](const ContextPtr& shared, std::string name, const std::vector<std::int64_t>& indices) {
             const py::gil_scoped_release release;
             return without_gil(std::make_unique<LocalSum>(*shared, std::move(name), indices), shared);
           }),
           context, py::arg("name"), py::arg("indices"))
      .def("set_parameters", &LocalSum::set_parameters, py::arg("replicated"), py::arg("owned"), Unlocked())
      .def("refuse", refuse_with<LocalSum>, py::arg("method"), py::arg("error"))
      .def(
          "reduce",
          [](LocalSum& sum, const py::object& part, const std::vector<at::Tensor>& inputs, bool gathered) {
            const Object function(part);
            const py::gil_scoped_release release;
            const auto term = [function](std::size_t position, const Tensors& tensors) {
              return term_of(function, position, tensors);
            };
            return sum(term, inputs, gathered);
          },
          py::arg("part"), py::arg("inputs"), gather);
}

}  // namespace adjoin::python
