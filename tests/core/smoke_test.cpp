#include <gtest/gtest.h>
#include <ATen/ATen.h>
#include "adjoin/core/vector_space.hpp"
TEST(Smoke, Dot) { auto a = at::randn({2, 1000}, at::kComplexFloat); EXPECT_NEAR(adjoin::dot(a, a, 2)[0].real(), 1000, 200); }
