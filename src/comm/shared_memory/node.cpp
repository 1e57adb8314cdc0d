#include "comm/shared_memory/node.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace adjoin {

SharedWindow::~SharedWindow() {
  for (std::byte* segment : segments_) {
    munmap(segment, bytes_);
  }
}

bool SharedWindow::map(int file) {
  void* const mapping = file < 0 ? MAP_FAILED : mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapping == MAP_FAILED) {
    return false;
  }
  segments_.push_back(static_cast<std::byte*>(mapping));
  return true;
}

Node::Descriptor::~Descriptor() {
  if (number_ >= 0) {
    close(number_);
  }
}

Node::Node(int rank, int size, AllGatherIntegers all_gather, std::chrono::milliseconds timeout)
    : rank_(rank), all_gather_(std::move(all_gather)), timeout_(timeout) {
  const at::Tensor ids = all_gather_(at::full({1}, static_cast<std::int64_t>(getpid()), at::kLong));
  for (int r = 0; r < size; ++r) {
    const std::int64_t id = ids.const_data_ptr<std::int64_t>()[r];
    processes_.push_back({id, Descriptor(static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(id), 0)))});
  }
}

std::shared_ptr<SharedWindow> Node::allocate(std::size_t bytes) {
  const Descriptor own(memfd_create("adjoin", MFD_CLOEXEC));
  // Allocated now and by its owner: near to it, and with an error rather than a signal where there is no memory.
  const bool allocated = own && posix_fallocate(own.number(), 0, static_cast<off_t>(bytes)) == 0;
  const at::Tensor files = all_gather_(at::full({1}, std::int64_t{allocated ? own.number() : -1}, at::kLong));

  auto window = std::make_shared<SharedWindow>(bytes);
  int success = 1;
  for (int r = 0; r < size() && success == 1; ++r) {
    const std::int64_t file = files.const_data_ptr<std::int64_t>()[r];
    const std::string path = c10::str("/proc/", processes_[static_cast<std::size_t>(r)].id, "/fd/", file);
    success = file >= 0 && window->map(Descriptor(open(path.c_str(), O_RDWR | O_CLOEXEC)).number()) ? 1 : 0;
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

std::optional<std::string> Node::lost(int rank, std::chrono::milliseconds waited) {
  pollfd handle = {.fd = processes_[static_cast<std::size_t>(rank)].handle.number(), .events = POLLIN, .revents = 0};
  if (poll(&handle, 1, 0) > 0) {  // a negative number is passed over
    return c10::str("rank ", rank, " has ended while this rank waited for it");
  }
  if (waited > timeout_) {
    return c10::str("this rank has waited for rank ", rank, " for ", waited.count() / 1000, " s");
  }
  return std::nullopt;
}

}  // namespace adjoin
