// SPDX-License-Identifier: BSD-3-Clause
// Operators and their stacks from several threads at once, first use included.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#include "adjoin/operators/tomography/tomography.hpp"
#include "adjoin/physics/noise.hpp"
#include "operators/specimens.hpp"

namespace adjoin::threads_test {
namespace {

using specimens::everything;
using specimens::Specimen;

/// Runs work(thread) on four threads that begin together.
template <class Work>
void on_four_threads(const Work& work) {
  constexpr int count = 4;
  std::barrier start(count);
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) {
    threads.emplace_back([&, t] {
      at::set_num_threads(1);
      start.arrive_and_wait();
      work(t);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

std::vector<Specimen> with_tomography() {
  std::vector<Specimen> result = specimens::all();
  result.push_back(
      {"Tomography",
       [](std::uint64_t i) { return specimens::Tensors{at::arange(5) * 30.0 + 10.0 * static_cast<double>(i)}; },
       [](const specimens::Tensors& t) {
         return std::make_shared<Tomography>(t[0], std::array<std::int64_t, 2>{12, 12});
       },
       {specimens::drawn({1, 1, 12, 12}, 1), specimens::drawn({1, 3, 12, 12}, 2)}});
  return result;
}

TEST(Threads, ResultsAreThoseOfOneThread) {
  for (const Specimen& s : with_tomography()) {
    SCOPED_TRACE(s.name);
    // More layouts than are kept.
    std::vector<at::Tensor> images;
    for (const at::Tensor& x : s.images) {
      for (const std::int64_t items : {1, 2, 3}) {
        images.push_back(at::cat(std::vector<at::Tensor>(static_cast<std::size_t>(items), x.narrow(0, 0, 1))));
      }
    }
    const auto make = [&](std::uint64_t i) { return s.make(s.tensors(i)); };
    std::vector<at::Tensor> expected;
    std::vector<at::Tensor> expected_of_stack;
    for (const at::Tensor& x : images) {
      expected.push_back(everything(*make(0), x));
      expected_of_stack.push_back(everything(StackedLinearPhysics({make(0), make(1)}), x));
    }
    const auto op = make(0);
    const StackedLinearPhysics stack({make(0), make(1)});
    std::atomic<int> wrong = 0;
    on_four_threads([&](int thread) {
      for (std::size_t i = 0; i < 2 * images.size(); ++i) {
        const std::size_t k = (5 * i + static_cast<std::size_t>(thread)) % images.size();
        wrong += !at::allclose(everything(*op, images[k]), expected[k], 1e-9, 1e-9);
        wrong += !at::allclose(everything(stack, images[k]), expected_of_stack[k], 1e-9, 1e-9);
      }
    });
    EXPECT_EQ(wrong, 0);
  }
}

TEST(Threads, CallsAreCounted) {
  const Diagonal op(2.0);
  on_four_threads([&](int /*thread*/) {
    for (int i = 0; i < 1000; ++i) {
      op.A_adjoint_A(at::ones({2}));
    }
  });
  EXPECT_EQ(op.calls().A, 4000);
  EXPECT_EQ(op.calls().A_adjoint, 4000);
}

TEST(Threads, SeededNoiseIsOneStream) {
  const NoiseModel noise = gaussian_noise(1.0, 7);
  const at::Tensor zeros = at::zeros({8, 64}, at::kDouble);
  const at::Tensor expected = gaussian_noise(1.0, 7)(zeros);
  std::vector<at::Tensor> drawn(4);
  on_four_threads([&](int thread) { drawn[static_cast<std::size_t>(thread)] = noise(zeros); });
  // One of the threads was first, and none drew what another drew.
  int first = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    first += at::equal(drawn[i], expected) ? 1 : 0;
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(at::equal(drawn[i], drawn[j]));
    }
  }
  EXPECT_EQ(first, 1);
}

}  // namespace
}  // namespace adjoin::threads_test
