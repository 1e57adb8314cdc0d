// SPDX-License-Identifier: BSD-3-Clause
// Stacks of every operator on the context's device, a GPU where torch and the machine have one: each method against
// the single-process stack in double precision on the CPU.
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <utility>

#include "adjoin/distributed/processing.hpp"
#include "adjoin/operators/blur/blur.hpp"
#include "adjoin/operators/blur/kernels.hpp"
#include "adjoin/operators/diagonal.hpp"
#include "adjoin/operators/downsampling.hpp"
#include "adjoin/operators/function.hpp"
#include "adjoin/operators/inpainting.hpp"
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/tomography/tomography.hpp"
#include "distributed/support.hpp"

namespace adjoin::test {
namespace {

constexpr double float_tolerance = 2e-5;

/// A stack whose operators are made for any device and precision, and the images it takes.
struct Stack {
  std::string name;
  std::int64_t num_operators;
  std::vector<std::int64_t> image;
  at::ScalarType dtype;  // of the images, in single precision
  std::function<LinearPhysicsPtr(std::int64_t index, at::Device device, bool is_double)> make;
};

// In names of tests and messages.
void PrintTo(const Stack& stack, std::ostream* out) { *out << stack.name; }

at::Tensor real(const at::Tensor& values, at::Device device, bool is_double) {
  return values.to(device, is_double ? at::kDouble : at::kFloat);
}

at::Tensor complex(const at::Tensor& values, at::Device device, bool is_double) {
  return values.to(device, is_double ? at::kComplexDouble : at::kComplexFloat);
}

Stack blurs(const char* name, Padding padding, at::ScalarType dtype, ConvolutionMethod method) {
  return {name, 5, {2, 3, 20, 24}, dtype, [=](std::int64_t i, at::Device device, bool is_double) {
            const double sigma = 0.5 + 0.25 * static_cast<double>(i);
            const at::Tensor kernel = gaussian_kernel({sigma, 0.8 * sigma}, 20.0 * static_cast<double>(i));
            return std::make_shared<Blur>(real(kernel, device, is_double),
                                          BlurOptions{.padding = padding, .method = method});
          }};
}

Stack coils(const char* name, std::vector<std::int64_t> image, at::ScalarType dtype) {
  return {name, 4, std::move(image), dtype, [](std::int64_t i, at::Device device, bool is_double) {
            const auto seed = static_cast<std::uint64_t>(i);
            const at::Tensor maps = random_tensor({1, 1 + i % 3, 15, 18}, at::kComplexDouble, seed);
            const at::Tensor mask = random_tensor({1, 1, 15, 18}, at::kDouble, 99) > 0;
            return std::make_shared<MultiCoilMRI>(real(mask, device, is_double), complex(maps, device, is_double));
          }};
}

std::vector<Stack> stacks() {
  using Size = std::vector<std::int64_t>;
  const Size image = {2, 2, 3, 4};
  return {
      blurs("circular_blurs", Padding::Circular, at::kFloat, ConvolutionMethod::Automatic),
      blurs("circular_blurs_of_complex_images", Padding::Circular, at::kComplexFloat, ConvolutionMethod::Automatic),
      blurs("valid_blurs", Padding::Valid, at::kFloat, ConvolutionMethod::Automatic),
      blurs("reflecting_blurs", Padding::Reflect, at::kFloat, ConvolutionMethod::Fft),
      blurs("direct_blurs", Padding::Replicate, at::kComplexFloat, ConvolutionMethod::Direct),
      coils("coils", {2, 1, 15, 18}, at::kComplexFloat),
      coils("coils_of_two_channels", {2, 2, 15, 18}, at::kFloat),
      {"tomography",
       7,
       {1, 2, 18, 21},
       at::kFloat,
       [](std::int64_t i, at::Device, bool) {
         const at::Tensor angles = at::tensor({-70.0 + 23.0 * static_cast<double>(i), 5.0 * static_cast<double>(i)});
         return std::make_shared<Tomography>(angles, std::array<std::int64_t, 2>{18, 21});
       }},
      {"matrices", 5, image, at::kComplexFloat,
       [](std::int64_t i, at::Device device, bool is_double) {
         return std::make_shared<Matrix>(complex(matrix_of(i, at::kComplexDouble), device, is_double), image_shape);
       }},
      {"diagonals", 3, image, at::kFloat,
       [](std::int64_t i, at::Device device, bool is_double) {
         const at::Tensor weights = random_tensor({1, 2, 3, 4}, at::kDouble, static_cast<std::uint64_t>(i));
         return std::make_shared<Diagonal>(real(weights, device, is_double));
       }},
      {"inpainting", 3, image, at::kFloat,
       [](std::int64_t i, at::Device device, bool is_double) {
         const at::Tensor mask = random_tensor({1, 2, 3, 4}, at::kDouble, static_cast<std::uint64_t>(i)) > -0.5;
         return std::make_shared<Inpainting>(real(mask, device, is_double));
       }},
      {"downsampling", 3, Size{1, 3, 16, 24}, at::kFloat,
       [](std::int64_t i, at::Device device, bool is_double) {
         return std::make_shared<Downsampling>(real(bicubic_kernel(2 + 2 * (i % 2)), device, is_double),
                                               DownsamplingOptions{.factor = 2 + 2 * (i % 2), .image_size = {16, 24}});
       }},
      {"functions_with_automatic_adjoints", 3, image, at::kFloat,
       [image](std::int64_t i, at::Device, bool) {
         return make_function(
             [i](const at::Tensor& x) {
               return (x + 0.5 * x.roll(1, 3)).narrow(2, 0, 2) * (1.0 + static_cast<double>(i));
             },
             {}, {.image_shape = image});
       }},
  };
}

at::Tensor in_double(const at::Tensor& t) { return t.cpu().to(t.is_complex() ? at::kComplexDouble : at::kDouble); }

TensorList in_double(const TensorList& list) {
  TensorList result;
  for (const at::Tensor& t : list) {
    result.push_back(in_double(t));
  }
  return result;
}

class OnTheDevice : public testing::TestWithParam<Stack> {
 protected:
  const Stack& model = GetParam();
  DistributedContext context;
  at::Device device = context.device();
  DistributedStackedLinearPhysics stack{
      context,
      model.num_operators,
      [this](std::int64_t i, at::Device d, const Params&) { return model.make(i, d, false); },
      {.gather_strategy = GatherStrategy::concatenated}};
  StackedLinearPhysics reference = twin();
  at::Tensor x = image(1);
  TensorList y = stack.A(image(2));

