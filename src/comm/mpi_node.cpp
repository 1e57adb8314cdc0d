#include "mpi_node.hpp"

#include <cstring>
#include <memory>

namespace adjoin {

namespace {

using mpi::check_code;

MPI_Win allocate_window(const mpi::OwnedComm& comm, std::size_t bytes) {
  MPI_Info info = MPI_INFO_NULL;
  check_code(MPI_Info_create(&info), "MPI_Info_create");
  // Each rank's segment on pages of its own, so that they can lie in the memory nearest to it.
  check_code(MPI_Info_set(info, "alloc_shared_noncontig", "true"), "MPI_Info_set");
  void* base = nullptr;
  MPI_Win window = MPI_WIN_NULL;
  const int code =
      MPI_Win_allocate_shared(static_cast<MPI_Aint>(bytes + Node::cache_line), 1, info, comm.get(), &base, &window);
  MPI_Info_free(&info);
  return code == MPI_SUCCESS ? window : MPI_WIN_NULL;
}

class MpiWindow : public SharedWindow {
 public:
  MpiWindow(MPI_Win window, std::size_t bytes, int ranks) : SharedWindow(bytes), window_(window) {
    check_code(MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
    check_code(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
    for (int r = 0; r < ranks; ++r) {
      MPI_Aint size = 0;
      int unit = 0;
      void* base = nullptr;
      check_code(MPI_Win_shared_query(window_, r, &size, &unit, &base), "MPI_Win_shared_query");
      auto space = static_cast<std::size_t>(size);
      add_segment(static_cast<std::byte*>(std::align(Node::cache_line, bytes, base, space)));
    }
  }

  ~MpiWindow() override {
    if (mpi::is_active()) {
      MPI_Win_unlock_all(window_);
      MPI_Win_free(&window_);
    }
  }

 private:
  MPI_Win window_;
};

}  // namespace

std::shared_ptr<SharedWindow> MpiNode::allocate(std::size_t bytes) {
  const MPI_Win window = allocate_window(comm_, bytes);
  // A window that not all have cannot be freed, as that takes all: it stays.
  if (!mpi::all_succeeded(comm_, window != MPI_WIN_NULL)) {
    return nullptr;
  }
  auto result = std::make_shared<MpiWindow>(window, bytes, size_);
  std::memset(result->segment(rank_), 0, bytes);
  check_code(MPI_Barrier(comm_.get()), "MPI_Barrier");
  return result;
}

void MpiNode::all_reduce_min(std::span<int> values) {
  check_code(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_INT, MPI_MIN, comm_.get()),
             "MPI_Allreduce");
}

}  // namespace adjoin
