// SPDX-License-Identifier: BSD-3-Clause
// A run of a loader on changed bytes, with limits of time and memory, under libFuzzer or by itself.
#include "target.hpp"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "adjoin/core/errors.hpp"
#include "allocations.hpp"

// Declared by libFuzzer, where it is.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace adjoin::fuzz {

namespace {

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "fuzz: %s; the file is current.%s\n", what, program_invocation_short_name);
  std::_Exit(1);
}

void on_alarm(int /*signal*/) {
  constexpr char text[] = "fuzz: no answer within 2 s; the file is current.<program>\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
  std::_Exit(1);
}

/// Two seconds of processor time, so that other programs on the machine do not count; but who waits for something uses
/// none, and has a minute.
class TimeLimit {
 public:
  TimeLimit() { set(2, 60); }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
  ~TimeLimit() { set(0, 0); }

 private:
  static void set(int processor, int clock) {
    static const auto handlers = std::array{std::signal(SIGPROF, on_alarm), std::signal(SIGALRM, on_alarm)};
    static_cast<void>(handlers);
    const itimerval of_processor{{0, 0}, {processor, 0}};
    const itimerval of_clock{{0, 0}, {clock, 0}};
    setitimer(ITIMER_PROF, &of_processor, nullptr);
    setitimer(ITIMER_REAL, &of_clock, nullptr);
  }
};

}  // namespace

void run(const std::string& bytes) {
  static const std::filesystem::path path =
      std::filesystem::current_path() / (std::string("current.") + program_invocation_short_name);
  static const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const auto size = static_cast<ssize_t>(bytes.size());
  if (ftruncate(file, size) != 0 || pwrite(file, bytes.data(), bytes.size(), 0) != size) {
    give_up("cannot write");
  }
  const Allocations allocations;
  try {
    const TimeLimit limit;
    load(path);
  } catch (const Error&) {
  } catch (const std::exception& error) {
    give_up(error.what());
  }
  if (allocations.peak() > 8 * bytes.size() + (std::size_t{64} << 20)) {
    give_up(("memory: " + std::to_string(allocations.peak()) + " bytes for a file of " + std::to_string(bytes.size()))
                .c_str());
  }
}

}  // namespace adjoin::fuzz

// What libFuzzer calls. It reads its first files from the folder that ADJOIN_FUZZ_SEEDS names, which is filled here.

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  if (const char* folder = std::getenv("ADJOIN_FUZZ_SEEDS")) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    int number = 0;
    for (const std::string& seed : adjoin::fuzz::seeds()) {
      if (seed.size() > adjoin::fuzz::most_changed) {
        adjoin::fuzz::run(seed);
        continue;
      }
      std::ofstream(std::filesystem::path(folder) / ("seed" + std::to_string(number++)), std::ios::binary) << seed;
    }
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  adjoin::fuzz::run(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (seed % 4 != 0) {
    std::string bytes(reinterpret_cast<const char*>(data), size);
    adjoin::fuzz::repair(bytes);
    std::copy(bytes.begin(), bytes.end(), data);
  }
  return size;
}
