// SPDX-License-Identifier: BSD-3-Clause
// Sharded images, and the calls of stacks on them.
#include <pybind11/complex.h>

#include <complex>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/io/npy.hpp"
#include "stack_calls.hpp"

namespace adjoin::python {

namespace {

using Axis = std::optional<std::int64_t>;

SlabDaggerOptions slab_options(const LinearStack& stack, const char* method, const std::string& solver, int iterations,
                               double accuracy, bool progress, const std::optional<ShardedImage>& start, Axis axis,
                               SolveInfo* ended, const py::object& others) {
  return reading(stack, method, true, [&] {
    auto options = solve_options<SlabDaggerOptions>(stack, solver, iterations, accuracy, progress, ended, others);
    options.init = start;
    options.axis = axis;
    return options;
  });
}

void bind_images(py::module_& m) {
  py::class_<ShardedImage>(m, "ShardedImage")
      .def_readonly("local", &ShardedImage::local)
      .def_property_readonly("sizes", [](const ShardedImage& x) { return x.space->sizes; })
      .def_property_readonly("axis", [](const ShardedImage& x) { return x.space->axis; })
      .def_property_readonly("begins", [](const ShardedImage& x) { return x.space->begins; })
      .def_property_readonly("rank", [](const ShardedImage& x) { return x.space->rank; })
      .def(
          "with_local",
          [](const ShardedImage& x, const TensorLike& local) {
            check(local->sizes() == x.space->local_sizes(), "local: must have the shape of the slab, ",
                  at::IntArrayRef(x.space->local_sizes()), ", got ", local->sizes());
            return ShardedImage{local.tensor, x.space};
          },
          py::arg("local"))
      .def(
          "dot",
          [](const ShardedImage& a, const ShardedImage& b) {
            const c10::complex<double> product = adjoin::dot(a, b)[0];
            return std::complex<double>(product.real(), product.imag());
          },
          py::arg("other"), Unlocked())
      .def(
          "norm", [](const ShardedImage& x) { return adjoin::norm(x); }, Unlocked())
      .def(
          "write_npy", [](const ShardedImage& x, const std::string& path) { write_npy(path, x); }, py::arg("path"),
          Unlocked());
}

}  // namespace

void bind_slabs(py::module_& m, LinearStackClass& linear) {
  bind_images(m);
  const auto axis = py::arg("axis");
  const auto kwargs = py::arg("kwargs");
  const auto solver = py::arg("solver");
  const auto max_iter = py::arg("max_iter");
  const auto tol = py::arg("tol");
  const auto verbose = py::arg("verbose");
  const auto init = py::arg("init");
  const auto info = py::arg("info");
  linear
      .def(
          "shard_image",
          [](const LinearStack& stack, const TensorLike& x, Axis along) { return stack.shard_image(x, along); },
          py::arg("x"), axis, Unlocked())
      .def(
          "read_npy",
          [](const LinearStack& stack, const std::string& path, Axis along) {
            return read_npy(path, stack.image_space(npy_sizes(path), along));
          },
          py::arg("path"), axis, Unlocked())
      .def(
          "gather_image", [](const LinearStack& stack, const ShardedImage& x) { return stack.gather(x); }, py::arg("x"),
          Unlocked())
      .def(
          "A_of_sharded",
          [](const LinearStack& stack, const ShardedImage& x, bool gathered, const py::object& others) {
            const CallOptions options = call_options(stack, "A", true, others);
            const py::gil_scoped_release release;
            return gathered ? stack.A(x, options) : stack.A_sharded(x, options.params).local;
          },
          py::arg("x"), py::arg("whole"), kwargs)
      .def(
          "A_adjoint_sharded",
          [](const LinearStack& stack, const TensorList& y, Axis along, const py::object& others) {
            const CallOptions options = call_options(stack, "A_adjoint_sharded", true, others);
            const py::gil_scoped_release release;
            return stack.A_adjoint_sharded(y, along, options.params);
          },
          py::arg("y"), axis, kwargs)
      .def(
          "A_adjoint_A_of_sharded",
          [](const LinearStack& stack, const ShardedImage& x, const py::object& others) {
            const CallOptions options = call_options(stack, "A_adjoint_A", true, others);
            const py::gil_scoped_release release;
            return stack.A_adjoint_A(x, options.params);
          },
          py::arg("x"), kwargs)
      .def(
          "A_dagger_sharded",
          [](const LinearStack& stack, const TensorList& y, const std::string& method, int iterations, double accuracy,
             bool progress, const std::optional<ShardedImage>& start, Axis along, SolveInfo* ended,
             const py::object& others) {
            const SlabDaggerOptions options = slab_options(stack, "A_dagger_sharded", method, iterations, accuracy,
                                                           progress, start, along, ended, others);
            const py::gil_scoped_release release;
            return stack.A_dagger_sharded(y, options);
          },
          py::arg("y"), solver, max_iter, tol, verbose, init, axis, info, kwargs)
      .def(
          "prox_l2_of_sharded",
          [](const LinearStack& stack, const ShardedImage& z, const TensorList& y, const py::object& gamma,
             const std::string& method, int iterations, double accuracy, bool progress,
             const std::optional<ShardedImage>& start, SolveInfo* ended, const py::object& others) {
            const Gamma weight = reading(stack, "prox_l2", true, [&] { return to_gamma(gamma); });
            const SlabDaggerOptions options =
                slab_options(stack, "prox_l2", method, iterations, accuracy, progress, start, {}, ended, others);
            const py::gil_scoped_release release;
            return stack.prox_l2(z, y, weight, options);
          },
          py::arg("z"), py::arg("y"), py::arg("gamma"), solver, max_iter, tol, verbose, init, info, kwargs)
      .def(
          "compute_sqnorm_of_sharded",
          [](const LinearStack& stack, const ShardedImage& x0, int iterations, double accuracy, bool progress,
             const py::object& others) {
            const auto options = reading(stack, "compute_sqnorm", true, [&]() -> SqnormOptions {
              return {.max_iter = iterations, .tol = accuracy, .verbose = progress, .params = to_params(others)};
            });
            const py::gil_scoped_release release;
            return stack.compute_sqnorm(x0, options);
          },
          py::arg("x0"), max_iter, tol, verbose, kwargs);
}

}  // namespace adjoin::python
