// Uses the installed library as a stranger would: an operator of their own, stacked, and its pseudoinverse.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "adjoin/distributed/stacked_linear_physics.hpp"

namespace {

class Scaling : public adjoin::LinearPhysics {
 public:
  explicit Scaling(double factor) : factor_(factor) {}

 protected:
  at::Tensor A_impl(const at::Tensor& x, const adjoin::Params&) const override { return x * factor_; }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const adjoin::Params&) const override { return y * factor_; }

 private:
  double factor_;
};

}  // namespace

int main() {
  adjoin::DistributedContext context({.engine = adjoin::Engine::single});
  adjoin::DistributedStackedLinearPhysics stack(context, 3, [](auto index, auto, const auto&) {
    return std::make_shared<Scaling>(1.0 + static_cast<double>(index));
  });
  const at::Tensor x = at::rand({1, 1, 8, 8}, at::kDouble);
  const double error = (stack.A_dagger(stack.A(x), {.local_only = false}) - x).abs().max().item<double>();
  const double sqnorm = (stack.A_adjoint_A(x) / x).max().item<double>();
  std::printf("pseudoinverse off by %.1e, norm^2 %.1f\n", error, sqnorm);
  return error < 1e-6 && std::abs(sqnorm - 14.0) < 1e-9 ? 0 : 1;
}
