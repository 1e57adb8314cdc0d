// SPDX-License-Identifier: BSD-3-Clause
// Cartesian parallel MRI against dense transforms, in two and three dimensions and in time.
#include "adjoin/operators/mri/multi_coil_mri.hpp"
#include "adjoin/operators/arithmetic.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/fused.hpp"
#include "physics/fused_support.hpp"

namespace adjoin {
namespace {

double precision(const at::Tensor& t) { return at::toRealValueType(t.scalar_type()) == at::kFloat ? 1e-5 : 1e-12; }

/// E_kj = e^{−2πi (j − c)(k − c) / n} / √n, c = n / 2.
at::Tensor centred_dft(std::int64_t n) {
  const std::int64_t c = n / 2;
  const at::Tensor p = at::arange(n, at::kDouble) - static_cast<double>(c);
  const at::Tensor angle = at::outer(p, p) * (-2.0 * std::numbers::pi / static_cast<double>(n));
  return at::complex(angle.cos(), angle.sin()) / std::sqrt(static_cast<double>(n));
}

at::Tensor dense_transform(at::Tensor z, std::int64_t rank) {
  for (std::int64_t axis = 1; axis <= rank; ++axis) {
    z = at::matmul(z.movedim(-axis, -1), centred_dft(z.size(-axis)).t()).movedim(-1, -axis);
  }
  return z;
}

struct Case {
  std::string name;
  MultiCoilMRIOptions options;
  std::int64_t items;
  std::vector<std::int64_t> mask;
  std::vector<std::int64_t> maps;
  std::vector<std::int64_t> image;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"slice", {}, 1, {6, 8}, {1, 3, 6, 8}, {6, 8}},
      {"odd slice", {}, 2, {1, 1, 5, 7}, {2, 5, 7}, {5, 7}},
      {"item-wise slice", {}, 2, {2, 1, 6, 5}, {2, 2, 6, 5}, {6, 5}},
      {"wide slice", {}, 1, {6, 70}, {2, 6, 70}, {6, 70}},
      {"odd wide slice", {}, 1, {5, 131}, {1, 5, 131}, {5, 131}},
      {"columns", {}, 2, {1, 8}, {1, 1, 4, 8}, {4, 8}},
      {"rows", {}, 1, {7, 1}, {2, 7, 6}, {7, 6}},
      {"no mask", {}, 1, {}, {4, 4, 6}, {4, 6}},
      {"volume", {.three_d = true, .dynamic = false}, 2, {1, 1, 4, 3, 6}, {1, 2, 4, 3, 6}, {4, 3, 6}},
      {"volume with readout", {.three_d = true, .dynamic = false}, 1, {4, 3, 1}, {2, 4, 3, 6}, {4, 3, 6}},
      {"volume with first axis whole", {.three_d = true, .dynamic = false}, 1, {1, 3, 6}, {2, 5, 3, 6}, {5, 3, 6}},
      {"volume with middle axis whole", {.three_d = true, .dynamic = false}, 1, {4, 1, 6}, {2, 4, 3, 6}, {4, 3, 6}},
      {"volume of slabs", {.three_d = true, .dynamic = false}, 1, {4, 1, 1}, {2, 4, 3, 6}, {4, 3, 6}},
      {"volume of columns", {.three_d = true, .dynamic = false}, 1, {1, 3, 1}, {2, 4, 3, 6}, {4, 3, 6}},
      {"even volume", {.three_d = true, .dynamic = false}, 1, {4, 2, 6}, {3, 4, 2, 6}, {4, 2, 6}},
      {"frames", {.three_d = false, .dynamic = true}, 2, {1, 1, 3, 4, 6}, {2, 2, 4, 6}, {3, 4, 6}},
      {"odd frames", {.three_d = false, .dynamic = true}, 2, {2, 1, 2, 5, 4}, {1, 3, 5, 4}, {2, 5, 4}},
      {"frames of lines", {.three_d = false, .dynamic = true}, 1, {1, 1, 3, 6, 1}, {2, 6, 5}, {3, 6, 5}},
      {"frames with one mask", {.three_d = false, .dynamic = true}, 1, {4, 4}, {2, 4, 4}, {3, 4, 4}},
  };
  return all;
}

std::vector<std::int64_t> image_shape(const Case& c, bool complex) {
  std::vector<std::int64_t> shape = {c.items, complex ? 1 : 2};
  shape.insert(shape.end(), c.image.begin(), c.image.end());
  return shape;
}

