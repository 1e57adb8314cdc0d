// Stacks of operators over ranks, and sums over ranks of what Python computes.
#include "adjoin/distributed/local_sum.hpp"
#include "adjoin/distributed/measure_costs.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"

#include "casters.hpp"

namespace adjoin::python {

namespace {

using ContextPtr = std::shared_ptr<DistributedContext>;
using Stack = DistributedStackedPhysics;
using LinearStack = DistributedStackedLinearPhysics;

DistributedOptions to_options(const std::string& reduction, const std::optional<at::ScalarType>& dtype,
                              const std::string& gather_strategy, const std::vector<double>& costs, bool fuse) {
  return {.reduction = reduction_from_string(reduction),
          .dtype = dtype,
          .gather_strategy = gather_strategy_from_string(gather_strategy),
          .costs = costs,
          .fuse = fuse};
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
                     const std::string& gather_strategy, const std::vector<double>& costs, bool fuse) {
    const DistributedOptions options = to_options(reduction, dtype, gather_strategy, costs, fuse);
    const PhysicsFactory make = to_factory(factory);
    const py::gil_scoped_release release;
    return without_gil(std::make_unique<S>(*context, num_operators, make, options), context);
  });
}

template <class S, class Result>
using CallOf = Result (S::*)(const at::Tensor& x, const CallOptions& options) const;

template <class S, class Result>
auto call_of(CallOf<S, Result> method) {
  return [method](const S& stack, const TensorLike& x, bool gather, const py::object& kwargs) {
    const CallOptions options{.gather = gather, .params = to_params(kwargs)};
    const py::gil_scoped_release release;
    return (stack.*method)(x, options);
  };
}

template <class Result, class Y>
auto call_of_list(Result (LinearStack::*method)(Y y, const CallOptions& options) const) {
  return [method](const LinearStack& stack, const TensorList& y, bool gather, const py::object& kwargs) {
    const CallOptions options{.gather = gather, .params = to_params(kwargs)};
    const py::gil_scoped_release release;
    return (stack.*method)(y, options);
  };
}

template <class Result>
auto call_of_both(Result (LinearStack::*method)(const at::Tensor& x, const Measurements& v, const CallOptions& options)
                      const) {
  return [method](const LinearStack& stack, const TensorLike& x, const TensorList& v, bool gather,
                  const py::object& kwargs) {
    const CallOptions options{.gather = gather, .params = to_params(kwargs)};
    const py::gil_scoped_release release;
    return (stack.*method)(x, v, options);
  };
}

auto call_of_reduced(at::Tensor (Stack::*method)(const at::Tensor& x, Reduction reduction, const CallOptions& options)
                         const) {
  return [method](const Stack& stack, const TensorLike& x, const std::string& reduction, bool gather,
                  const py::object& kwargs) {
    const CallOptions options{.gather = gather, .params = to_params(kwargs)};
    const py::gil_scoped_release release;
    return (stack.*method)(x, reduction_from_string(reduction), options);
  };
}