  at::Tensor image(std::uint64_t seed) const { return random_tensor(model.image, model.dtype, seed).to(device); }

  StackedLinearPhysics twin() const {
    std::vector<LinearPhysicsPtr> operators;
    for (std::int64_t i = 0; i < model.num_operators; ++i) {
      operators.push_back(model.make(i, at::kCPU, true));
    }
    return StackedLinearPhysics(operators);
  }

  void expect(const at::Tensor& result, const at::Tensor& expected, double tol = float_tolerance) const {
    EXPECT_EQ(result.device(), device);
    EXPECT_EQ(c10::toRealValueType(result.scalar_type()), at::kFloat);
    expect_near(in_double(result), expected, tol);
  }
  void expect(const TensorList& results, const TensorList& expected) const {
    ASSERT_EQ(results.size(), expected.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      expect(results[i], expected[i]);
    }
  }
};

TEST_P(OnTheDevice, MeasurementsAreGatheredByEveryStrategy) {
  const TensorList expected = reference.A(in_double(x));
  for (const auto strategy : {GatherStrategy::naive, GatherStrategy::concatenated, GatherStrategy::broadcast}) {
    const DistributedStackedLinearPhysics one(
        context, model.num_operators,
        [this](std::int64_t i, at::Device d, const Params&) { return model.make(i, d, false); },
        {.gather_strategy = strategy});
    expect(one.A(x), expected);
    expect(one.A(x), expected);  // once planned
  }
  expect(stack.A(x, {.gather = false}), part_of(expected, stack.local_indices()));
}

TEST_P(OnTheDevice, SumsAreReduced) {
  for (int round = 0; round < 2; ++round) {
    expect(stack.A_adjoint(y), reference.A_adjoint(in_double(y)));
    expect(stack.A_vjp(x, y), reference.A_vjp(in_double(x), in_double(y)));
    expect(stack.A_adjoint_A(x), reference.A_adjoint_A(in_double(x)));
    expect(stack.A_A_adjoint(y), reference.A_A_adjoint(in_double(y)));
  }
}

TEST_P(OnTheDevice, TheStackIsAdjointToItself) { EXPECT_LT(stack.adjointness_test(x), float_tolerance); }

TEST_P(OnTheDevice, SolversStayOnTheDevice) {
  for (const Solver solver : {Solver::CG, Solver::LSQR, Solver::LSMR, Solver::BiCGStab, Solver::MINRES}) {
    const at::Tensor z = stack.A_dagger(y, {.solver = solver, .max_iter = 4, .tol = 0.0, .local_only = false});
    expect(z, reference.A_dagger(in_double(y), {.solver = solver, .max_iter = 4, .tol = 0.0}), 1e-3);
  }
  expect(stack.prox_l2(x, y, 0.7, {.max_iter = 50, .tol = 1e-6}),
         reference.prox_l2(in_double(x), in_double(y), 0.7, {.max_iter = 100, .tol = 1e-10}), 1e-4);
}

TEST_P(OnTheDevice, TheNormIsThatOfTheTwin) {
  const double expected = reference.compute_sqnorm(in_double(x), {.max_iter = 200, .tol = 1e-8});
  EXPECT_NEAR(stack.compute_sqnorm(x, {.max_iter = 200, .tol = 1e-5, .local_only = false}), expected, 1e-3 * expected);
  EXPECT_GE(stack.compute_sqnorm(x), expected * (1.0 - 1e-4));
}

TEST_P(OnTheDevice, GradientsFlowThroughTheStack) {
  const c10::AutoGradMode grad(true);
  const at::Tensor leaf = x.detach().requires_grad_(true);
  const at::Tensor normal = stack.A_adjoint_A(leaf);
  const at::Tensor v = image(3);
  const at::Tensor gradient = torch::autograd::grad({normal}, {leaf}, {v})[0];
  expect(gradient, reference.A_adjoint_A(in_double(v)));
}

TEST_P(OnTheDevice, AFailureOnOneRankReachesAll) {
  TensorList wrong = y;
  wrong[0] = at::zeros({1, 1}, y[0].options());
  expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(wrong); });
  expect(stack.A_adjoint(y), reference.A_adjoint(in_double(y)));
}

INSTANTIATE_TEST_SUITE_P(Stacks, OnTheDevice, testing::ValuesIn(stacks()),
                         [](const auto& test) { return test.param.name; });

TEST(OnTheDevice, ADenoiserInTilesGivesWhatItGivesOnTheWholeImage) {
  DistributedContext context;
  const at::Tensor kernel = random_tensor({2, 2, 3, 3}, at::kFloat, 1).to(context.device()) * 0.3;
  const auto smooth = [&](const at::Tensor& tiles) {
    return at::tanh(at::conv2d(at::pad(tiles, {1, 1, 1, 1}, "circular"), kernel));
  };
  const DistributedProcessing tiled(context, smooth,
                                    {.patch_size = {8}, .overlap = {1}, .pad_mode = PadMode::circular});
  const at::Tensor image = random_tensor({1, 2, 25, 31}, at::kFloat, 2).to(context.device());
  for (int round = 0; round < 2; ++round) {
    const at::Tensor result = tiled(image);
    EXPECT_EQ(result.device(), context.device());
    expect_near(result.cpu(), smooth(image).cpu(), float_tolerance);
  }
}

}  // namespace
}  // namespace adjoin::test