template <class Test>
void for_every_case(const Test& test) {
  for (const Case& c : cases()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kComplexFloat, at::kComplexDouble}) {
      for (const bool density : {false, true}) {  // a mask of any numbers in place of zeros and ones
        SCOPED_TRACE(c10::str(c.name, density ? ", density, " : ", ", dtype));
        at::manual_seed(2);
        at::Tensor mask;
        if (!c.mask.empty()) {
          mask = (at::rand(c.mask) < 0.6).to(at::kDouble);
          mask = density ? mask * at::rand(c.mask, at::kDouble) : mask;
        }
        const at::Tensor maps = at::randn(c.maps, at::kComplexDouble);
        test(c, at::randn(image_shape(c, at::isComplexType(dtype)), dtype), mask, maps,
             std::make_shared<MultiCoilMRI>(mask, maps, c.options));
      }
    }
  }
}

at::Tensor to_complex(const at::Tensor& real) { return at::complex(real.select(1, 0), real.select(1, 1)); }
at::Tensor to_channels(const at::Tensor& z) { return at::stack({at::real(z), at::imag(z)}, 1); }

TEST(MultiCoilMRI, EqualsMaskedCentredTransformOfWeightedImages) {
  for_every_case([](const Case& c, const at::Tensor& x, const at::Tensor& mask, const at::Tensor& maps,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    const at::Tensor y = mri->A(x);
    EXPECT_EQ(y.scalar_type(), x.scalar_type());
    EXPECT_TRUE(y.is_contiguous());
    const at::Tensor image = (x.is_complex() ? x : to_complex(x).unsqueeze(1)).to(at::kComplexDouble);
    at::Tensor whole_maps = maps.dim() == (c.options.three_d ? 4 : 3) ? maps.unsqueeze(0) : maps;
    whole_maps = c.options.dynamic ? whole_maps.unsqueeze(2) : whole_maps;
    at::Tensor expected = dense_transform(image * whole_maps, c.options.three_d ? 3 : 2);
    if (mask.defined()) {
      expected = expected * (mask.dim() == 5 || c.image.size() == 2 ? mask : mask.unsqueeze(0));
    }
    expected = x.is_complex() ? expected : to_channels(expected);
    ASSERT_EQ(y.sizes(), expected.sizes());
    EXPECT_LT(relative_difference(y.to(expected.scalar_type()), expected), 0.1 * precision(x));
  });
}

TEST(MultiCoilMRI, AdjointIsExact) {
  for_every_case([](const Case&, const at::Tensor& x, const at::Tensor&, const at::Tensor&,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    EXPECT_LT(mri->adjointness_test(x), precision(x));
    EXPECT_EQ(mri->A_adjoint(mri->A(x)).sizes(), x.sizes());
  });
}

TEST(MultiCoilMRI, NormalOperatorIsAdjointAfterForward) {
  for_every_case([](const Case&, const at::Tensor& x, const at::Tensor&, const at::Tensor&,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    EXPECT_LT(relative_difference(mri->A_adjoint_A(x), mri->A_adjoint(mri->A(x))), 0.1 * precision(x));
  });
}

TEST(MultiCoilMRI, DifferentiablePathEqualsTheKernels) {
  for_every_case([](const Case&, const at::Tensor& x, const at::Tensor&, const at::Tensor&,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor y = mri->A(leaf);
    EXPECT_LT(relative_difference(y.detach(), mri->A(x)), 0.1 * precision(x));
    const at::Tensor v = adjoin::randn_like(y.detach(), 3);
    EXPECT_LT(relative_difference(torch::autograd::grad({y}, {leaf}, {v})[0], mri->A_adjoint(v)), precision(x));
    at::Tensor measured = v.clone().requires_grad_();
    const at::Tensor z = mri->A_adjoint(measured);
    EXPECT_LT(relative_difference(torch::autograd::grad({z}, {measured}, {x})[0], mri->A(x)), precision(x));
    const at::Tensor normal = mri->A_adjoint_A(leaf);
    EXPECT_LT(relative_difference(normal.detach(), mri->A_adjoint_A(x)), 0.1 * precision(x));
  });
}

