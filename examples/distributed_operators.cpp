// SPDX-License-Identifier: BSD-3-Clause
// Distributed operators: three blurs of a photograph, spread over the ranks, do what they do in one process.
//
//   mpirun -n 2 build/release/examples/distributed_operators
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "adjoin/core/psnr.hpp"
#include "adjoin/distributed/distribute.hpp"
#include "example.hpp"
#include "three_views.hpp"

namespace {

using namespace adjoin;
using namespace adjoin::example;

struct Options {
  std::filesystem::path image = ".cache/data/kodim23.png";
  std::filesystem::path out = "out";
  bool small = false;
};

int run(const Options& options) {
  // Every rank runs this program. The context finds out who they are; alone there is just one.
  DistributedContext context;
  Promises promise(context);
  print(context, "distributed operators: " + context.description() + '\n');
  at::Tensor x = read_png(options.image).to(context.device());
  if (options.small) {
    x = x.narrow(2, 40, 160).narrow(3, 100, 192).contiguous();
  }

  // The stack A = [A_1; A_2; A_3] over the ranks, and the same in one process, for comparison.
  const DistributedStackedLinearPhysics A = distribute(make_views(), context);
  const StackedLinearPhysics single(make_views());

  // Measurements: A.forward gathers all three on every rank; A.forward_sharded would leave each where it was made.
  const TensorList y = A.forward(x);
  const TensorList y_single = single.forward(x);

  // Images are the same on every rank, and what must be summed over the ranks, one message sums.
  Table table{.header = {"", "largest difference", "over ranks", "one process"}};
  double largest = 0.0;
  const auto compare = [&](const std::string& name, const auto& distributed, const auto& alone) {
    const double difference = largest_difference(distributed(), alone());
    largest = std::max(largest, difference);
    table.rows.push_back({name, with("%.1e", difference), with("%.2f ms", 1e3 * seconds(context, distributed)),
                          with("%.2f ms", 1e3 * seconds(context, alone))});
  };
  for (std::size_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, largest_difference(y[i], y_single[i]));
  }
  compare("A x, the first", [&] { return A.A(x)[0]; }, [&] { return single.A(x)[0]; });
  compare("Aᵀ y", [&] { return A.A_adjoint(y); }, [&] { return single.A_adjoint(y); });
  compare("Aᵀ A x", [&] { return A.A_adjoint_A(x); }, [&] { return single.A_adjoint_A(x); });
  print(context, '\n' + to_text(table) + '\n');
  promise(largest < 1e-5, with("distributed equals single to 1e-5 (%.1e)", largest));
  promise(A.adjointness_test(x) < 1e-5, "Aᵀ is the adjoint of A");

  // The norm, by which step sizes are chosen: bounds by a few numbers sent, the value by Lanczos, to single precision.
  const SqnormBounds bounds = A.sqnorm_bounds(x);
  const double sqnorm = A.compute_sqnorm(x, {.max_iter = 200, .tol = 1e-4, .local_only = false});
  promise(bounds.lower <= sqnorm * 1.001 && sqnorm <= bounds.upper * 1.001,
          with("‖A‖² is %.3f,", sqnorm) + with(" between %.3f", bounds.lower) + with(" and %.3f", bounds.upper));

  // The image that explains all views, by regularised least squares: argmin γ/2 ‖A x − y‖² + 1/2 ‖x − z‖².
  const at::Tensor z = A.A_adjoint(y) / 3.0;  // each blur keeps the mean
  const at::Tensor estimate = A.prox_l2(z, y, 3.0);
  promise(largest_difference(estimate, single.prox_l2(z, y, 3.0)) < 1e-4, "so is the regularised least-squares image");
  promise(psnr(estimate, x) > psnr(y[0], x) + 1.0,
          with("it has %.2f dB,", psnr(estimate, x)) + with(" the best view %.2f dB", psnr(y[0], x)));

  if (context.rank() == 0) {
    std::filesystem::create_directories(options.out);
  }
  save(context, side_by_side({y[0], y[1], y[2]}), options.out / "operators_views.png");
  save(context, side_by_side({z, estimate, x}), options.out / "operators_estimate.png");
  return promise.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Three blurs of a photograph, over ranks and in one process");
  app.add_option("--image", options.image, "PNG picture")->capture_default_str();
  app.add_option("--out", options.out, "Folder for the pictures")->capture_default_str();
  app.add_flag("--small", options.small, "A detail of the picture");
  CLI11_PARSE(app, argc, argv);
  return guarded("distributed_operators", [&] { return run(options); });
}
