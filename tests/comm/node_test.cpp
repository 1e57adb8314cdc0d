// SPDX-License-Identifier: BSD-3-Clause
// Memory shared between processes without MPI, and what happens when one of them ends.
#include "comm/shared_memory/node.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "adjoin/core/errors.hpp"
#include "comm/shared_memory/group.hpp"

namespace adjoin::test {

namespace {

using std::chrono::milliseconds;

/// The group of this process and of the one at the other end of `socket`.
std::unique_ptr<NodeGroup> pair_up(int rank, int socket, milliseconds timeout) {
  const auto all_gather = [rank, socket](const at::Tensor& mine) {
    at::Tensor all = at::empty({2, mine.numel()}, at::kLong);
    all[rank].copy_(mine);
    const auto bytes = static_cast<ssize_t>(mine.nbytes());
    EXPECT_EQ(send(socket, mine.const_data_ptr(), mine.nbytes(), 0), bytes);
    EXPECT_EQ(recv(socket, all[1 - rank].mutable_data_ptr(), mine.nbytes(), MSG_WAITALL), bytes);
    return all;
  };
  return NodeGroup::make(std::make_unique<Node>(rank, 2, all_gather), {0, 1}, timeout);
}

using Part = std::function<void(NodeGroup&)>;

/// Runs the parts of rank 0 here and of rank 1 in a child process, which then ends at once.
void run_pair(const Part& of_rank_0, const Part& of_rank_1, milliseconds timeout = std::chrono::minutes(1)) {
  std::array<int, 2> sockets{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    of_rank_1(*pair_up(1, sockets[1], timeout));
    _exit(0);
  }
  const std::unique_ptr<NodeGroup> group = pair_up(0, sockets[0], timeout);
  ASSERT_NE(group, nullptr);
  of_rank_0(*group);
  close(sockets[0]);
  close(sockets[1]);
  waitpid(child, nullptr, 0);
}

TEST(Node, SharesMemory) {
  run_pair(
      [](NodeGroup& group) {
        const auto window = group.acquire(5000);
        ASSERT_NE(window, nullptr);
        group.synchronize();
        EXPECT_EQ(window->segment(1)[4999], std::byte{42});
        EXPECT_EQ(window->segment(1)[0], std::byte{0});
        double sum = 1.0;
        group.all_reduce_few(at::kDouble, ReduceOp::sum, &sum, 1);
        EXPECT_EQ(sum, 3.0);
      },
      [](NodeGroup& group) {
        const auto window = group.acquire(5000);
        window->segment(1)[4999] = std::byte{42};
        group.synchronize();
        double sum = 2.0;
        group.all_reduce_few(at::kDouble, ReduceOp::sum, &sum, 1);
      });
}

// The child stays a zombie all the while, as its parent does not ask for it before the end.
TEST(Node, ARankThatEndsIsAnErrorForThoseWhoWait) {
  run_pair(
      [](NodeGroup& group) {
        group.synchronize();
        EXPECT_THROW(group.synchronize(), CommunicationError);
        double value = 1.0;
        EXPECT_THROW(group.all_reduce_few(at::kDouble, ReduceOp::sum, &value, 1), CommunicationError);
      },
      [](NodeGroup& group) { group.synchronize(); });
}

TEST(Node, ARankMayEndOnceItHasDoneItsPart) {
  run_pair(
      [](NodeGroup& group) {
        std::this_thread::sleep_for(milliseconds(200));
        EXPECT_NO_THROW(group.synchronize());
      },
      [](NodeGroup& group) {
        // All but the waiting, which could only end together.
        try {
          group.synchronize();
        } catch (const CommunicationError&) {
          _exit(0);
        }
      },
      milliseconds(100));
}

TEST(Node, WaitingEndsWhenTheTimeIsOut) {
  run_pair([](NodeGroup& group) { EXPECT_THROW(group.synchronize(), CommunicationError); },
           [](NodeGroup&) { std::this_thread::sleep_for(milliseconds(400)); }, milliseconds(100));
}

}  // namespace

}  // namespace adjoin::test
