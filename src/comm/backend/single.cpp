// SPDX-License-Identifier: BSD-3-Clause
// A communicator of one process, which has nobody to talk to.
#include "adjoin/comm/single.hpp"

#include <memory>
#include <string>

#include "comm/backend/private_reduce_buffer.hpp"

namespace adjoin {

namespace {

/// One process. The public methods of Communicator send nothing at size 1, so the collectives are never reached.
class SingleCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  std::string description() const override { return "one process"; }

 protected:
  bool reaches(at::Device) const override { return true; }
  void all_reduce_impl(at::Tensor&, ReduceOp) override {}
  void all_reduce_values_impl(std::span<double>, ReduceOp) override {}
  Pending start_all_reduce_impl(at::Tensor&, ReduceOp) override { return {}; }
  void all_gather_v_impl(at::Tensor&, const std::vector<std::int64_t>&) override {}
  Pending start_all_gather_v_impl(at::Tensor&, const std::vector<std::int64_t>&) override { return {}; }
  void reduce_scatter_impl(const at::Tensor&, at::Tensor&, const std::vector<std::int64_t>&, ReduceOp) override {}
  void broadcast_impl(at::Tensor&, int) override {}
  Pending start_broadcast_impl(at::Tensor&, int) override { return {}; }
  void barrier_impl() override {}
  void send_impl(const at::Tensor&, int, int) override {}
  int recv_impl(at::Tensor&, int, int) override { return 0; }
  std::unique_ptr<Communicator> split_impl(int, int) override { return make_single_communicator(); }
  std::unique_ptr<ReduceBuffer> reduce_buffer_impl(std::int64_t numel, at::ScalarType dtype,
                                                   at::Device device) override {
    return std::make_unique<PrivateReduceBuffer>(*this, numel, dtype, device);
  }
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() { return std::make_unique<SingleCommunicator>(); }

}  // namespace adjoin
