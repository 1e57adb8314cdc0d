// SPDX-License-Identifier: BSD-3-Clause
// Anonymous files that the processes of a node open of each other, with a mark that proves whose they are.
#include "comm/shared_memory/node.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

namespace adjoin {

namespace {

constexpr const char* file_name = "adjoin";

/// Behind each segment there is a cache line for its mark.
std::size_t file_bytes(std::size_t bytes) {
  return (bytes + 2 * Node::cache_line - 1) / Node::cache_line * Node::cache_line;
}

std::size_t mark_offset(std::size_t bytes) { return file_bytes(bytes) - Node::cache_line; }

/// Whether the process may have a file of so many bytes: one beyond the limit would end it by a signal.
bool is_within_limit(std::size_t bytes) {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || bytes <= limit.rlim_cur;
}

}  // namespace

SharedWindow::~SharedWindow() {
  for (std::byte* segment : segments_) {
    munmap(segment, file_bytes(bytes_));
  }
}

bool SharedWindow::map(int file, std::uint64_t mark) {
  struct stat status{};
  // The size, since reading beyond the end of a file ends the process by a signal.
  if (file < 0 || fstat(file, &status) != 0 || static_cast<std::size_t>(status.st_size) != file_bytes(bytes_)) {
    return false;
  }
  void* const mapping = mmap(nullptr, file_bytes(bytes_), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapping == MAP_FAILED) {
    return false;
  }
  segments_.push_back(static_cast<std::byte*>(mapping));
  std::uint64_t found = 0;
  std::memcpy(&found, segments_.back() + mark_offset(bytes_), sizeof(found));
  return found == mark;
}

Node::Descriptor::~Descriptor() {
  if (number_ >= 0) {
    close(number_);
  }
}

Node::Node(int rank, int size, AllGatherIntegers all_gather) : rank_(rank), all_gather_(std::move(all_gather)) {
  const at::Tensor ids = all_gather_(at::full({1}, static_cast<std::int64_t>(getpid()), at::kLong));
  for (int r = 0; r < size; ++r) {
    const std::int64_t id = ids.const_data_ptr<std::int64_t>()[r];
    processes_.push_back({id, Descriptor(static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(id), 0)))});
  }
}

Node::Descriptor Node::new_segment(std::size_t bytes, std::uint64_t mark, bool filled) {
  if (!is_within_limit(file_bytes(bytes))) {
    return Descriptor(-1);
  }
  Descriptor file(memfd_create(file_name, MFD_CLOEXEC));
  // Allocated now and by its owner: near to it, and with an error rather than a signal where there is no memory.
  const auto length = static_cast<off_t>(file_bytes(bytes));
  const bool allocated = file &&
                         (filled ? posix_fallocate(file.number(), 0, length) : ftruncate(file.number(), length)) == 0 &&
                         pwrite(file.number(), &mark, sizeof(mark), static_cast<off_t>(mark_offset(bytes))) ==
                             static_cast<ssize_t>(sizeof(mark));
  return allocated ? std::move(file) : Descriptor(-1);
}

// Where the ranks have process namespaces of their own, the process of this id is another one, and so is its file.
Node::Descriptor Node::open_segment(int rank, std::int64_t file) const {
  const std::string path = c10::str("/proc/", processes_[static_cast<std::size_t>(rank)].id, "/fd/", file);
  std::array<char, 64> name{};
  const ssize_t length = readlink(path.c_str(), name.data(), name.size());
  const std::string ours = c10::str("/memfd:", file_name);
  const bool is_ours = length > 0 && std::string_view(name.data(), static_cast<std::size_t>(length)).starts_with(ours);
  return Descriptor(is_ours ? open(path.c_str(), O_RDWR | O_CLOEXEC) : -1);
}

std::shared_ptr<SharedWindow> Node::allocate(std::size_t bytes, int segments) {
  static thread_local std::random_device random;
  const std::uint64_t mark = static_cast<std::uint64_t>(random()) << 32U | random();
  const Descriptor own = new_segment(bytes, mark, rank_ < segments);
  at::Tensor mine = at::empty({2}, at::kLong);
  mine.mutable_data_ptr<std::int64_t>()[0] = own.number();
  mine.mutable_data_ptr<std::int64_t>()[1] = static_cast<std::int64_t>(mark);
  const at::Tensor all = all_gather_(mine);

  auto window = std::make_shared<SharedWindow>(bytes, segments);
  int success = 1;
  for (int r = 0; r < size() && success == 1; ++r) {
    const std::int64_t* const told = all.const_data_ptr<std::int64_t>() + std::ptrdiff_t{2} * r;
    success =
        told[0] >= 0 && window->map(open_segment(r, told[0]).number(), static_cast<std::uint64_t>(told[1])) ? 1 : 0;
  }
  all_reduce_min({&success, 1});
  return success == 1 ? window : nullptr;
}

void Node::all_reduce_min(std::span<int> values) {
  at::Tensor mine = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::ranges::copy(values, mine.mutable_data_ptr<std::int64_t>());
  const at::Tensor least = all_gather_(mine).amin(0);
  std::transform(least.const_data_ptr<std::int64_t>(), least.const_data_ptr<std::int64_t>() + least.numel(),
                 values.begin(), [](std::int64_t value) { return static_cast<int>(value); });
}

bool Node::has_ended(int rank) const {
  pollfd handle = {.fd = processes_[static_cast<std::size_t>(rank)].handle.number(), .events = POLLIN, .revents = 0};
  return poll(&handle, 1, 0) > 0;  // a negative number is passed over
}

}  // namespace adjoin