TEST(MultiCoilMRI, ResultsDoNotDependOnThreads) {
  const int threads = at::get_num_threads();
  const at::Tensor maps = at::randn({3, 150, 200}, at::kComplexFloat);
  for (const at::Tensor& mask : {at::rand({150, 200}).lt(0.3), at::rand({150, 1}).lt(0.3), at::rand({200}).lt(0.3)}) {
    const MultiCoilMRI mri(mask, maps);
    const at::Tensor x = at::randn({1, 2, 150, 200});
    at::set_num_threads(1);
    const at::Tensor y = mri.A(x);
    const at::Tensor back = mri.A_adjoint(y);
    const at::Tensor normal = mri.A_adjoint_A(x);
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(mri.A(x), y));
    EXPECT_TRUE(at::equal(mri.A_adjoint(y), back));
    EXPECT_TRUE(at::equal(mri.A_adjoint_A(x), normal));
  }
  at::set_num_threads(threads);
}

TEST(MultiCoilMRI, ReadsStridedAndConjugatedTensors) {
  const MultiCoilMRI mri(at::Tensor(), at::randn({2, 6, 4}, at::kComplexFloat));
  const at::Tensor x = at::randn({1, 6, 4, 2}).permute({0, 3, 1, 2});
  EXPECT_TRUE(at::equal(mri.A(x), mri.A(x.contiguous())));
  const at::Tensor z = at::randn({1, 1, 6, 4}, at::kComplexFloat);
  EXPECT_TRUE(at::equal(mri.A(z.conj()), mri.A(z.conj().resolve_conj())));
  EXPECT_TRUE(at::equal(mri.A_adjoint(mri.A(z).conj()), mri.A_adjoint(mri.A(z).conj().resolve_conj())));
}

// Reference values: deepinv 0.4.1, MultiCoilMRI(mask, coil_maps) with the same inputs.
TEST(MultiCoilMRI, AgreesWithDeepinv) {
  const at::Tensor x = at::arange(60, at::kFloat).sin().view({1, 2, 5, 6});
  const at::Tensor maps = at::polar(at::ones({60}), at::arange(60, at::kFloat) * 0.3).view({1, 2, 5, 6});
  const at::Tensor mask = (at::arange(30).remainder(3) > 0).to(at::kFloat).view({1, 1, 5, 6});
  const MultiCoilMRI mri(mask, maps);
  const at::Tensor y = mri.A(x);
  ASSERT_EQ(y.sizes(), (std::vector<std::int64_t>{1, 2, 2, 5, 6}));
  EXPECT_NEAR(y[0][0][0][1][2].item<double>(), -0.0209428, 1e-6);
  EXPECT_NEAR(y[0][1][0][1][2].item<double>(), -0.1359926, 1e-6);
  EXPECT_NEAR(y[0][0][1][4][5].item<double>(), -0.3144823, 1e-6);
  const at::Tensor z = mri.A_adjoint(y);
  EXPECT_NEAR(z[0][0][1][2].item<double>(), 2.4260337, 1e-5);
  EXPECT_NEAR(z[0][1][4][5].item<double>(), 1.1282773, 1e-5);
}

TEST(MultiCoilMRI, MaskMayBeBooleanAndHaveTwoEqualChannels) {
  const at::Tensor maps = at::randn({3, 6, 6}, at::kComplexFloat);
  const at::Tensor mask = at::rand({6, 6}) < 0.5;
  const at::Tensor x = at::randn({1, 2, 6, 6});
  const at::Tensor y = MultiCoilMRI(mask.to(at::kFloat), maps).A(x);
  EXPECT_TRUE(at::equal(MultiCoilMRI(mask, maps).A(x), y));
  EXPECT_TRUE(at::equal(MultiCoilMRI(mask.expand({2, 6, 6}), maps).A(x), y));
  EXPECT_TRUE(at::equal(MultiCoilMRI(mask.expand({1, 2, 6, 6}), maps).A(x), y));
}

TEST(MultiCoilMRI, NoiseKeepsUnsampledFrequenciesZero) {
  for_every_case([](const Case&, const at::Tensor& x, const at::Tensor& mask, const at::Tensor&,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    mri->set_noise(gaussian_noise(0.5, 1));
    const at::Tensor noise = mri->forward(x) - mri->A(x);
    const at::Tensor own = mri->mask() != 0;
    const at::Tensor sampled = (x.is_complex() ? own : own.unsqueeze(2)).expand_as(noise);
    EXPECT_TRUE(at::all(noise.masked_select(sampled.logical_not()) == 0).item<bool>());
    EXPECT_TRUE(at::all(noise.masked_select(sampled) != 0).item<bool>());
    EXPECT_EQ(mask.defined(), !at::all(sampled).item<bool>());
  });
}

