// SPDX-License-Identifier: BSD-3-Clause
// Projections against Joseph's method written out, and filtered backprojection of known objects.
#include "adjoin/operators/tomography/tomography.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "adjoin/physics/stacked.hpp"
#include "kernels/parallel_beam/parallel_beam.hpp"
#include "physics/dense.hpp"

namespace adjoin {
namespace {

using testing::all_types;
using testing::expect_close;
using testing::random;

at::Tensor degrees(double first, double last, std::int64_t count) {
  return at::linspace(first, last, count, at::kDouble);
}

double radians(double angle) { return angle * std::numbers::pi / 180.0; }

/// Joseph's method, ray by ray and line by line: the matrix (angles · detectors, H · W).
at::Tensor dense_joseph(const Tomography& physics) {
  const auto [height, width] = physics.image_size();
  const auto [detectors, spacing, shift] = physics.options();
  const auto angles = static_cast<std::int64_t>(physics.angles().size());
  const at::Tensor matrix = at::zeros({angles, detectors, height, width}, at::kDouble);
  auto entries = matrix.accessor<double, 4>();
  const double middle_row = static_cast<double>(height - 1) / 2.0;
  const double middle_column = static_cast<double>(width - 1) / 2.0;
  for (std::int64_t a = 0; a < angles; ++a) {
    const double cosine = std::cos(radians(physics.angles()[static_cast<std::size_t>(a)]));
    const double sine = std::sin(radians(physics.angles()[static_cast<std::size_t>(a)]));
    for (std::int64_t d = 0; d < detectors; ++d) {
      const double s = (static_cast<double>(d) - static_cast<double>(detectors - 1) / 2.0 - shift) * spacing;
      const auto add = [&](std::int64_t row, std::int64_t column, double weight) {
        if (row >= 0 && row < height && column >= 0 && column < width) {
          entries[a][d][row][column] += weight;
        }
      };
      if (std::abs(cosine) >= std::abs(sine)) {
        for (std::int64_t row = 0; row < height; ++row) {
          const double column = middle_column + (s + (static_cast<double>(row) - middle_row) * sine) / cosine;
          const double left = std::floor(column);
          add(row, static_cast<std::int64_t>(left), (1.0 - (column - left)) / std::abs(cosine));
          add(row, static_cast<std::int64_t>(left) + 1, (column - left) / std::abs(cosine));
        }
      } else {
        for (std::int64_t column = 0; column < width; ++column) {
          const double row = middle_row + ((static_cast<double>(column) - middle_column) * cosine - s) / sine;
          const double above = std::floor(row);
          add(static_cast<std::int64_t>(above), column, (1.0 - (row - above)) / std::abs(sine));
          add(static_cast<std::int64_t>(above) + 1, column, (row - above) / std::abs(sine));
        }
      }
    }
  }
  return matrix.view({angles * detectors, height * width});
}

/// A disk of this radius with its centre at (u, v) from the middle, to the right and downwards; pixels at the rim are
/// covered in part.
at::Tensor disk(std::int64_t size, double u, double v, double radius) {
  constexpr std::int64_t fine = 8;
  const double middle = static_cast<double>(size * fine - 1) / 2.0;
  const at::Tensor at = (at::arange(size * fine, at::kDouble) - middle) / fine;
  const at::Tensor inside = ((at.view({1, -1}) - u).square() + (at.view({-1, 1}) - v).square()).le(radius * radius);
  return at::avg_pool2d(inside.to(at::kDouble).view({1, 1, size * fine, size * fine}), {fine, fine});
}

struct Geometry {
  std::array<std::int64_t, 2> image;
  TomographyOptions options;
};

/// Odd sizes, few and many detectors, fine and coarse ones.
const std::vector<Geometry> geometries = {
    {{17, 17}, {}},
    {{17, 23}, {.detectors = 21}},
    {{40, 25}, {.detectors = 7, .spacing = 3.3}},
    {{21, 34}, {.detectors = 101, .spacing = 0.37, .shift = 2.25}},
    {{33, 16}, {.detectors = 40, .spacing = 1.9, .shift = -1.5}},
    {{9, 9}, {.detectors = 400, .spacing = 0.045}},
    {{1, 1}, {.detectors = 1}},
};

const at::Tensor& all_around() {
  static const at::Tensor angles =
      at::cat({degrees(-200.0, 200.0, 23), at::tensor({0.0, 45.0, 90.0, 135.0, 180.0, 270.0, -45.0}, at::kDouble)});
  return angles;
}

TEST(Tomography, EqualsTheMatrixOfJosephsMethod) {
  for (const auto& [image, options] : geometries) {
    const Tomography physics(all_around(), image, options);
    const at::Tensor matrix = dense_joseph(physics);
    for (const auto type : all_types) {
      const at::Tensor x = random({2, 3, image[0], image[1]}, type);
      const at::Tensor y = physics.A(x);
      const at::Tensor expected = at::matmul(x.flatten(2), matrix.to(type).t()).view(y.sizes());
      expect_close(y, expected, testing::precision(type) * 3);
      const at::Tensor v = random(y.sizes(), type);
      expect_close(physics.A_adjoint(v), at::matmul(v.flatten(2), matrix.to(type)).view(x.sizes()),
                   testing::precision(type) * 3);
    }
  }
}

TEST(Tomography, IsAdjoint) {
  for (const auto& [image, options] : geometries) {
    const Tomography physics(all_around(), image, options);
    for (const std::int64_t channels : {1, 3, 8, 19}) {
      for (const auto type : all_types) {
        EXPECT_LT(physics.adjointness_test(random({1, channels, image[0], image[1]}, type)),
                  at::toRealValueType(type) == at::kFloat ? 1e-6 : 1e-12);
      }
    }
  }
}

TEST(Tomography, IsAdjointAtFullSize) {
  const Tomography physics(degrees(-76.0, 76.0, 77), {256, 256}, {.detectors = 256});
  EXPECT_LT(physics.adjointness_test(random({1, 1, 256, 256}, at::kFloat)), 1e-6);
  EXPECT_LT(physics.adjointness_test(at::rand({1, 1, 256, 256}, at::kFloat)), 1e-6);
  EXPECT_LT(physics.adjointness_test(random({1, 1, 256, 256}, at::kDouble)), 1e-12);
}

TEST(Tomography, SinogramOfADiskIsTheChordLength) {
  constexpr double u = 31.0;
  constexpr double v = -18.0;
  constexpr double radius = 60.0;
  const Tomography physics(degrees(0.0, 350.0, 36), {257, 257}, {.detectors = 257, .shift = 0.5});
  const at::Tensor y = physics.A(disk(257, u, v, radius))[0][0];
  for (std::int64_t a = 0; a < 36; ++a) {
    const double angle = radians(physics.angles()[static_cast<std::size_t>(a)]);
    const at::Tensor s = at::arange(257, at::kDouble) - 128.5 - (u * std::cos(angle) - v * std::sin(angle));
    const at::Tensor chord = 2.0 * (radius * radius - s.square()).clamp_min(0.0).sqrt();
    EXPECT_LT(adjoin::norm(y[a] - chord), 0.01 * adjoin::norm(chord)) << angle;
    EXPECT_LT(at::abs(y[a] - chord).masked_select(at::abs(s).lt(0.95 * radius)).max().item<double>(),
              0.01 * 2 * radius);
    EXPECT_EQ(at::abs(y[a]).masked_select(at::abs(s).gt(radius + 2.0)).max().item<double>(), 0.0);
  }
}

TEST(Tomography, MassIsTheSameAtEveryAngle) {
  const Tomography physics(all_around(), {64, 48}, {.spacing = 0.25});
  const at::Tensor x = disk(48, 3.0, 4.0, 15.0);
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, 8, 8});
  const at::Tensor mass = physics.A(padded).sum(-1) * 0.25;
  EXPECT_LT(at::abs(mass / x.sum() - 1.0).max().item<double>(), 1e-3);
}

