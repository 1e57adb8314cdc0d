// Times adjoin on the workloads that benchmarks/peers/ times other libraries on. Run it under mpirun.
//
//   tiny  8 scalings of a 1 x 1 x 16 x 16 image: the framework alone; once as Diagonal, which fuses, and once as a
//   class
//         of the user's own, which does not ("own")
//   blur  8 circular Gaussian blurs of a 1 x 3 x 512 x 512 image
//   mri   4 operators of 3 coils each, one mask, 256 x 256
//
// A figure is the median over the repetitions of the time of the slowest rank, in seconds. "plain" holds what the same
// arithmetic takes without adjoin's stacks: the difference is the framework's own time.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/physics/blur.hpp"
#include "adjoin/physics/diagonal.hpp"
#include "adjoin/physics/kernels.hpp"
#include "adjoin/physics/multi_coil_mri.hpp"

namespace {

using adjoin::DistributedContext;
using adjoin::DistributedStackedLinearPhysics;

class Scaling : public adjoin::LinearPhysics {
 public:
  explicit Scaling(double factor) : factor_(factor) {}

 protected:
  at::Tensor A_impl(const at::Tensor& x, const adjoin::Params& /*params*/) const override { return x * factor_; }
  at::Tensor A_adjoint_impl(const at::Tensor& y, const adjoin::Params& /*params*/) const override {
    return y * factor_;
  }

 private:
  double factor_;
};

// Collects figures on all ranks.
class Stopwatch {
 public:
  explicit Stopwatch(const DistributedContext& context) : communicator_(context.communicator()) {}

  template <class Call>
  void time(const std::string& name, int repetitions, Call&& call) {
    for (int i = 0; i < 2; ++i) {
      call();
    }
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) {
      communicator_.barrier();
      const auto start = std::chrono::steady_clock::now();
      call();
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    communicator_.all_reduce(std::span<double>(times), adjoin::ReduceOp::max);
    std::ranges::sort(times);
    figures_[name] = times[times.size() / 2];
  }
  const nlohmann::ordered_json& figures() const { return figures_; }

