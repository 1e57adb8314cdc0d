#include "adjoin/distributed/exchange/exchange.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "adjoin/core/serialize.hpp"

namespace adjoin {

Exchange::Exchange(std::shared_ptr<Communicator> communicator, at::Device device, std::vector<std::int64_t> indices)
    : communicator_(std::move(communicator)), device_(device), failures_(communicator_->rank(), std::move(indices)) {}

std::optional<Failure> Exchange::take_deferred() { return std::exchange(deferred_, std::nullopt); }

std::vector<Params> Exchange::reports(Params mine, const std::optional<Failure>& failure) {
  std::vector<Params> all;
  for (const std::string& bytes : communicator_->all_gather_bytes(serialize(failure ? report_of(*failure) : mine))) {
    all.push_back(deserialize_params(bytes));
  }
  failures_.throw_first(all, failure);
  return all;
}

void Exchange::agree(const char* what, const std::string& options, c10::function_ref<void()> local) {
  if (alone()) {
    run_alone(local);
    return;
  }
  std::optional<Failure> failure = take_deferred();
  if (!failure) {
    failure = failures_.of(local);
  }
  // 52 bits of the hash survive in a double; the largest of h and of -h are opposite only if all are equal.
  const auto hash = static_cast<double>(std::hash<std::string>{}(options) >> 12U);
  std::array<double, 3> message = {failure ? 1.0 : 0.0, hash, -hash};
  communicator_->all_reduce(message, ReduceOp::max);
  if (message[0] > 0.0) {
    reports({}, failure);
  }
  if (message[1] != -message[2]) {
    const std::vector<std::string> all = communicator_->all_gather_bytes(options);
    const auto unlike = std::ranges::find_if(all, [&](const std::string& o) { return o != all[0]; });
    throw RankFailure(
        static_cast<int>(unlike - all.begin()), -1,
        c10::str(what, ": options must be equal on every rank, got ", *unlike, " here and ", all[0], " on rank 0"));
  }
}

double Exchange::agree_min(double value) {
  if (alone()) {
    return run_alone([&] { return value; });
  }
  const std::optional<Failure> failure = take_deferred();
  std::array<double, 2> message = {failure ? 1.0 : 0.0, -value};
  communicator_->all_reduce(message, ReduceOp::max);
  if (message[0] > 0.0) {
    reports({}, failure);
  }
  return -message[1];
}

void Exchange::sum(std::span<c10::complex<double>> values) {
  if (alone()) {
    run_alone([] {});
    return;
  }
  const std::optional<Failure> failure = take_deferred();
  message_.assign(1, failure ? 1.0 : 0.0);
  for (const c10::complex<double>& value : values) {
    message_.push_back(value.real());
    message_.push_back(value.imag());
  }
  communicator_->all_reduce(std::span<double>(message_));
  if (message_[0] > 0.0) {
    reports({}, failure);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = {message_[1 + 2 * i], message_[2 + 2 * i]};
  }
}

}  // namespace adjoin