TEST(Tomography, DetectorSeesColumnsAtZeroAndRowsFromTheBottomAtNinety) {
  const Tomography physics(at::tensor({0.0, 90.0}), {5, 5}, {.detectors = 5});
  const at::Tensor x = random({1, 1, 5, 5});
  const at::Tensor y = physics.A(x);
  expect_close(y.select(2, 0), x.sum(2), 1e-12);
  expect_close(y.select(2, 1), x.sum(3).flip(-1), 1e-12);
}

TEST(Tomography, VolumesAreProjectedSliceBySlice) {
  const Tomography physics(degrees(-70.0, 80.0, 11), {19, 26}, {.detectors = 30, .spacing = 1.1});
  for (const auto type : {at::kFloat, at::kDouble}) {
    const at::Tensor x = random({2, 1, 21, 19, 26}, type);
    const at::Tensor y = physics.A(x);
    ASSERT_EQ(y.sizes(), at::IntArrayRef({2, 1, 21, 11, 30}));
    const at::Tensor back = physics.A_adjoint(y);
    ASSERT_EQ(back.sizes(), x.sizes());
    for (std::int64_t slice = 0; slice < 21; ++slice) {
      expect_close(y.select(2, slice), physics.A(x.select(2, slice)), testing::precision(type));
      expect_close(back.select(2, slice), physics.A_adjoint(y.select(2, slice)), testing::precision(type));
    }
  }
}

