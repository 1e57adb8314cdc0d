// SPDX-License-Identifier: BSD-3-Clause
// Models whose methods are looked up once in a Python object, and called with the lock held.
#include "python_physics.hpp"

#include <utility>

namespace adjoin::python {

namespace {

// One method, looked up once.
class Method {
 public:
  Method(const std::string& physics, const Methods& methods, const char* method) : name_(physics + "." + method) {
    if (const auto found = methods.find(method); found != methods.end()) {
      function_ = found->second;
    }
  }
  explicit operator bool() const { return static_cast<bool>(function_); }
  at::Tensor operator()(const at::Tensor& x, const Params& params) const {
    return call(function_, name_, {&x}, params);
  }
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& v, const Params& params) const {
    return call(function_, name_, {&x, &v}, params);
  }

 private:
  std::string name_;
  Object function_;
};

// What models of both kinds have.
template <class Base>
class PythonModel : public Base {
 public:
  PythonModel(const Object& op, std::string name, const Methods& methods, ParameterNames parameters)
      : operator_(op),
        name_(std::move(name)),
        parameters_(std::move(parameters)),
        A_(name_, methods, "A"),
        forward_(name_, methods, "forward"),
        A_vjp_(name_, methods, "A_vjp"),
        update_(methods.contains("update") ? methods.at("update") : Object()) {}

  std::string name() const override { return name_; }
  ParameterNames parameter_names() const override { return parameters_; }
  Recipe recipe() const override {
    return {.maker = "as_physics",
            .arguments = {{"operator", operator_.opaque()}, {"linear", std::is_base_of_v<LinearPhysics, Base>}}};
  }

 protected:
  at::Tensor A_impl(const at::Tensor& x, const Params& params) const override { return A_(x, params); }
  at::Tensor forward_impl(const at::Tensor& x, const Params& params) const override {
    return forward_ ? forward_(x, params) : Base::forward_impl(x, params);
  }
  at::Tensor A_vjp_impl(const at::Tensor& x, const at::Tensor& v, const Params& params) const override {
    return A_vjp_ ? A_vjp_(x, v, params) : Base::A_vjp_impl(x, v, params);
  }

  void update_impl(const Params& params) override {
    check(static_cast<bool>(update_), name_, ": has no method update");
    const py::gil_scoped_acquire gil;
    update_.get()(**to_kwargs(params));
  }

  const Object operator_;
  const std::string name_;

 private:
  ParameterNames parameters_;
  Method A_;
  Method forward_;
  Method A_vjp_;
  Object update_;
};

class PythonLinearPhysics : public PythonModel<LinearPhysics> {
 public:
  PythonLinearPhysics(const Object& op, std::string name, const Methods& methods, ParameterNames parameters)
      : PythonModel(op, std::move(name), methods, std::move(parameters)),
        A_adjoint_(name_, methods, "A_adjoint"),
        A_adjoint_A_(name_, methods, "A_adjoint_A"),
        A_A_adjoint_(name_, methods, "A_A_adjoint"),
        A_dagger_(name_, methods, "A_dagger"),
        slice_axis_(methods.contains("slice_axis") ? methods.at("slice_axis") : Object()) {}

  std::optional<SliceWise> on_slices(at::IntArrayRef image, std::int64_t axis, std::int64_t /*begin*/,
                                     std::int64_t /*end*/) const override {
    if (!slice_axis_) {
      return std::nullopt;
    }
    const py::gil_scoped_acquire gil;
    const py::object found = slice_axis_.get()(py::tuple(py::cast(image.vec())), axis);
    return found.is_none() ? std::nullopt : std::optional(SliceWise{found.cast<std::int64_t>()});
  }

 protected:
  at::Tensor A_adjoint_impl(const at::Tensor& y, const Params& params) const override { return A_adjoint_(y, params); }
  at::Tensor A_adjoint_A_impl(const at::Tensor& x, const Params& params) const override {
    return A_adjoint_A_ ? A_adjoint_A_(x, params) : LinearPhysics::A_adjoint_A_impl(x, params);
  }
  at::Tensor A_A_adjoint_impl(const at::Tensor& y, const Params& params) const override {
    return A_A_adjoint_ ? A_A_adjoint_(y, params) : LinearPhysics::A_A_adjoint_impl(y, params);
  }
  at::Tensor A_dagger_impl(const at::Tensor& y, const Params& params) const override {
    return A_dagger_ ? A_dagger_(y, params) : at::Tensor();
  }

 private:
  Method A_adjoint_;
  Method A_adjoint_A_;
  Method A_A_adjoint_;
  Method A_dagger_;
  Object slice_axis_;
};

}  // namespace

PhysicsPtr make_python_physics(const Object& op, std::string name, const Methods& methods, ParameterNames parameters) {
  check(methods.contains("A"), name, ": must have a method A");
  return std::make_shared<PythonModel<Physics>>(op, std::move(name), methods, std::move(parameters));
}

LinearPhysicsPtr make_python_linear_physics(const Object& op, std::string name, const Methods& methods,
                                            ParameterNames parameters) {
  check(methods.contains("A") && methods.contains("A_adjoint"), name, ": must have methods A and A_adjoint");
  return std::make_shared<PythonLinearPhysics>(op, std::move(name), methods, std::move(parameters));
}

}  // namespace adjoin::python
