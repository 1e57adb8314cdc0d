// SPDX-License-Identifier: BSD-3-Clause
// Ranks that make calls that do not belong together: all of them throw, and the next call works.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "communicator_fixture.hpp"

namespace adjoin::test {

namespace {

using Entry = CallDisagreement::Entry;

struct NamedCall {
  std::string name;
  std::function<void()> make;
};

class Calls : public EngineTest {
 protected:
  /// What `call` throws; no entries when it throws nothing, or something else.
  static std::vector<Entry> disagreement(const std::function<void()>& call) {
    try {
      call();
    } catch (const CallDisagreement& error) {
      return error.entries;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "not a CallDisagreement: " << error.what();
    }
    return {};
  }

  /// The next calls of all ranks, with and without memory that they share.
  void expect_that_calls_work() {
    at::Tensor x = at::full({3}, rank + 1.0);
    comm->all_reduce(x);
    EXPECT_EQ(x[0].item<float>(), 0.5F * static_cast<float>(size * (size + 1)));
    at::Tensor large = at::full({200'000}, rank + 1.0);
    comm->all_reduce(large);
    EXPECT_EQ(large.min().item<float>(), x[0].item<float>());
    EXPECT_EQ(large.max().item<float>(), x[0].item<float>());
    const at::Tensor all = comm->all_gather(at::full({2}, rank));
    EXPECT_EQ(all[size - 1][1].item<int>(), size - 1);
  }

  /// Collectives of all kinds, none of which may be made with another one.
  std::vector<NamedCall> all_calls() {
    constexpr std::int64_t large = 100'000;  // beyond what stays in memory of each rank's own
    const auto ranks = static_cast<std::size_t>(size);
    const auto reduce = [this](at::IntArrayRef shape, at::ScalarType dtype, ReduceOp op) {
      return [this, sizes = shape.vec(), dtype, op] {
        at::Tensor x = at::ones(sizes, dtype);
        comm->all_reduce(x, op);
      };
    };
    const auto broadcast = [this](int root) {
      return [this, root] {
        at::Tensor x = at::ones({4});
        comm->broadcast(x, root);
      };
    };
    const auto buffer = [this](std::size_t which, bool shared) {
      return [this, which, shared] {
        at::Tensor x = at::empty({large});
        if (shared) {
          buffers[which]->all_reduce_shared();
        } else {
          buffers[which]->all_reduce(x);
        }
      };
    };
    if (buffers.empty()) {
      for (int i = 0; i < 2; ++i) {
        buffers.push_back(comm->reduce_buffer(large, at::kFloat, at::kCPU));
        buffers.back()->input().fill_(1.0);
      }
    }
    std::vector<NamedCall> calls = {
        {"sum of 4", reduce({4}, at::kFloat, ReduceOp::sum)},
        {"sum of 5", reduce({5}, at::kFloat, ReduceOp::sum)},
        {"sum of 2 x 2", reduce({2, 2}, at::kFloat, ReduceOp::sum)},
        {"sum of 4 doubles", reduce({4}, at::kDouble, ReduceOp::sum)},
        {"maximum of 4", reduce({4}, at::kFloat, ReduceOp::max)},
        {"sum of many", reduce({large}, at::kFloat, ReduceOp::sum)},
        {"sum of nothing", reduce({0}, at::kFloat, ReduceOp::sum)},
        {"sum of a number",
         [this] {
           std::array<double, 1> value = {1.0};
           comm->all_reduce(value);
         }},
        {"all_gather", [this] { comm->all_gather(at::ones({4})); }},
        {"all_gather_v",
         [this, ranks] {
           std::vector<std::int64_t> counts(ranks, 4);
           counts[0] = 2;
           comm->all_gather_v(at::ones({counts[static_cast<std::size_t>(rank)]}), counts);
         }},
        {"broadcast from 0", broadcast(0)},
        {"broadcast from 1", broadcast(1)},
        {"reduce_scatter", [this] { comm->reduce_scatter(at::ones({size})); }},
        {"barrier", [this] { comm->barrier(); }},
        {"bytes of one", [this] { comm->broadcast_bytes("text", 0); }},
        {"bytes of all", [this] { comm->all_gather_bytes("text"); }},
        {"a buffer", [this] { comm->reduce_buffer(10, at::kFloat, at::kCPU); }},
        {"memory", [this] { (void)comm->visible(100, at::kFloat); }},
        {"split", [this] { comm->split(0, rank); }},
        {"first buffer", buffer(0, false)},
        {"second buffer", buffer(1, false)},
        {"first buffer, shared", buffer(0, true)},
        {"parts in the first buffer",
         [this, ranks] {
           std::vector<std::int64_t> counts(ranks, 7);
           at::Tensor x = at::ones({7 * size});
           buffers[0]->all_gather(x, counts);
         }},
        {"started sum",
         [this] {
           at::Tensor x = at::ones({6});
           comm->start_all_reduce(x).wait();
         }},
        {"started broadcast",
         [this] {
           at::Tensor x = at::ones({6});
           comm->start_broadcast(x, 0).wait();
         }},
    };
    return calls;
  }

  std::vector<std::unique_ptr<ReduceBuffer>> buffers;
};

INSTANTIATE_TEST_SUITE_P(Engines, Calls, ::testing::ValuesIn(all_engines()), name_of);

TEST_P(Calls, AnyTwoUnlikeCollectivesAreAnErrorOnAllRanks) {
  if (size == 1) {
    return;
  }
  const std::vector<NamedCall> calls = all_calls();
  std::size_t pairs = 0;
  for (std::size_t one = 0; one < calls.size(); ++one) {
    for (std::size_t other = 0; other < calls.size(); ++other) {
      if (one == other) {
        continue;
      }
      const int odd = static_cast<int>(pairs++) % size;  // the rank that makes the other call
      const std::vector<Entry> entries = disagreement(calls[rank == odd ? other : one].make);
      ASSERT_EQ(entries.size(), static_cast<std::size_t>(size)) << calls[one].name << " and " << calls[other].name;
      for (int r = 0; r < size; ++r) {
        const auto index = static_cast<std::size_t>(r);
        EXPECT_EQ(entries[index].call == entries[static_cast<std::size_t>(odd)].call &&
                      entries[index].collective == entries[static_cast<std::size_t>(odd)].collective,
                  r == odd)
            << calls[one].name << " and " << calls[other].name;
        EXPECT_FALSE(entries[index].left);
      }
      if (pairs % 20 == 0) {
        expect_that_calls_work();
      }
    }
  }
  expect_that_calls_work();
  for (const NamedCall& call : calls) {
    EXPECT_NO_THROW(call.make()) << call.name;
  }
}

TEST_P(Calls, AreNamedByWhatTheRanksHaveEntered) {
  const auto work = [&](const char* name, std::uint64_t fingerprint) {
    const CallScope scope = comm->enter({.name = name, .fingerprint = fingerprint});
    for (int i = 0; i < 3; ++i) {
      const CallScope inner = comm->enter({.name = rank == 0 ? "something" : "within"});  // does not count
      at::Tensor x = at::ones({4});
      comm->all_reduce(x);
      EXPECT_EQ(x[0].item<float>(), static_cast<float>(size));
    }
  };
  EXPECT_NO_THROW(work("A of stack 1", 7));
  if (size == 1) {
    return;
  }
  const std::vector<Entry> names = disagreement([&] { work(rank == 1 ? "A of stack 2" : "A of stack 1", 7); });
  ASSERT_EQ(names.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(names[0].call, "A of stack 1");
  EXPECT_EQ(names[1].call, "A of stack 2");
  EXPECT_EQ(names[0].collective, "sum of 4 float32");
  const std::vector<Entry> arguments = disagreement([&] { work("A of stack 1", rank == 0 ? 1 : 2); });
  ASSERT_EQ(arguments.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(arguments[0].call, arguments[1].call);
  EXPECT_EQ(arguments[0].fingerprint, 1U);
  EXPECT_EQ(arguments[1].fingerprint, 2U);
  EXPECT_NO_THROW(work("A of stack 1", 7));
  expect_that_calls_work();
}

TEST_P(Calls, MessagesSayWhoCalledWhat) {
  if (size != 3) {
    return;
  }
  try {
    if (rank == 1) {
      comm->barrier();
    } else {
      const CallScope scope = comm->enter({.name = "A_adjoint of stack 1"});
      at::Tensor x = at::ones({64, 64});
      comm->all_reduce(x);
    }
    ADD_FAILURE();
  } catch (const CallDisagreement& error) {
    EXPECT_STREQ(error.what(),
                 "the ranks make calls that do not belong together: ranks 0, 2: A_adjoint of stack 1 (sum of 64 x 64 "
                 "float32); rank 1: barrier");
  }
}

TEST_P(Calls, ARankMayRefuse) {
  const std::string report = "y: must be a tensor, got None";
  for (int refuser = 0; refuser < size; ++refuser) {
    for (const bool everyone : {false, true}) {
      const std::vector<Entry> entries = disagreement([&] {
        const CallScope scope = comm->enter({.name = "A_adjoint of stack 1"});
        if (rank == refuser || everyone) {
          comm->refuse(report);
        }
        at::Tensor x = at::ones({100});
        comm->all_reduce(x);
      });
      ASSERT_EQ(entries.size(), static_cast<std::size_t>(size));
      for (int r = 0; r < size; ++r) {
        const Entry& entry = entries[static_cast<std::size_t>(r)];
        EXPECT_EQ(entry.refusal, r == refuser || everyone ? report : "");
        EXPECT_EQ(entry.call, size == 1 ? "a call" : "A_adjoint of stack 1");
      }
      expect_that_calls_work();
    }
  }
}

TEST_P(Calls, LongRefusalsLoseTheirEnds) {
  const std::string report(100'000, 'x');
  const std::vector<Entry> entries = disagreement([&] {
    const CallScope scope = comm->enter({.name = "a call"});
    comm->refuse(report);
  });
  ASSERT_EQ(entries.size(), static_cast<std::size_t>(size));
  EXPECT_GT(entries[0].refusal.size(), 4000U);
  EXPECT_EQ(entries[0].refusal, report.substr(0, entries[0].refusal.size()));
}

TEST_P(Calls, AWrongArgumentOnOneRankIsAnErrorOnAll) {
  if (size == 1) {
    return;
  }
  for (const int wrong : {0, size - 1}) {
    at::Tensor x = at::ones({3});
    if (rank == wrong) {
      EXPECT_THROW(comm->broadcast(x, size), InvalidArgument);
    } else {
      const std::vector<Entry> entries = disagreement([&] { comm->broadcast(x, 0); });
      ASSERT_EQ(entries.size(), static_cast<std::size_t>(size));
      EXPECT_NE(entries[static_cast<std::size_t>(wrong)].refusal.find("root"), std::string::npos);
    }
    expect_that_calls_work();
  }
}

// Where calls are announced, one announcement a call; none where the ranks share memory.
TEST_P(Calls, AreAnnouncedOnce) {
  comm->reset_counters();
  {
    CallScope scope = comm->enter({.name = "a solve"});
    scope.commit();
    at::Tensor x = at::ones({10});
    for (int i = 0; i < 5; ++i) {
      comm->all_reduce(x);
    }
  }
  const std::int64_t announcements = comm->counters().announcements;
  EXPECT_EQ(comm->counters().collectives, 5);
  EXPECT_TRUE(announcements == 0 || announcements == 1) << announcements;
  comm->barrier();
  comm->barrier();
  EXPECT_EQ(comm->counters().announcements, 3 * announcements);
}

TEST_P(Calls, ACommittedCallIsComparedByItsName) {
  if (size == 1) {
    return;
  }
  const std::vector<Entry> entries = disagreement([&] {
    CallScope scope = comm->enter({.name = rank == 0 ? "A of stack 1" : "A of stack 2"});
    scope.commit();
    at::Tensor x = at::ones({10});
    comm->all_reduce(x);
  });
  ASSERT_EQ(entries.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(entries[0].call, "A of stack 1");
  EXPECT_EQ(entries[1].call, "A of stack 2");
  {
    CallScope scope = comm->enter({.name = "a call without collectives"});
    scope.commit();
  }
  expect_that_calls_work();
}

TEST_P(Calls, StartedCollectivesKeepTheirOrder) {
  at::Tensor a = at::full({5}, rank + 1.0);
  at::Tensor b = at::full({7}, rank + 1.0);
  at::Tensor c = at::full({9}, 1.0 * rank);
  const float sum = 0.5F * static_cast<float>(size * (size + 1));
  for (int round = 0; round < 5; ++round) {
    a.fill_(rank + 1.0);
    b.fill_(rank + 1.0);
    c.fill_(rank);
    Pending first = comm->start_all_reduce(a);
    Pending second = comm->start_broadcast(c, size - 1);
    // Some ranks wait before the next collective and some after it.
    if ((rank + round) % 2 == 0) {
      second.wait();
    }
    comm->all_reduce(b);
    first.wait();
    second.wait();
    EXPECT_EQ(a[4].item<float>(), sum);
    EXPECT_EQ(b[6].item<float>(), sum);
    EXPECT_EQ(c[8].item<float>(), static_cast<float>(size - 1));
  }
}

}  // namespace

}  // namespace adjoin::test