TEST(Tomography, TensorCodeEqualsTheKernels) {
  for (const auto& [image, options] : geometries) {
    const Tomography physics(all_around(), image, options);
    std::vector<parallel_beam::View> views;
    for (const double angle : physics.angles()) {
      views.push_back(parallel_beam::joseph_view(radians(angle), {image[0], image[1]}, physics.options().detectors,
                                                 options.spacing, options.shift));
    }
    const at::Tensor x = random({2, 1, image[0], image[1]});
    const at::Tensor y = physics.A(x);
    expect_close(parallel_beam::project(x.flatten(0, 1), views), y.flatten(0, 1), 1e-12);
    const at::Tensor back = physics.A_adjoint(y);
    expect_close(parallel_beam::backproject(y.flatten(0, 1), views, {image[0], image[1]}), back.flatten(0, 1), 1e-12);
  }
}

TEST(Tomography, DifferentiatesToTheAdjointAndBack) {
  const Tomography physics(degrees(0.0, 170.0, 9), {15, 12});
  const at::Tensor x = random({1, 2, 15, 12}).requires_grad_();
  const at::Tensor y = physics.A(x);
  const at::Tensor v = random(y.sizes(), at::kDouble, 1).requires_grad_();
  const auto gradient = torch::autograd::grad({y}, {x}, {v}, true, true)[0];
  expect_close(gradient.detach(), physics.A_adjoint(v.detach()), 1e-12);
  const at::Tensor w = random(x.sizes(), at::kDouble, 2);
  expect_close(torch::autograd::grad({gradient}, {v}, {w})[0], physics.A(w), 1e-12);
  const at::Tensor z = random(x.sizes(), at::kComplexDouble).requires_grad_();
  const at::Tensor u = random(y.sizes(), at::kComplexDouble, 3);
  expect_close(torch::autograd::grad({physics.A(z)}, {z}, {u})[0], physics.A_adjoint(u), 1e-12);
}

TEST(Tomography, FusedEqualsPlain) {
  std::vector<LinearPhysicsPtr> operators;
  for (std::int64_t i = 0; i < 6; ++i) {
    operators.push_back(std::make_shared<Tomography>(degrees(20.0 * static_cast<double>(i), 170.0, 1 + i % 3),
                                                     std::array<std::int64_t, 2>{23, 18},
                                                     TomographyOptions{.detectors = 20 + 5 * i, .spacing = 1.2}));
  }
  const StackedLinearPhysics fused(operators);
  const StackedLinearPhysics plain(operators, {.fuse = false});
  for (const auto type : all_types) {
    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{2, 1, 23, 18}, {1, 1, 9, 23, 18}}) {
      const at::Tensor x = random(shape, type);
      const TensorList y = fused.A(x);
      expect_close(y, plain.A(x), testing::precision(type));
      expect_close(fused.A_adjoint(y), plain.A_adjoint(y), testing::precision(type));
      expect_close(fused.A_adjoint_A(x), plain.A_adjoint_A(x), testing::precision(type));
      const at::Tensor out = at::full_like(x, 7.0);
      expect_close(fused.A_adjoint_sum(y, out), plain.A_adjoint(y), testing::precision(type));
    }
  }
  const auto calls = operators[0]->calls().A;
  fused.A_adjoint_A(random({1, 1, 23, 18}));
  EXPECT_EQ(operators[0]->calls().A, calls) << "not fused";
}

TEST(Tomography, FilteredBackprojectionRecoversADisk) {
  const at::Tensor x = disk(129, 10.0, -14.0, 35.0);
  const at::Tensor inner = disk(129, 10.0, -14.0, 30.0).eq(1.0);
  for (const auto filter :
       {FbpFilter::RamLak, FbpFilter::SheppLogan, FbpFilter::Cosine, FbpFilter::Hamming, FbpFilter::Hann}) {
    for (const double turn : {180.0, 360.0}) {
      for (const double spacing : {1.0, 0.6}) {
        const Tomography physics(degrees(0.0, turn, 181).narrow(0, 0, 180), {129, 129}, {.spacing = spacing});
        const at::Tensor values = physics.fbp(physics.A(x)).masked_select(inner);
        EXPECT_NEAR(values.mean().item<double>(), 1.0, 0.005) << to_string(filter);
        EXPECT_LT(at::abs(values - 1.0).max().item<double>(), 0.03) << to_string(filter);
      }
    }
  }
}

