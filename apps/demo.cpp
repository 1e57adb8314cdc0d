// The main job: a photograph seen through three blurs, each with noise, as one distributed stack of operators.
#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/psnr.hpp"
#include "adjoin/distributed/stacked_linear_physics.hpp"
#include "adjoin/io/image.hpp"
#include "adjoin/physics/blur.hpp"
#include "adjoin/physics/kernels.hpp"
#include "commands.hpp"

namespace adjoin {

namespace {

struct View {
  std::array<double, 2> sigma;  // of the blur, pixels
  double angle;                 // degrees
  double noise;                 // standard deviation, of an image in [0, 1]
};
constexpr std::array<View, 3> kViews = {{{{1.0, 1.0}, 0.0, 0.03}, {{2.0, 2.0}, 0.0, 0.05}, {{1.5, 3.0}, 30.0, 0.04}}};

LinearPhysicsPtr make_view(std::int64_t index, std::uint64_t seed) {
  const View& view = kViews.at(static_cast<std::size_t>(index));
  auto blur =
      std::make_shared<Blur>(gaussian_kernel(view.sigma, view.angle), BlurOptions{.padding = Padding::Circular});
  // A seed an operator: the noise does not depend on the number of ranks.
  blur->set_noise(gaussian_noise(view.noise, seed * kViews.size() + static_cast<std::uint64_t>(index)));
  return blur;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }
double largest_difference(const TensorList& a, const TensorList& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, largest_difference(a[i], b[i]));
  }
  return largest;
}

// The demo's state on one rank. Every method is collective; only rank 0 prints.
class Demo {
 public:
  Demo(DistributedContext& context, const DemoOptions& options)
      : context_(context),
        out_(options.out),
        truth_(read_png(options.image).to(context.device())),
        stack_(context, static_cast<std::int64_t>(kViews.size()),
               [&](std::int64_t index, at::Device, const Params&) { return make_view(index, options.seed); }),
        twin_(twin_operators(options.seed)) {
    if (printing()) {
      std::filesystem::create_directories(out_);
    }
  }

  int run() {
    print("adjoin demo: %s\n", context_.communicator().description().c_str());
    print("image %lld x %lld, %lld channels; three Gaussian blurs, one operator each; this rank owns %zu of them\n\n",
          static_cast<long long>(truth_.size(3)), static_cast<long long>(truth_.size(2)),
          static_cast<long long>(truth_.size(1)), stack_.local_indices().size());
    measure();
    compare();
    spectral_norm();
    pseudoinverse();
    reconstruct();
    contact_sheet();
    if (printing()) {
      std::ofstream(out_ / "demo.json") << report_.dump(2) << '\n';
    }
    print("\npictures and demo.json are in %s\n", out_.c_str());
    print("distributed and single-process stacks %s\n", agree_ ? "agree" : "DISAGREE");
    return agree_ ? 0 : 1;
  }

 private:
  static std::vector<LinearPhysicsPtr> twin_operators(std::uint64_t seed) {
    std::vector<LinearPhysicsPtr> operators;
    operators.reserve(kViews.size());
    for (std::size_t i = 0; i < kViews.size(); ++i) {
      operators.push_back(make_view(static_cast<std::int64_t>(i), seed));
    }
    return operators;
  }

  bool printing() const { return context_.rank() == 0; }
  template <class... Arguments>
  void print(const char* format, Arguments... arguments) const {
    if (!printing()) {
      return;
    }
    if constexpr (sizeof...(arguments) == 0) {
      std::fputs(format, stdout);
    } else {
      std::printf(format, arguments...);
    }
    std::fflush(stdout);
  }
  void save(const std::string& name, const at::Tensor& image) const {
    if (printing()) {
      write_png(out_ / c10::str(name, ".png"), image);
    }
  }

