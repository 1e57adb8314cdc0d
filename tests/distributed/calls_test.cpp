// SPDX-License-Identifier: BSD-3-Clause
// Ranks make calls together: unlike calls, options and images are one error on all ranks, which says who differs in
// what, and the next call works.
#include <thread>

#include "adjoin/distributed/processing.hpp"
#include "adjoin/operators/function.hpp"
#include "distributed/support.hpp"

namespace adjoin::test::calls_test {
namespace {

constexpr std::int64_t n = 5;

std::shared_ptr<LinearPhysics> scaling(std::int64_t index) {
  const auto scale = [index](const at::Tensor& t) { return t * static_cast<double>(index + 1); };
  return make_function(scale, scale);
}

// Every rank throws E with the same text, which has these words.
template <class E, class Call>
std::string expect_error_everywhere(DistributedContext& context, const std::vector<std::string>& words, Call&& call) {
  std::string text;
  try {
    call();
    ADD_FAILURE() << "rank " << context.rank() << ": nothing was thrown";
  } catch (const E& error) {
    text = error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "rank " << context.rank() << ": another exception: " << error.what();
  }
  for (const std::string& other : context.communicator().all_gather_bytes(text)) {
    EXPECT_EQ(other, text);
  }
  for (const std::string& word : words) {
    EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
  }
  return text;
}

class Calls : public testing::TestWithParam<CheckReplicated> {
 protected:
  DistributedContext context{{.check_replicated = GetParam()}};
  DistributedStackedLinearPhysics stack{
      context, n, [](auto index, auto /*device*/, const auto& /*shared*/) -> PhysicsPtr { return scaling(index); }};
  at::Tensor x = random_tensor({1, 2, 3, 4}, at::kDouble, 1);
  TensorList y = stack.A(x);
  bool last = context.rank() == context.size() - 1;