TEST(Tomography, FilteredBackprojectionWeighsAnglesByTheirGaps) {
  const at::Tensor x = disk(65, 0.0, 0.0, 20.0);
  const at::Tensor dense_then_sparse = at::cat({degrees(0.0, 89.0, 90), degrees(90.0, 178.0, 45)});
  const Tomography physics(dense_then_sparse, {65, 65});
  EXPECT_NEAR(physics.fbp(physics.A(x))[0][0][32][32].item<double>(), 1.0, 0.03);
  // A missing wedge is not integrated over: what is seen of a centred disk is the measured part of the half-circle.
  const Tomography wedge(degrees(-60.0, 60.0, 61), {65, 65});
  EXPECT_NEAR(wedge.fbp(wedge.A(x))[0][0][32][32].item<double>(), 122.0 / 180.0, 0.03);
}

TEST(Tomography, FilteredBackprojectionDifferentiates) {
  const Tomography physics(degrees(0.0, 150.0, 6), {9, 8}, {.detectors = 7});
  const at::Tensor y = random({1, 1, 6, 7}).requires_grad_();
  const at::Tensor v = random({1, 1, 9, 8});
  const at::Tensor gradient = torch::autograd::grad({physics.fbp(y)}, {y}, {v})[0];
  const at::Tensor direction = random(y.sizes(), at::kDouble, 5);
  EXPECT_NEAR((gradient * direction).sum().item<double>(), (physics.fbp(direction) * v).sum().item<double>(), 1e-12);
}

TEST(Tomography, PseudoinverseSolvesLeastSquares) {
  const Tomography physics(degrees(0.0, 172.0, 44), {16, 16});
  const at::Tensor x = random({1, 1, 16, 16});
  expect_close(physics.A_dagger(physics.A(x), {.max_iter = 500, .tol = 1e-12}), x, 1e-6);
}

TEST(Tomography, AcceptsAnyStrides) {
  const Tomography physics(degrees(0.0, 150.0, 6), {9, 8});
  const at::Tensor x = random({8, 9, 3, 2}).permute({3, 2, 1, 0});
  expect_close(physics.A(x), physics.A(x.contiguous()), 1e-14);
  EXPECT_EQ(physics.A(at::zeros({0, 1, 9, 8})).size(0), 0);
}

TEST(Tomography, ResultsDoNotDependOnThreads) {
  const Tomography physics(degrees(-76.0, 76.0, 7), {300, 200});
  const at::Tensor x = random({1, 3, 300, 200}, at::kFloat);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor y = physics.A(x);
  const at::Tensor back = physics.A_adjoint(y);
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(physics.A(x), y));
  EXPECT_TRUE(at::equal(physics.A_adjoint(y), back));
  at::set_num_threads(threads);
}

template <class F>
void expect_refusal(const F& f, const std::string& part) {
  try {
    f();
    ADD_FAILURE() << "no exception; expected one about " << part;
  } catch (const InvalidArgument& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

TEST(Tomography, RefusesBadInput) {
  const at::Tensor angles = degrees(0.0, 90.0, 4);
  expect_refusal([] { Tomography({}, {8, 8}); }, "angles");
  expect_refusal([] { Tomography(at::empty({0}), {8, 8}); }, "angles");
  expect_refusal([] { Tomography(at::zeros({2, 2}), {8, 8}); }, "angles");
  expect_refusal([] { Tomography(at::full({2}, std::nan("")), {8, 8}); }, "finite");
  expect_refusal([&] { Tomography(angles, {8, 0}); }, "image_size");
  expect_refusal([&] { Tomography(angles, {8, 8}, {.detectors = -1}); }, "detectors");
  expect_refusal([&] { Tomography(angles, {8, 8}, {.spacing = 0.0}); }, "spacing");
  expect_refusal([&] { Tomography(angles, {8, 8}, {.shift = INFINITY}); }, "shift");
  const Tomography physics(angles, {8, 8}, {.detectors = 10});
  expect_refusal([&] { physics.A(at::zeros({1, 1, 8, 9})); }, "A: x must be");
  expect_refusal([&] { physics.A(at::zeros({8, 8})); }, "A: x must be");
  expect_refusal([&] { physics.A_adjoint(at::zeros({1, 1, 4, 9})); }, "A_adjoint: y must be");
  expect_refusal([&] { physics.fbp(at::zeros({1, 1, 5, 10})); }, "fbp: y must be");
  expect_refusal([] { fbp_filter_from_string("gauss"); }, "gauss");
  EXPECT_EQ(fbp_filter_from_string("ramp"), FbpFilter::RamLak);
}

}  // namespace
}  // namespace adjoin