TEST(MultiCoilMRI, ParametersOfACallAndUpdates) {
  const at::Tensor maps = at::randn({1, 2, 6, 5}, at::kComplexDouble);
  const at::Tensor mask = at::rand({6, 5}, at::kDouble);
  const at::Tensor x = at::randn({1, 2, 6, 5}, at::kDouble);
  MultiCoilMRI mri(at::Tensor(), at::randn({3, 6, 5}, at::kComplexDouble));
  const at::Tensor before = mri.A(x);
  const MultiCoilMRI reference(mask, maps);
  const Params both{{"mask", mask}, {"coil_maps", maps}};
  EXPECT_TRUE(at::allclose(mri.A(x, both), reference.A(x)));
  EXPECT_TRUE(at::allclose(mri.A_adjoint(reference.A(x), both), reference.A_adjoint(reference.A(x))));
  EXPECT_TRUE(at::allclose(mri.A_adjoint_A(x, both), reference.A_adjoint_A(x)));
  EXPECT_TRUE(at::allclose(mri.A(x, {{"mask", mask}}), MultiCoilMRI(mask, mri.coil_maps()).A(x)));
  EXPECT_TRUE(at::equal(mri.A(x), before));
  mri.update({{"coil_maps", maps}});
  EXPECT_TRUE(at::allclose(mri.A(x), MultiCoilMRI(at::Tensor(), maps).A(x)));
  mri.update(both);
  EXPECT_TRUE(at::allclose(mri.A(x), reference.A(x)));
}

TEST(MultiCoilMRI, IsDifferentiableInTheMapsOfACall) {
  at::Tensor maps = at::randn({1, 2, 4, 5}, at::kComplexDouble).requires_grad_();
  const MultiCoilMRI mri(at::Tensor(), at::ones({1, 2, 4, 5}, at::kComplexDouble));
  const at::Tensor y = mri.A(at::randn({1, 2, 4, 5}, at::kDouble), {{"coil_maps", maps}});
  EXPECT_GT(adjoin::norm(torch::autograd::grad({y}, {maps}, {at::ones_like(y)})[0]), 0.1);
}

TEST(MultiCoilMRI, ImageShapeFollowsFromMeasurements) {
  const MultiCoilMRI mri(at::Tensor(), at::randn({4, 6, 6}, at::kComplexDouble));
  const at::Tensor x = at::randn({2, 2, 6, 6}, at::kDouble);
  EXPECT_LT(relative_difference(mri.A_dagger(mri.A(x), {.max_iter = 200, .tol = 1e-12}), x), 1e-8);
}

TEST(MultiCoilMRI, FusedEqualsPlainAlsoAfterUpdates) {
  if (transform_library() == "ATen") {
    GTEST_SKIP() << "coils fuse where images are transformed in place";
  }
  for_every_case([](const Case& c, const at::Tensor& x, const at::Tensor& mask, const at::Tensor& maps,
                    const std::shared_ptr<MultiCoilMRI>& mri) {
    const auto other = std::make_shared<MultiCoilMRI>(at::Tensor(), maps.conj().resolve_conj() * 0.3, c.options);
    const auto third =
        std::make_shared<MultiCoilMRI>(mask, maps.slice(maps.dim() - (c.options.three_d ? 4 : 3), 0, 1), c.options);
    const std::vector<std::shared_ptr<const LinearPhysics>> stack = {mri, other, third};
    const auto fused = mri->fuse(stack);
    ASSERT_NE(fused, nullptr);
    expect_fused_equals_plain(*fused, stack, x);
    other->update({{"coil_maps", maps * 0.7}});
    expect_fused_equals_plain(*fused, stack, x);
  });
}

TEST(MultiCoilMRI, FusedBatchesManySmallAndSplitsLargeCoils) {
  if (transform_library() == "ATen") {
    GTEST_SKIP() << "coils fuse where images are transformed in place";
  }
  for (const std::int64_t size : {8, 96, 300}) {
    std::vector<std::shared_ptr<const LinearPhysics>> stack;
    for (const std::int64_t coils : {5, 1, 3}) {
      stack.push_back(std::make_shared<MultiCoilMRI>(at::rand({size, size}) < 0.4,
                                                     at::randn({coils, size, size}, at::kComplexFloat)));
    }
    expect_fused_equals_plain(*stack[0]->fuse(stack), stack, at::randn({1, 2, size, size}));
  }
}