// Among ranks a monitor costs a message an iteration, and the launcher ends them all anyway.
Monitor monitor_of(const Stack& stack) { return stack.context().size() == 1 ? interruptible() : Monitor(); }

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

  py::class_<Stack, std::shared_ptr<Stack>>(m, "DistributedStackedPhysics")
      .def(constructor<Stack>(), context, num_operators, factory, py::arg("reduction"), py::arg("dtype"),
           py::arg("gather_strategy"), py::arg("costs"), py::arg("fuse"))
      .def_property_readonly("num_operators", &Stack::num_operators)
      .def_property_readonly("local_indices", &Stack::local_indices)
      .def("set_parameters", &Stack::set_parameters, py::arg("replicated"), py::arg("owned"), Unlocked())
      .def("A", call_of<Stack, TensorList>(&Stack::A))
      .def("forward", call_of<Stack, TensorList>(&Stack::forward))
      .def("A_reduced", call_of_reduced(&Stack::A_reduced))
      .def("forward_reduced", call_of_reduced(&Stack::forward_reduced));

  py::class_<LinearStack, Stack, std::shared_ptr<LinearStack>>(m, "DistributedStackedLinearPhysics")
      .def(constructor<LinearStack>(), context, num_operators, factory, py::arg("reduction"), py::arg("dtype"),
           py::arg("gather_strategy"), py::arg("costs"), py::arg("fuse"))
      .def("A_adjoint", call_of_list<at::Tensor>(&LinearStack::A_adjoint))
      .def("A_adjoint_each", call_of_list<TensorList>(&LinearStack::A_adjoint_each))
      .def("A_vjp", call_of_both<at::Tensor>(&LinearStack::A_vjp))
      .def("A_vjp_each", call_of_both<TensorList>(&LinearStack::A_vjp_each))
      .def("A_adjoint_A", call_of<LinearStack, at::Tensor>(&LinearStack::A_adjoint_A))
      .def("A_adjoint_A_each", call_of<LinearStack, TensorList>(&LinearStack::A_adjoint_A_each))
      .def("A_A_adjoint", call_of_list<TensorList>(&LinearStack::A_A_adjoint))
      .def("A_dagger",
           [](const LinearStack& stack, const TensorList& y, const std::string& solver, int max_iter, double tol,
              bool verbose, const MaybeTensor& init, bool local_only, bool gather, const py::object& kwargs) {
             const DistributedDaggerOptions options{.solver = solver_from_string(solver),
                                                    .max_iter = max_iter,
                                                    .tol = tol,
                                                    .verbose = verbose,
                                                    .init = tensor_of(init),
                                                    .params = to_params(kwargs),
                                                    .monitor = monitor_of(stack),
                                                    .local_only = local_only,
                                                    .gather = gather};
             const py::gil_scoped_release release;
             return stack.A_dagger(y, options);
           })
      .def("prox_l2",
           [](const LinearStack& stack, const TensorLike& z, const TensorList& y, double gamma,
              const std::string& solver, int max_iter, double tol, bool verbose, const MaybeTensor& init,
              const py::object& kwargs) {
             const DaggerOptions options{.solver = solver_from_string(solver),
                                         .max_iter = max_iter,
                                         .tol = tol,
                                         .verbose = verbose,
                                         .init = tensor_of(init),
                                         .params = to_params(kwargs),
                                         .monitor = monitor_of(stack)};
             const py::gil_scoped_release release;
             return stack.prox_l2(z, y, gamma, options);
           })
      .def("compute_sqnorm",
           [](const LinearStack& stack, const TensorLike& x0, int max_iter, double tol, bool verbose, bool local_only,
              bool gather, const py::object& kwargs) {
             const DistributedSqnormOptions options{.max_iter = max_iter,
                                                    .tol = tol,
                                                    .verbose = verbose,
                                                    .params = to_params(kwargs),
                                                    .local_only = local_only,
                                                    .gather = gather};
             const py::gil_scoped_release release;
             return stack.compute_sqnorm(x0, options);
           })
      .def("sqnorm_bounds",
           [](const LinearStack& stack, const TensorLike& x0, int max_iter, double tol, const py::object& kwargs) {
             const SqnormOptions options{.max_iter = max_iter, .tol = tol, .params = to_params(kwargs)};
             const py::gil_scoped_release release;
             const SqnormBounds bounds = stack.sqnorm_bounds(x0, options);
             return std::pair(bounds.lower, bounds.upper);
           })
      .def("adjointness_test",
           [](const LinearStack& stack, const TensorLike& u, std::uint64_t seed, const py::object& kwargs) {
             const Params params = to_params(kwargs);
             const py::gil_scoped_release release;
             return stack.adjointness_test(u, seed, params);
           });

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
      .def(
          "reduce",
          [](LocalSum& sum, const py::object& part, const std::vector<at::Tensor>& inputs, bool gather) {
            const Object function(part);
            const py::gil_scoped_release release;
            const auto term = [function](std::size_t position, const Tensors& tensors) {
              return term_of(function, position, tensors);
            };
            return sum(term, inputs, gather);
          },
          py::arg("part"), py::arg("inputs"), py::arg("gather"));
}

}  // namespace adjoin::python
