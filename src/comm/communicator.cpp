#include "adjoin/comm/communicator.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <numeric>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "comm/backend/staging.hpp"

namespace adjoin {

namespace {

void check_defined(const char* name, const at::Tensor& tensor) {
  check(tensor.defined() && tensor.layout() == at::kStrided, name, " must be a dense tensor, got ",
        tensor.defined() ? c10::str("layout ", tensor.layout()) : std::string("an undefined one"));
}

void check_reducible(const char* name, at::ScalarType dtype, ReduceOp op) {
  switch (dtype) {
    case at::kFloat:
    case at::kDouble:
    case at::kHalf:
    case at::kBFloat16:
    case at::kBool:
    case at::kByte:
    case at::kChar:
    case at::kShort:
    case at::kInt:
    case at::kLong:
      return;
    case at::kComplexHalf:
    case at::kComplexFloat:
    case at::kComplexDouble:
      check(op == ReduceOp::sum || op == ReduceOp::product, name,
            " must be real for a minimum or maximum: complex numbers have no order, got ", dtype);
      return;
    default:
      check(false, name, " has dtype ", dtype, ", which cannot be reduced");
  }
}

std::int64_t sum_of(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

void check_counts(const char* method, const std::vector<std::int64_t>& counts, int size) {
  check(counts.size() == static_cast<std::size_t>(size), method, ": counts must have one entry a rank, ", size,
        ", got ", counts.size());
  for (const std::int64_t count : counts) {
    check(count >= 0, method, ": counts must not be negative, got ", count);
  }
}

void check_gather_buffer(const char* method, const at::Tensor& buffer, const std::vector<std::int64_t>& counts,
                         int size) {
  check_counts(method, counts, size);
  check(buffer.defined() && is_dense(buffer), method, ": buffer must be a contiguous tensor");
  check(buffer.numel() == sum_of(counts), method, ": buffer must have the ", sum_of(counts),
        " elements that counts add up to, got ", buffer.numel());
}

void check_root(const char* method, int root, int size) {
  check(root >= 0 && root < size, method, ": root must be a rank below ", size, ", got ", root);
}

/// A collective on a staged copy, which returns to the tensor of the caller when it is finished.
class StagedWork : public Pending::Work {
 public:
  StagedWork(Pending work, at::Tensor staged, at::Tensor tensor)
      : work_(std::move(work)), staged_(std::move(staged)), tensor_(std::move(tensor)) {}

  bool test() override {
    if (work_.test()) {
      wait();
      return true;
    }
    return false;
  }

  void wait() override {
    work_.wait();
    unstage(staged_, tensor_);
  }

 private:
  Pending work_;
  at::Tensor staged_;
  at::Tensor tensor_;
};

Pending unstage_later(Pending work, const at::Tensor& staged, const at::Tensor& tensor) {
  return staged.is_same(tensor) ? std::move(work)
                                : Pending(std::make_unique<StagedWork>(std::move(work), staged, tensor));
}

}  // namespace

// ---- Pending ----------------------------------------------------------------------------------------------------

Pending::Pending(std::unique_ptr<Work> work) : work_(std::move(work)) {}

Pending::Pending(Pending&&) noexcept = default;

Pending& Pending::operator=(Pending&& other) noexcept {
  std::swap(work_, other.work_);  // `other` waits for what this one held
  return *this;
}

Pending::~Pending() {
  try {
    wait();
  } catch (...) {  // NOLINT(bugprone-empty-catch): who wants to know of the failure calls wait()
  }
}

bool Pending::test() {
  if (work_ && work_->test()) {
    work_.reset();
  }
  return !work_;
}

void Pending::wait() {
  if (const std::unique_ptr<Work> work = std::move(work_)) {
    work->wait();
  }
}

// ---- ReduceBuffer -----------------------------------------------------------------------------------------------

void ReduceBuffer::check_output(const char* name, const at::Tensor& output, std::int64_t numel) const {
  const at::Tensor& source = input();
  check_defined(name, output);
  check(output.scalar_type() == source.scalar_type(), name, " must have dtype ", source.scalar_type(), ", got ",
        output.scalar_type());
  check(output.numel() == numel, name, " must have ", numel, " elements, got ", output.numel());
  check(output.device() == source.device(), name, " must lie on ", source.device(), ", got ", output.device());
  check(is_dense(output), name, " must be contiguous, got strides ", output.strides());
  check(output.numel() == 0 || output.const_data_ptr() != source.const_data_ptr(), name,
        " must not be the buffer's input()");
}

void ReduceBuffer::all_reduce(at::Tensor& output, ReduceOp op) {
  const at::Tensor& source = input();
  check_output("ReduceBuffer::all_reduce: output", output, source.numel());
  check_reducible("ReduceBuffer::all_reduce: output", output.scalar_type(), op);
  communicator_.count(Communicator::Kind::reduction, static_cast<std::int64_t>(output.nbytes()));
  if (output.numel() > 0) {
    all_reduce_impl(output, op);
  }
}

const at::Tensor& ReduceBuffer::all_reduce_shared(ReduceOp op) {
  const at::Tensor& source = input();
  check_reducible("ReduceBuffer::all_reduce_shared: input", source.scalar_type(), op);
  communicator_.count(Communicator::Kind::reduction, static_cast<std::int64_t>(source.nbytes()));
  return all_reduce_shared_impl(op);
}

void ReduceBuffer::check_parts(const char* method, const std::vector<std::int64_t>& counts) const {
  check_counts(method, counts, communicator_.size());
  check(sum_of(counts) <= input().numel(), method, ": counts must add up to at most ", input().numel(), ", got ",
        counts);
  check_reducible(method, input().scalar_type(), ReduceOp::sum);
}

ReduceBuffer::Part ReduceBuffer::own_part(const std::vector<std::int64_t>& counts) const {
  const auto own = counts.begin() + communicator_.rank();
  return {std::accumulate(counts.begin(), own, std::int64_t{0}), *own};
}

void ReduceBuffer::all_gather(at::Tensor& output, const std::vector<std::int64_t>& counts) {
  check_parts("ReduceBuffer::all_gather", counts);
  check_output("ReduceBuffer::all_gather: output", output, sum_of(counts));
  communicator_.count(Communicator::Kind::gather, static_cast<std::int64_t>(input().nbytes()));
  if (input().numel() > 0) {
    all_gather_impl(output, counts);
  }
}

const at::Tensor& ReduceBuffer::all_gather_shared(const std::vector<std::int64_t>& counts) {
  check_parts("ReduceBuffer::all_gather_shared", counts);
  communicator_.count(Communicator::Kind::gather, static_cast<std::int64_t>(input().nbytes()));
  return all_gather_shared_impl(counts);
}

void ReduceBuffer::all_gather_impl(at::Tensor& output, const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part part = own_part(counts);
  at::Tensor flat = output.view(-1);
  input().narrow(0, part.begin, part.count).copy_(flat.narrow(0, part.begin, part.count));
  flat.copy_(ReduceBuffer::all_gather_shared_impl(counts).narrow(0, 0, flat.numel()));
}

const at::Tensor& ReduceBuffer::all_gather_shared_impl(const std::vector<std::int64_t>& counts) {
  const c10::NoGradGuard no_grad;
  const Part part = own_part(counts);
  const std::int64_t parts = sum_of(counts);
  const std::int64_t behind = part.begin + part.count;
  input().narrow(0, 0, part.begin).zero_();
  input().narrow(0, behind, parts - behind).zero_();
  const at::Tensor& result = all_reduce_shared_impl(ReduceOp::sum);
  const std::int64_t tail = input().numel() - parts;
  input().narrow(0, parts, tail).copy_(result.narrow(0, parts, tail));
  return result;
}

const at::Tensor& ReduceBuffer::all_reduce_shared_impl(ReduceOp op) {
  at::Tensor& result = results_[next_result_];
  next_result_ = 1 - next_result_;
  if (!result.defined()) {
    result = at::empty_like(input());
  }
  if (result.numel() > 0) {
    all_reduce_impl(result, op);
  }
  return result;
}

// ---- Communicator -----------------------------------------------------------------------------------------------

void Communicator::count(Kind kind, std::int64_t bytes) {
  ++counters_.collectives;
  counters_.reductions += kind == Kind::reduction ? 1 : 0;
  counters_.gathers += kind == Kind::gather ? 1 : 0;
  counters_.bytes += bytes;
  counters_.last_bytes = bytes;
}

void Communicator::all_reduce(at::Tensor& tensor, ReduceOp op) {
  check_defined("all_reduce: tensor", tensor);
  check_reducible("all_reduce: tensor", tensor.scalar_type(), op);
  count(Kind::reduction, static_cast<std::int64_t>(tensor.nbytes()));
  if (size() == 1 || tensor.numel() == 0) {
    return;
  }
  at::Tensor staged = stage(tensor, reaches(tensor.device()));
  all_reduce_impl(staged, op);
  unstage(staged, tensor);
}

void Communicator::all_reduce(std::span<double> values, ReduceOp op) {
  count(Kind::reduction, static_cast<std::int64_t>(values.size_bytes()));
  if (size() > 1 && !values.empty()) {
    all_reduce_values_impl(values, op);
  }
}

Pending Communicator::start_all_reduce(at::Tensor& tensor, ReduceOp op) {
  check_defined("start_all_reduce: tensor", tensor);
  check_reducible("start_all_reduce: tensor", tensor.scalar_type(), op);
  count(Kind::reduction, static_cast<std::int64_t>(tensor.nbytes()));
  if (size() == 1 || tensor.numel() == 0) {
    return {};
  }
  at::Tensor staged = stage(tensor, reaches(tensor.device()));
  return unstage_later(start_all_reduce_impl(staged, op), staged, tensor);
}

at::Tensor Communicator::all_gather(const at::Tensor& input) {
  check_defined("all_gather: input", input);
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> shape = {size()};
  shape.insert(shape.end(), input.sizes().begin(), input.sizes().end());
  at::Tensor output = at::empty(shape, input.options());
  output.select(0, rank()).copy_(input);
  all_gather_v_inplace(output, std::vector<std::int64_t>(static_cast<std::size_t>(size()), input.numel()));
  return output;
}

at::Tensor Communicator::all_gather_v(const at::Tensor& input, const std::vector<std::int64_t>& counts) {
  check_defined("all_gather_v: input", input);
  check_counts("all_gather_v", counts, size());
  const auto own = counts.begin() + rank();
  check(input.dim() == 1 && input.numel() == *own, "all_gather_v: input must be one-dimensional with the ", *own,
        " elements that counts gives this rank, got shape ", input.sizes());
  const c10::NoGradGuard no_grad;
  at::Tensor output = at::empty({sum_of(counts)}, input.options());
  output.narrow(0, std::accumulate(counts.begin(), own, std::int64_t{0}), *own).copy_(input);
  all_gather_v_inplace(output, counts);
  return output;
}

void Communicator::all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  check_gather_buffer("all_gather_v_inplace", buffer, counts, size());
  count(Kind::gather, static_cast<std::int64_t>(buffer.nbytes()));
  if (size() == 1 || buffer.numel() == 0) {
    return;
  }
  at::Tensor staged = stage(buffer, reaches(buffer.device()));
  all_gather_v_impl(staged, counts);
  unstage(staged, buffer);
}

Pending Communicator::start_all_gather_v_inplace(at::Tensor& buffer, const std::vector<std::int64_t>& counts) {
  check_gather_buffer("start_all_gather_v_inplace", buffer, counts, size());
  count(Kind::gather, static_cast<std::int64_t>(buffer.nbytes()));
  if (size() == 1 || buffer.numel() == 0) {
    return {};
  }
  at::Tensor staged = stage(buffer, reaches(buffer.device()));
  return unstage_later(start_all_gather_v_impl(staged, counts), staged, buffer);
}

at::Tensor Communicator::reduce_scatter(const at::Tensor& input, ReduceOp op) {
  check_defined("reduce_scatter: input", input);
  check_reducible("reduce_scatter: input", input.scalar_type(), op);
  check(input.dim() >= 1 && input.size(0) % size() == 0, "reduce_scatter: input must divide along dimension 0 into ",
        size(), " equal parts, got shape ", input.sizes());
  count(Kind::reduction, static_cast<std::int64_t>(input.nbytes()));
  const c10::NoGradGuard no_grad;
  if (size() == 1) {
    return input.clone(at::MemoryFormat::Contiguous);
  }
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape[0] /= size();
  const bool reachable = reaches(input.device());
  at::Tensor output = at::empty(shape, input.options().device(reachable ? input.device() : at::Device(at::kCPU)));
  if (output.numel() > 0) {
    reduce_scatter_impl(stage(input, reachable), output, op);
  }
  return output.to(input.device());
}

void Communicator::broadcast(at::Tensor& tensor, int root) {
  check_defined("broadcast: tensor", tensor);
  check_root("broadcast", root, size());
  count(Kind::other, static_cast<std::int64_t>(tensor.nbytes()));
  if (size() == 1 || tensor.numel() == 0) {
    return;
  }
  at::Tensor staged = stage(tensor, reaches(tensor.device()));
  broadcast_impl(staged, root);
  if (rank() != root) {
    unstage(staged, tensor);
  }
}

Pending Communicator::start_broadcast(at::Tensor& tensor, int root) {
  check_defined("start_broadcast: tensor", tensor);
  check_root("start_broadcast", root, size());
  count(Kind::other, static_cast<std::int64_t>(tensor.nbytes()));
  if (size() == 1 || tensor.numel() == 0) {
    return {};
  }
  at::Tensor staged = stage(tensor, reaches(tensor.device()));
  Pending work = start_broadcast_impl(staged, root);
  return rank() == root ? std::move(work) : unstage_later(std::move(work), staged, tensor);
}

void Communicator::barrier() {
  count(Kind::other, 0);
  if (size() > 1) {
    barrier_impl();
  }
}

std::string Communicator::broadcast_bytes(const std::string& bytes, int root) {
  check_root("broadcast_bytes", root, size());
  at::Tensor length = at::full({1}, static_cast<std::int64_t>(bytes.size()), at::kLong);
  broadcast(length, root);
  const auto size_in_bytes = length.item<std::int64_t>();
  std::string result = rank() == root ? bytes : std::string(static_cast<std::size_t>(size_in_bytes), '\0');
  at::Tensor payload = at::from_blob(result.data(), {size_in_bytes}, at::kByte);
  broadcast(payload, root);
  return result;
}

std::vector<std::string> Communicator::all_gather_bytes(const std::string& bytes) {
  const at::Tensor lengths = all_gather(at::full({}, static_cast<std::int64_t>(bytes.size()), at::kLong));
  const std::vector<std::int64_t> counts(lengths.const_data_ptr<std::int64_t>(),
                                         lengths.const_data_ptr<std::int64_t>() + lengths.numel());
  std::string gathered(static_cast<std::size_t>(sum_of(counts)), '\0');
  const auto own = std::accumulate(counts.begin(), counts.begin() + rank(), std::int64_t{0});
  gathered.replace(static_cast<std::size_t>(own), bytes.size(), bytes);
  at::Tensor payload = at::from_blob(gathered.data(), {sum_of(counts)}, at::kByte);
  all_gather_v_inplace(payload, counts);

  std::vector<std::string> result;
  result.reserve(counts.size());
  std::size_t offset = 0;
  for (const std::int64_t count : counts) {
    result.push_back(gathered.substr(offset, static_cast<std::size_t>(count)));
    offset += static_cast<std::size_t>(count);
  }
  return result;
}

void Communicator::check_equal_memory(const char* method, std::int64_t numel, at::ScalarType dtype) {
  check(numel >= 0, method, ": numel must not be negative, got ", numel);
  if (size() > 1) {
    const auto type = static_cast<std::int64_t>(dtype);
    at::Tensor limits = at::tensor({numel, -numel, type, -type}, at::kLong);
    all_reduce_impl(limits, ReduceOp::max);
    const auto* const limit = limits.const_data_ptr<std::int64_t>();
    check(limit[0] == -limit[1] && limit[2] == -limit[3], method,
          ": numel and dtype must be equal on all ranks; this rank asks for ", numel, " of ", dtype,
          ", others for up to ", limit[0], " elements");
  }
}

std::unique_ptr<ReduceBuffer> Communicator::reduce_buffer(std::int64_t numel, at::ScalarType dtype, at::Device device) {
  check_reducible("reduce_buffer: dtype", dtype, ReduceOp::sum);
  check_equal_memory("reduce_buffer", numel, dtype);
  return reduce_buffer_impl(numel, dtype, device);
}

at::Tensor Communicator::visible(std::int64_t numel, at::ScalarType dtype) {
  check_equal_memory("visible", numel, dtype);
  return size() > 1 ? visible_impl(numel, dtype) : at::Tensor();
}

}  // namespace adjoin