  void SetUp() override {
    if (context.size() == 1) {
      GTEST_SKIP() << "one rank makes one call";
    }
  }
  void expect_that_the_next_calls_are_right() {
    expect_near(stack.A_adjoint_A(x), 55.0 * x, 1e-12);
    expect_near(stack.A(x)[2], 3.0 * x, 1e-12);
    expect_near(stack.A_dagger(y, {.solver = Solver::LSQR, .local_only = false}), x, 1e-5);
  }
};

TEST_P(Calls, OfUnlikeMethodsNameBoth) {
  expect_error_everywhere<CallDisagreement>(context, {"A_adjoint of stack 1", "A_adjoint_A of stack 1"},
                                            [&] { last ? stack.A_adjoint_A(x) : stack.A_adjoint(y); });
  expect_that_the_next_calls_are_right();
  expect_error_everywhere<CallDisagreement>(context, {"A of stack 1", "A_dagger of stack 1"}, [&] {
    last ? (void)stack.A(x) : (void)stack.A_dagger(y, {.local_only = false});
  });
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, OfTwoStacksInUnlikeOrderNameBoth) {
  const DistributedStackedLinearPhysics other(
      context, n, [](auto index, auto /*device*/, const auto& /*shared*/) -> PhysicsPtr { return scaling(index + 1); });
  expect_error_everywhere<CallDisagreement>(context, {"A_adjoint_A of stack 1", "A_adjoint_A of stack 2"},
                                            [&] { (void)(last ? other : stack).A_adjoint_A(x); });
  expect_error_everywhere<CallDisagreement>(context, {"A_adjoint_A of stack 1", "A_adjoint_A of stack 2"},
                                            [&] { (void)(last ? stack : other).A_adjoint_A(x); });
  expect_near(other.A_adjoint_A(x), 90.0 * x, 1e-12);
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, OfAStackAndOfTilesNameBoth) {
  const DistributedProcessing tiles(context, [](const at::Tensor& t) { return 2.0 * t; },
                                    {.patch_size = {4}, .overlap = {1}});
  expect_error_everywhere<CallDisagreement>(context, {"A of stack 1", "processing of tiles 1"},
                                            [&] { last ? (void)tiles(x) : (void)stack.A(x); });
  expect_near(tiles(x), 2.0 * x, 1e-12);
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, WithUnlikeOptionsNameThem) {
  const auto dagger = [&](const DistributedDaggerOptions& options) { (void)stack.A_dagger(y, options); };
  expect_error_everywhere<RankFailure>(context, {"A_dagger of stack 1", "max_iter", "got 7 here and 5 on rank 0"},
                                       [&] { dagger({.max_iter = last ? 7 : 5, .local_only = false}); });
  expect_error_everywhere<RankFailure>(context, {"tol"},
                                       [&] { dagger({.tol = last ? 1e-7 : 1e-8, .local_only = false}); });
  expect_error_everywhere<RankFailure>(context, {"solver", "LSMR", "CG"}, [&] {
    dagger({.solver = last ? Solver::LSMR : Solver::CG, .local_only = false});
  });
  expect_error_everywhere<RankFailure>(context, {"local_only"}, [&] { dagger({.local_only = last}); });
  expect_error_everywhere<RankFailure>(context, {"gamma"}, [&] { (void)stack.prox_l2(x, y, last ? 0.1 : 0.2); });
  expect_error_everywhere<RankFailure>(context, {"max_iter"},
                                       [&] { (void)stack.sqnorm_bounds(x, {.max_iter = last ? 30 : 40}); });
  expect_error_everywhere<RankFailure>(context, {"reduction"}, [&] {
    (void)stack.A_adjoint(y, {.reduction = last ? Reduction::mean : Reduction::sum});
  });
  expect_error_everywhere<RankFailure>(context, {"gather_strategy", "got naive here and broadcast on rank 0"}, [&] {
    const DistributedStackedLinearPhysics unlike(
        context, n, [](auto index, auto /*device*/, const auto& /*shared*/) -> PhysicsPtr { return scaling(index); },
        {.gather_strategy = last ? GatherStrategy::naive : GatherStrategy::broadcast});
  });
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, OfAnObjectThatIsMadeOnOneRankOnlyAreAnError) {
  expect_error_everywhere<Error>(context, {}, [&] {
    if (last) {
      const DistributedStackedLinearPhysics other(
          context, n, [](auto index, auto /*device*/, const auto& /*shared*/) -> PhysicsPtr { return scaling(index); });
    } else {
      (void)stack.A(x);
    }
  });
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, ThatARankCannotMakeThrowItsErrorEverywhere) {
  for (int round = 0; round < 2; ++round) {
    const RankFailure failure = expect_failure_everywhere(context, [&] {
      try {
        check(!last, "y: must be a list of tensors, got None");
        (void)stack.A_adjoint(y);
      } catch (const InvalidArgument&) {
        stack.refuse("A_adjoint");
      }
    });
    EXPECT_EQ(failure.rank, context.size() - 1);
    EXPECT_EQ(failure.reason, "y: must be a list of tensors, got None");
    expect_that_the_next_calls_are_right();
  }
}

TEST_P(Calls, WithUnlikeImagesNameThem) {
  if (GetParam() == CheckReplicated::off) {
    return;
  }
  const at::Tensor other = last ? random_tensor(x.sizes(), at::kDouble, 2) : x;
  const auto expect_named = [&](const std::string& argument, const auto& call) {
    const RankFailure failure = expect_failure_everywhere(context, call);
    EXPECT_EQ(failure.rank, context.size() - 1);
    EXPECT_NE(failure.reason.find(argument + " must be equal on every rank"), std::string::npos) << failure.reason;
    expect_that_the_next_calls_are_right();
  };
  for (int round = 0; round < 2; ++round) {
    expect_named("x", [&] { (void)stack.A(other); });
    expect_named("x", [&] { (void)stack.forward(other); });
    expect_named("x", [&] { (void)stack.A_adjoint_A(other); });
    expect_named("x", [&] { (void)stack.A_vjp(other, y); });
    expect_named("u", [&] { (void)stack.adjointness_test(other); });
    expect_named("z", [&] { (void)stack.prox_l2(other, y, 0.5); });
    expect_named("init", [&] { (void)stack.A_dagger(y, {.init = other, .local_only = false}); });
  }
}

TEST_P(Calls, WithImagesThatDifferByRoundOffAreAnErrorUnderAFullCheckOnly) {
  const at::Tensor near = last ? x * (1.0 + 1e-9) : x;
  if (GetParam() == CheckReplicated::full) {
    expect_failure_everywhere(context, [&] { (void)stack.A_adjoint_A(near); });
    TensorList unlike = y;
    unlike[1] = last ? y[1] * (1.0 + 1e-9) : y[1];
    expect_failure_everywhere(context, [&] { (void)stack.A_adjoint(unlike); });
  } else {
    expect_near(stack.A_adjoint_A(near), 55.0 * x, 1e-6);
  }
  expect_that_the_next_calls_are_right();
}

TEST_P(Calls, MayHaveImagesOfAnyStridesAndBits) {
  const at::Tensor transposed = x.transpose(2, 3).contiguous().transpose(2, 3);
  const at::Tensor image = last ? transposed : x;
  expect_near(stack.A_adjoint_A(image), 55.0 * x, 1e-12);
  const at::Tensor z = at::complex(x, 2.0 * x);
  expect_near(stack.A(last ? z.conj() : z.conj().resolve_conj())[1], 2.0 * z.conj(), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Checks, Calls,
                         testing::Values(CheckReplicated::off, CheckReplicated::sampled, CheckReplicated::full),
                         [](const auto& test) {
                           return test.param == CheckReplicated::off       ? "off"
                                  : test.param == CheckReplicated::sampled ? "sampled"
                                                                           : "full";
                         });

TEST(CallsOfTwoThreads, AtOnceAreAnErrorInOneOfThem) {
  DistributedContext context;
  if (context.size() == 1) {
    return;
  }
  std::atomic<int> inside{0};
  std::atomic<bool> release{false};
  const DistributedStackedLinearPhysics stack(context, context.size(), [&](auto, auto, const auto&) -> PhysicsPtr {
    const auto wait = [&](const at::Tensor& t) {
      ++inside;
      while (!release) {
        std::this_thread::yield();
      }
      return t;
    };
    return make_function(wait, wait);
  });
  const at::Tensor x = at::ones({2, 3});
  at::Tensor result;
  std::thread other([&] { result = stack.A_adjoint(stack.A(x, {.gather = false})); });
  while (inside == 0) {
    std::this_thread::yield();
  }
  release = true;
  other.join();
  release = false;
  inside = 0;
  std::thread busy([&] { result = stack.A(x)[0]; });
  while (inside == 0) {
    std::this_thread::yield();
  }
  EXPECT_THROW((void)stack.A(x), Error);  // without waiting, and without any message
  release = true;
  busy.join();
  expect_near(result, x, 0.0);
  expect_near(stack.A(x)[0], x, 0.0);
}

TEST(RandomImages, OfTheContextAgreeOnAllRanks) {
  DistributedContext context{{.seed = 3}};
  DistributedContext again{{.seed = 3}};
  for (const at::ScalarType dtype : {at::kFloat, at::kComplexDouble}) {
    const at::Tensor first = context.randn({2, 3}, dtype);
    const at::Tensor second = context.randn({2, 3}, dtype);
    EXPECT_FALSE(at::equal(first, second));
    EXPECT_TRUE(at::equal(first, again.randn({2, 3}, dtype)));
    EXPECT_TRUE(at::equal(second, again.randn({2, 3}, dtype)));
    EXPECT_EQ(first.scalar_type(), dtype);
    const at::Tensor all = context.communicator().all_gather(first);
    for (int r = 0; r < context.size(); ++r) {
      EXPECT_TRUE(at::equal(all[r], first));
    }
  }
  EXPECT_TRUE(at::equal(context.rand({5}, at::kDouble, 8), again.rand({5}, at::kDouble, 8)));
  EXPECT_FALSE(at::equal(context.rand({5}, at::kDouble, 8), context.rand({5}, at::kDouble, 9)));
  EXPECT_GE(context.rand({100}).min().item<double>(), 0.0);
  EXPECT_LT(context.rand({100}).max().item<double>(), 1.0);
}

}  // namespace
}  // namespace adjoin::test::calls_test
