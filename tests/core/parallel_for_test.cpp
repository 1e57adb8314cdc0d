// SPDX-License-Identifier: BSD-3-Clause
// Loops shared among torch's threads, whose number at::set_num_threads chooses, by every compiler.
#include "core/parallel_for.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace adjoin::parallel_for_test {
namespace {

class ParallelFor : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(3); }
  void TearDown() override { at::set_num_threads(threads_); }

 private:
  int threads_ = at::get_num_threads();
};

TEST_F(ParallelFor, RunsOnAsManyThreadsAsTorchHas) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<int> numbers;
  parallel_for(0, 3, 1, [&](std::int64_t, std::int64_t) {
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
    numbers.insert(at::get_thread_num());
  });
  EXPECT_EQ(threads.size(), 3U);
  EXPECT_EQ(numbers, (std::set<int>{0, 1, 2}));
}

TEST_F(ParallelFor, TakesEachIndexOnceInRangesOfTheGrainOrMore) {
  std::vector<int> taken(100, 0);
  std::mutex mutex;
  std::size_t ranges = 0;
  parallel_for(7, 100, 40, [&](std::int64_t begin, std::int64_t end) {
    const std::scoped_lock lock(mutex);
    ++ranges;
    for (std::int64_t i = begin; i < end; ++i) {
      ++taken[static_cast<std::size_t>(i)];
    }
  });
  EXPECT_EQ(ranges, 3U);  // 93 in parts of 31, as at::parallel_for divides them
  for (std::size_t i = 0; i < taken.size(); ++i) {
    EXPECT_EQ(taken[i], i < 7 ? 0 : 1) << i;
  }
}

TEST_F(ParallelFor, RunsWithinALoopOnOneThread) {
  std::mutex mutex;
  std::set<std::string> inner;
  parallel_for(0, 3, 1, [&](std::int64_t, std::int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_for(0, 30, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::scoped_lock lock(mutex);
      inner.insert(std::to_string(begin) + "-" + std::to_string(end) +
                   (std::this_thread::get_id() == outer ? " here" : " elsewhere"));
    });
  });
  EXPECT_EQ(inner, (std::set<std::string>{"0-30 here"}));
}

TEST_F(ParallelFor, ThrowsWhatAThreadThrew) {
  EXPECT_THROW(parallel_for(0, 3, 1,
                            [&](std::int64_t begin, std::int64_t) {
                              if (begin == 2) {
                                throw std::out_of_range("the third");
                              }
                            }),
               std::out_of_range);
  int calls = 0;
  parallel_for(0, 1, 1, [&](std::int64_t, std::int64_t) { ++calls; });
  parallel_for(5, 5, 1, [&](std::int64_t, std::int64_t) { ++calls; });
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace adjoin::parallel_for_test
