// SPDX-License-Identifier: BSD-3-Clause
// What a progress bar writes to a terminal, and to a file.
#include "adjoin/solvers/progress.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

namespace adjoin {
namespace {

/// What `body` writes to standard error while that is the descriptor `sink`; read from `source` afterwards.
std::string captured(int sink, int source, const std::function<void()>& body) {
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(sink, STDERR_FILENO);
  body();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::string text;
  pollfd ready = {source, POLLIN, 0};
  while (poll(&ready, 1, 50) > 0 && (ready.revents & POLLIN) != 0) {
    std::array<char, 512> buffer{};
    const ssize_t count = read(source, buffer.data(), buffer.size());
    if (count <= 0) {
      break;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

void run_through(int iterations, int max_iter) {
  const Monitor monitor = progress_bar("deblurring");
  for (int i = 1; i <= iterations; ++i) {
    EXPECT_TRUE(monitor({i, max_iter, 0.5}));
  }
}

class Terminal {
 public:
  Terminal() : master(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0) {
      slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    }
  }
  ~Terminal() {
    close(slave);
    close(master);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  int master = -1;
  int slave = -1;
};

TEST(ProgressBar, WritesNothingUnlessStandardErrorIsATerminal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  EXPECT_EQ(captured(ends[1], ends[0], [] { run_through(5, 10); }), "");
  close(ends[0]);
  close(ends[1]);
}

TEST(ProgressBar, ShowsTheStateAndErasesItselfAtTheEnd) {
  const Terminal terminal;
  if (terminal.slave < 0) {
    GTEST_SKIP() << "no pseudo-terminal here";
  }
  for (int iterations : {4, 10}) {
    const std::string text = captured(terminal.slave, terminal.master, [&] { run_through(iterations, 10); });
    EXPECT_NE(text.find("deblurring"), std::string::npos) << text;
    EXPECT_NE(text.find("1/10"), std::string::npos) << text;
    EXPECT_NE(text.find("5.00e-01"), std::string::npos) << text;
    const std::string erase = "\r\033[K";
    ASSERT_GE(text.size(), erase.size());
    EXPECT_EQ(text.substr(text.size() - erase.size()), erase);
  }
}

TEST(ProgressBar, DrawsAtMostTenTimesASecond) {
  const Terminal terminal;
  if (terminal.slave < 0) {
    GTEST_SKIP() << "no pseudo-terminal here";
  }
  const std::string text = captured(terminal.slave, terminal.master, [] { run_through(1000, 2000); });
  std::size_t draws = 0;
  for (std::size_t at = text.find("deblurring"); at != std::string::npos; at = text.find("deblurring", at + 1)) {
    ++draws;
  }
  EXPECT_GE(draws, 1U);
  EXPECT_LE(draws, 5U);
}

}  // namespace
}  // namespace adjoin