  // Seconds that `call` took on the slowest rank.
  template <class Call>
  double seconds(Call&& call) const {
    context_.communicator().barrier();
    const auto start = std::chrono::steady_clock::now();
    call();
    double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    context_.communicator().all_reduce(std::span(&elapsed, 1), ReduceOp::max);
    return elapsed;
  }
  template <class Call>
  double median_seconds(Call&& call) const {
    call();  // plans and caches
    std::array<double, 9> times{};
    for (double& time : times) {
      time = seconds(call);
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
  }

  void measure() {
    measurements_ = stack_.forward(truth_);
    note_difference("forward (noisy)", largest_difference(measurements_, twin_.forward(truth_)));
    save("truth", truth_);
    for (std::size_t i = 0; i < kViews.size(); ++i) {
      save(c10::str("measurement_", i + 1), measurements_[i]);
    }
    // Each blur keeps the mean, so a third of their sum looks like the picture.
    adjoint_ = stack_.A_adjoint(measurements_) / static_cast<double>(kViews.size());
    save("adjoint", adjoint_);
  }

  // Differences of one reduction order from another: some units in the last place of values up to 3.
  void note_difference(const std::string& call, double difference) {
    agree_ = agree_ && difference < 1e-5;
    report_["difference"][call] = difference;
  }

  void compare() {
    print("%-22s %18s %14s %14s\n", "", "largest difference", "distributed", "one process");
    print("%-22s %18.1e\n", "forward (noisy)", report_["difference"]["forward (noisy)"].get<double>());
    const auto row = [&](const char* call, auto&& distributed, auto&& single) {
      note_difference(call, largest_difference(distributed(), single()));
      const double ours = median_seconds(distributed);
      const double alone = median_seconds(single);
      report_["seconds"][call] = {{"distributed", ours}, {"single", alone}};
      print("%-22s %18.1e %11.2f ms %11.2f ms\n", call, report_["difference"][call].get<double>(), ours * 1e3,
            alone * 1e3);
    };
    row("A", [&] { return stack_.A(truth_); }, [&] { return twin_.A(truth_); });
    row("A_adjoint", [&] { return stack_.A_adjoint(measurements_); }, [&] { return twin_.A_adjoint(measurements_); });
    row("A_adjoint_A", [&] { return stack_.A_adjoint_A(truth_); }, [&] { return twin_.A_adjoint_A(truth_); });
  }

  void spectral_norm() {
    SqnormBounds bounds;
    double exact = 0.0;
    const double time = seconds([&] {
      bounds = stack_.sqnorm_bounds(truth_);
      exact = stack_.compute_sqnorm(truth_, {.max_iter = 200, .tol = 1e-4, .local_only = false});
    });
    report_["sqnorm"] = {{"lower", bounds.lower}, {"value", exact}, {"upper", bounds.upper}};
    print("\n|A|^2: bounds %.4f to %.4f, by Lanczos %.4f (%.0f ms)\n", bounds.lower, bounds.upper, exact, time * 1e3);
  }

  // A_dagger of `y`, timed, with its distance from the truth.
  at::Tensor dagger(const char* label, Solver solver, int iterations, const TensorList& y) {
    const DistributedDaggerOptions options = {
        .solver = solver, .max_iter = iterations, .tol = 0.0, .verbose = true, .local_only = false};
    at::Tensor x;
    const double time = seconds([&] { x = stack_.A_dagger(y, options); });
    const double quality = psnr(x, truth_);
    report_["A_dagger"].push_back({{"measurements", label},
                                   {"solver", to_string(solver)},
                                   {"iterations", iterations},
                                   {"psnr", quality},
                                   {"seconds", time}});
    print("%-12s %-6s %10d %9.2f dB %9.0f ms\n", label, std::string(to_string(solver)).c_str(), iterations, quality,
          time * 1e3);
    return x;
  }

  void pseudoinverse() {
    print("\npseudoinverse         iterations       PSNR         time\n");
    const TensorList clean = stack_.A(truth_);
    const at::Tensor lsqr_clean = dagger("clean data", Solver::LSQR, 100, clean);
    const at::Tensor cg_clean = dagger("clean data", Solver::CG, 100, clean);
    // The pseudoinverse inverts the noise as well: the best image comes early, and more iterations are worse.
    at::Tensor lsqr;
    at::Tensor cg;
    for (const int iterations : {3, 10, 30}) {
      lsqr = dagger("noisy data", Solver::LSQR, iterations, measurements_);
      cg = dagger("noisy data", Solver::CG, iterations, measurements_);
      save(c10::str("pseudoinverse_lsqr_", iterations), lsqr);
      save(c10::str("pseudoinverse_cg_", iterations), cg);
    }
    const double apart = at::linalg_vector_norm(lsqr - cg).item<double>() / at::linalg_vector_norm(cg).item<double>();
    report_["lsqr_against_cg"] = apart;
    print("LSQR and CG differ by %.1e after equally many iterations\n", apart);
  }

  // argmin gamma/2 |A x - y|^2 + 1/2 |x - z|^2 with z the scaled adjoint: the detail comes from the data, as far as the
  // noise allows.
  void reconstruct() {
    constexpr double kGamma = 3.0;
    const double time = seconds([&] { reconstruction_ = stack_.prox_l2(adjoint_, measurements_, kGamma); });
    const double quality = psnr(reconstruction_, truth_);
    report_["prox_l2"] = {{"gamma", kGamma}, {"psnr", quality}, {"seconds", time}};
    print("\nregularised least squares (prox_l2, gamma %.0f)  %.2f dB %9.0f ms\n", kGamma, quality, time * 1e3);
    print("for comparison, the measurements themselves:   ");
    for (const at::Tensor& y : measurements_) {
      report_["measurement_psnr"].push_back(psnr(y, truth_));
      print(" %.2f dB", psnr(y, truth_));
    }
    print("\n");
    save("reconstruction", reconstruction_);
    save("difference_reconstruction", 4.0 * (reconstruction_ - truth_).abs());
    save("difference_measurement_1", 4.0 * (measurements_[0] - truth_).abs());
  }

  // The three measurements over adjoint, reconstruction and truth: a detail of each, pixel by pixel.
  void contact_sheet() const {
    const auto detail = [](const at::Tensor& image) {
      const std::int64_t height = std::min<std::int64_t>(128, image.size(2));
      const std::int64_t width = std::min<std::int64_t>(144, image.size(3));
      return image.narrow(2, (image.size(2) - height) * 2 / 5, height)
          .narrow(3, (image.size(3) - width) * 3 / 5, width);
    };
    std::vector<at::Tensor> above;
    above.reserve(measurements_.size());
    for (const at::Tensor& y : measurements_) {
      above.push_back(detail(y));
    }
    const std::vector<at::Tensor> below = {detail(adjoint_), detail(reconstruction_), detail(truth_)};
    save("contact_sheet", at::cat({at::cat(above, 3), at::cat(below, 3)}, 2));
  }

  DistributedContext& context_;
  std::filesystem::path out_;
  at::Tensor truth_;
  DistributedStackedLinearPhysics stack_;
  StackedLinearPhysics twin_;
  TensorList measurements_;
  at::Tensor adjoint_;
  at::Tensor reconstruction_;
  bool agree_ = true;
  nlohmann::ordered_json report_;
};

}  // namespace

int demo(DistributedContext& context, const DemoOptions& options) { return Demo(context, options).run(); }

}  // namespace adjoin