 private:
  adjoin::Communicator& communicator_;
  nlohmann::ordered_json figures_ = nlohmann::ordered_json::object();
};

adjoin::DistributedDaggerOptions exactly(adjoin::Solver solver, int iterations) {
  return {.solver = solver, .max_iter = iterations, .tol = 0.0, .local_only = false};
}

void time_tiny(DistributedContext& context, Stopwatch& stopwatch) {
  const DistributedStackedLinearPhysics stack(context, 8, [](auto index, auto /*device*/, const auto& /*shared*/) {
    return std::make_shared<adjoin::Diagonal>(1.0 + 0.1 * static_cast<double>(index));
  });
  const at::Tensor x = at::rand({1, 1, 16, 16});
  const adjoin::TensorList y = stack.A(x);
  stopwatch.time("tiny.A", 200, [&] { stack.A(x); });
  stopwatch.time("tiny.A(no gather)", 200, [&] { stack.A(x, {.gather = false}); });
  stopwatch.time("tiny.A_adjoint", 200, [&] { stack.A_adjoint(y); });
  stopwatch.time("tiny.A_adjoint_A", 200, [&] { stack.A_adjoint_A(x); });
  stopwatch.time("tiny.A_A_adjoint", 200, [&] { stack.A_A_adjoint(y); });
  stopwatch.time("tiny.cg20", 20, [&] { stack.A_dagger(y, exactly(adjoin::Solver::CG, 20)); });
  stopwatch.time("tiny.lsqr20", 20, [&] { stack.A_dagger(y, exactly(adjoin::Solver::LSQR, 20)); });
}

void time_own_tiny(DistributedContext& context, Stopwatch& stopwatch) {
  const DistributedStackedLinearPhysics stack(context, 8, [](auto index, auto /*device*/, const auto& /*shared*/) {
    return std::make_shared<Scaling>(1.0 + 0.1 * static_cast<double>(index));
  });
  const at::Tensor x = at::rand({1, 1, 16, 16});
  const adjoin::TensorList y = stack.A(x);
  stopwatch.time("own.A", 200, [&] { stack.A(x); });
  stopwatch.time("own.A_adjoint", 200, [&] { stack.A_adjoint(y); });
  stopwatch.time("own.A_adjoint_A", 200, [&] { stack.A_adjoint_A(x); });
}

// Adjoint and normal operator of "own", as bare tensor operations and one reduction.
void time_plain_own(const DistributedContext& context, Stopwatch& stopwatch) {
  const at::Tensor x = at::rand({1, 1, 16, 16});
  const auto indices = context.local_indices(8);
  at::Tensor sum = at::zeros_like(x);
  const auto apply = [&](int scalings) {
    sum.zero_();
    for (const std::int64_t index : indices) {
      const double factor = 1.0 + 0.1 * static_cast<double>(index);
      sum.add_(scalings == 1 ? x * factor : (x * factor) * factor);
    }
    context.communicator().all_reduce(sum);
  };
  stopwatch.time("own.A_adjoint", 200, [&] { apply(1); });
  stopwatch.time("own.A_adjoint_A", 200, [&] { apply(2); });
}

// The least that a circular convolution of this image takes: there and back again, and one product.
void time_plain_blur(Stopwatch& stopwatch) {
  const at::Tensor x = at::rand({1, 3, 512, 512});
  const at::Tensor response = at::rand({1, 1, 512, 257});
  stopwatch.time("blur.A_adjoint_A", 9,
                 [&] { at::fft_irfft2(at::fft_rfft2(x).mul_(response), at::IntArrayRef({512, 512})); });
}

void time_blur(DistributedContext& context, Stopwatch& stopwatch) {
  const DistributedStackedLinearPhysics stack(context, 8, [](auto index, auto /*device*/, const auto& /*shared*/) {
    const auto i = static_cast<double>(index);
    return std::make_shared<adjoin::Blur>(adjoin::gaussian_kernel({0.5 + 0.3 * i, 0.7 + 0.2 * i}, 20.0 * i),
                                          adjoin::BlurOptions{.padding = adjoin::Padding::Circular});
  });
  const at::Tensor x = at::rand({1, 3, 512, 512});
  const adjoin::TensorList y = stack.A(x);
  stopwatch.time("blur.A", 9, [&] { stack.A(x); });
  stopwatch.time("blur.A(no gather)", 9, [&] { stack.A(x, {.gather = false}); });
  stopwatch.time("blur.A_adjoint", 9, [&] { stack.A_adjoint(y); });
  stopwatch.time("blur.A_adjoint_A", 9, [&] { stack.A_adjoint_A(x); });
  stopwatch.time("blur.cg10", 3, [&] { stack.A_dagger(y, exactly(adjoin::Solver::CG, 10)); });
  stopwatch.time("blur.lsqr10", 3, [&] { stack.A_dagger(y, exactly(adjoin::Solver::LSQR, 10)); });
  stopwatch.time("blur.sqnorm20", 3,
                 [&] { stack.compute_sqnorm(x, {.max_iter = 20, .tol = 0.0, .local_only = false}); });
}

void time_mri(DistributedContext& context, Stopwatch& stopwatch) {
  at::Tensor maps = at::randn({1, 12, 256, 256}, at::kComplexFloat);
  maps /= at::linalg_vector_norm(maps, 2, {1}, /*keepdim=*/true);
  const at::Tensor mask = at::rand({1, 1, 256, 256}).lt(0.3).to(at::kFloat);
  const DistributedStackedLinearPhysics stack(context, 4, [&](auto index, auto /*device*/, const auto& /*shared*/) {
    return std::make_shared<adjoin::MultiCoilMRI>(mask, maps.narrow(1, 3 * index, 3));
  });
  const at::Tensor x = at::randn({1, 2, 256, 256});
  const adjoin::TensorList y = stack.A(x);
  stopwatch.time("mri.A", 20, [&] { stack.A(x); });
  stopwatch.time("mri.A_adjoint", 20, [&] { stack.A_adjoint(y); });
  stopwatch.time("mri.A_adjoint_A", 20, [&] { stack.A_adjoint_A(x); });
  stopwatch.time("mri.cg20", 5, [&] { stack.A_dagger(y, exactly(adjoin::Solver::CG, 20)); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times adjoin on tiny, blur and mri; run it under mpirun");
  std::string file;
  std::string only;
  app.add_option("--json", file, "File for the figures; printed otherwise");
  app.add_option("--only", only, "One workload")->check(CLI::IsMember({"tiny", "blur", "mri"}));
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(1);
  const c10::NoGradGuard no_grad;
  DistributedContext context({.device_mode = adjoin::DeviceMode::cpu});
  at::manual_seed(0);
  Stopwatch stopwatch(context);
  Stopwatch plain(context);
  if (only.empty() || only == "tiny") {
    time_tiny(context, stopwatch);
    time_own_tiny(context, stopwatch);
    time_plain_own(context, plain);
  }
  if (only.empty() || only == "blur") {
    time_blur(context, stopwatch);
    time_plain_blur(plain);
  }
  if (only.empty() || only == "mri") {
    time_mri(context, stopwatch);
  }
  if (context.rank() == 0) {
    const nlohmann::ordered_json figures = {{"adjoin", stopwatch.figures()}, {"plain", plain.figures()}};
    if (file.empty()) {
      std::printf("%s\n", figures.dump(2).c_str());
    } else {
      std::ofstream(file) << figures.dump(2) << '\n';
    }
  }
  return 0;
}