TEST(MultiCoilMRI, FusedDeclinesWhatDoesNotFit) {
  const auto mri = std::make_shared<const MultiCoilMRI>(at::Tensor(), at::randn({2, 6, 6}, at::kComplexFloat));
  const auto larger = std::make_shared<const MultiCoilMRI>(at::Tensor(), at::randn({2, 8, 8}, at::kComplexFloat));
  const std::vector<std::shared_ptr<const LinearPhysics>> stack = {mri, mri};
  const auto fused = mri->fuse(stack);
  EXPECT_TRUE(fused->A(at::randn({1, 2, 6, 5}), {}).empty());
  EXPECT_TRUE(fused->A(at::randn({1, 2, 6, 6}).requires_grad_(), {}).empty());
  EXPECT_FALSE(fused->A_adjoint({at::randn({1, 2, 2, 6, 6})}, {}).defined());
  EXPECT_FALSE(fused->A_adjoint({at::randn({1, 2, 2, 6, 6}), at::randn({2, 2, 2, 6, 6})}, {}).defined());
  const std::vector<std::shared_ptr<const LinearPhysics>> mixed = {mri, larger};
  EXPECT_TRUE(mri->fuse(mixed)->A(at::randn({1, 2, 6, 6}), {}).empty());
}

void expect_invalid(const std::function<void()>& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "nothing thrown, expected: " << part;
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(MultiCoilMRI, RefusesBadInput) {
  const at::Tensor maps = at::randn({2, 6, 6}, at::kComplexFloat);
  expect_invalid([&] { MultiCoilMRI(at::Tensor(), at::Tensor()); }, "coil_maps must be a complex tensor");
  expect_invalid([&] { MultiCoilMRI(at::Tensor(), at::rand({2, 6, 6})); }, "coil_maps must be a complex tensor");
  expect_invalid([&] { MultiCoilMRI(at::Tensor(), at::randn({6}, at::kComplexFloat)); }, "(b, N, H, W)");
  expect_invalid([&] { MultiCoilMRI(at::ones({6, 5}), maps); }, "match the coil maps");
  expect_invalid([&] { MultiCoilMRI(at::ones({1, 3, 6, 6}), maps); }, "one channel");
  expect_invalid([&] { MultiCoilMRI(at::rand({1, 2, 6, 6}), maps); }, "one channel");
  expect_invalid([&] { MultiCoilMRI(maps, maps); }, "mask must be real");
  expect_invalid([&] { MultiCoilMRI(at::Tensor(), maps, {.three_d = true, .dynamic = true}); }, "both");
  MultiCoilMRI mri(at::ones({6, 6}), maps);
  expect_invalid([&] { mri.A(at::rand({1, 2, 6})); }, "x must be");
  expect_invalid([&] { mri.A(at::rand({1, 2, 6, 7})); }, "x must be");
  expect_invalid([&] { mri.A(at::rand({1, 3, 6, 6})); }, "x must be");
  expect_invalid([&] { mri.A(at::randn({1, 2, 6, 6}, at::kComplexFloat)); }, "x must be");
  expect_invalid([&] { mri.A(at::rand({1, 2, 6, 6}, at::kHalf)); }, "precision");
  expect_invalid([&] { mri.A_adjoint(at::rand({1, 2, 3, 6, 6})); }, "y must be");
  expect_invalid([&] { mri.A_adjoint(at::rand({1, 2, 6, 6})); }, "y must be");
  expect_invalid([&] { mri.update({{"mask", at::ones({5, 6})}}); }, "match the coil maps");
  expect_invalid([&] { mri.A(at::rand({1, 2, 6, 6}), {{"coil_maps", at::randn({2, 4, 4}, at::kComplexFloat)}}); },
                 "match the coil maps");
  const MultiCoilMRI pair(at::Tensor(), at::randn({2, 1, 6, 6}, at::kComplexFloat));
  expect_invalid([&] { pair.A(at::rand({3, 2, 6, 6})); }, "x must be");
}

}  // namespace
}  // namespace adjoin
