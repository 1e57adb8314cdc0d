// SPDX-License-Identifier: BSD-3-Clause
// What surrounds the verbs: the name and number of a call, and one error on all ranks where one of them fails.
#include "adjoin/distributed/exchange/exchange.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "adjoin/core/serialize.hpp"

namespace adjoin {

Exchange::Exchange(const DistributedContext& context, std::string owner, std::shared_ptr<Communicator> group)
    : communicator_(group != nullptr ? std::move(group) : context.shared_communicator()),
      device_(context.device()),
      alone_(communicator_->size() == 1),
      first_rank_(context.rank() - communicator_->rank()),
      check_(context.check_replicated()),
      owner_(std::move(owner)),
      failures_(communicator_.get(), context.rank(), {}) {}

void Exchange::number(const DistributedContext& context, const std::string& kind) {
  owner_ = c10::str(kind, " ", context.next_number(kind));
}

void Exchange::set_indices(std::vector<std::int64_t> indices) {
  failures_ = Failures(communicator_.get(), first_rank_ + rank(), std::move(indices));
}

// ---- Calls -------------------------------------------------------------------------------------------------------

namespace {

// Calls that this thread is in, one in the other. Ranks compare the outermost one.
thread_local int open_calls = 0;

}  // namespace

Exchange::Name::Name(const char* method, const std::string& owner) {
  for (const std::string_view part : {std::string_view(method), std::string_view(" of "), std::string_view(owner)}) {
    const std::size_t count = std::min(part.size(), text_.size() - length_);
    std::copy_n(part.data(), count, text_.data() + length_);
    length_ += count;
  }
}

Exchange::Running::Running(Exchange& exchange, const char* method, const CallArguments& arguments)
    : exchange_(exchange),
      name_(method, exchange.owner_),
      scope_(exchange.communicator_->enter(
          {.name = name_.text(), .fingerprint = open_calls == 0 ? arguments.fingerprint(exchange.check_) : 0})),
      is_outer_(exchange.scope_ == nullptr) {
  if (is_outer_) {
    exchange_.scope_ = &scope_;
    exchange_.method_ = method;
    exchange_.arguments_ = &arguments;
    exchange_.sampled_ = open_calls > 0 || exchange.check_ != CheckReplicated::sampled;
  }
  ++open_calls;
}

Exchange::Running::~Running() {
  --open_calls;
  if (is_outer_) {
    exchange_.scope_ = nullptr;
    exchange_.sampled_ = true;
    exchange_.deferred_.reset();
  }
}

void Exchange::fail(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const AgreedFailure& failure) {
    if (failure.among == communicator_.get()) {
      throw;
    }
  } catch (const CallDisagreement&) {
    throw;
  } catch (const CommunicationError&) {
    throw;
  } catch (...) {  // NOLINT(bugprone-empty-catch): of this rank alone
  }
  refused_ = failures_.describe(exception);
  try {
    communicator_->refuse(to_report(*refused_));
  } catch (const CallDisagreement&) {
    throw;
  } catch (const Error&) {  // nobody could hear of it
    refused_.reset();
    failures_.throw_local(exception);
  }
}

void Exchange::refuse(const char* method) {
  const std::exception_ptr exception = std::current_exception();
  call(method, {}, [&] { std::rethrow_exception(exception); });
  std::terminate();  // not reached
}

void Exchange::settle(const char* method, const CallArguments& arguments, const CallDisagreement& disagreement) {
  const std::optional<Failure> mine = std::exchange(refused_, std::nullopt);
  const Name name(method, owner_);
  const std::vector<CallDisagreement::Entry>& entries = disagreement.entries;
  std::vector<std::optional<Failure>> refusals(entries.size());
  for (std::size_t r = 0; r < entries.size(); ++r) {
    if (const std::string& refusal = entries[r].refusal; !refusal.empty()) {
      refusals[r] =
          failure_from(refusal).value_or(Failure{.rank = first_rank_ + static_cast<int>(r), .reason = refusal});
    }
  }
  failures_.throw_first(refusals, mine);
  const auto is_this_call = [&](const auto& entry) { return entry.call == name.text() && !entry.left; };
  if (std::ranges::all_of(entries, is_this_call) &&
      std::ranges::any_of(entries, [&](const auto& e) { return e.fingerprint != entries[0].fingerprint; })) {
    const CallScope comparing = communicator_->enter({.name = "comparing arguments"});
    compare(method, arguments);
  }
  throw CallDisagreement(disagreement);
}

void Exchange::compare(const char* method, const CallArguments& arguments) {
  const std::vector<Params> all = confer(arguments.described(check_), {});
  for (const auto& [name, first] : all[0]) {
    for (int r = 1; r < static_cast<int>(all.size()); ++r) {
      const Params& theirs = all[static_cast<std::size_t>(r)];
      const std::string start = c10::str(Name(method, owner_).text(), ": ", name);
      if (!theirs.contains(name)) {
        continue;
      }
      if (const auto* text = std::get_if<std::string>(&first)) {
        if (theirs.get<std::string>(name) != *text) {
          failures_.throw_agreed(
              first_rank_ + r, c10::str(start, ": options must be equal on every rank, got ",
                                        theirs.get<std::string>(name), " here and ", *text, " on rank ", first_rank_));
        }
      } else if (const auto* checksum = std::get_if<std::int64_t>(&first)) {
        if (theirs.get<std::int64_t>(name) != *checksum) {
          failures_.throw_agreed(
              first_rank_ + r,
              c10::str(start, " must be equal on every rank, and is not that of rank ", first_rank_, " here"));
        }
      } else if (const auto* sample = std::get_if<double>(&first)) {
        if (unlike_samples(theirs.get<double>(name), *sample)) {
          failures_.throw_agreed(
              first_rank_ + r,
              c10::str(start, " must be equal on every rank, and is not that of rank ", first_rank_, " here"));
        }
      }
    }
  }
}

double Exchange::take_sample() {
  return std::exchange(sampled_, true) ? std::numeric_limits<double>::quiet_NaN() : arguments_->sample();
}

std::vector<Params> Exchange::confer(const Params& mine, const std::optional<Failure>& failure) {
  std::optional<Failure> own = failure;
  std::string message;
  if (!own) {
    own = failures_.of([&] { message = serialize(mine); });
  }
  if (own) {
    message = serialize(Params{{"failure", to_report(*own)}});
  }
  commit();
  std::vector<Params> all;
  std::vector<std::optional<Failure>> reports;
  for (const std::string& bytes : communicator_->all_gather_bytes(message)) {
    all.push_back(deserialize_params(bytes));
    reports.push_back(failure_from(all.back().get_or<std::string>("failure", "")));
  }
  failures_.throw_first(reports, own);
  return all;
}

// ---- Small messages ----------------------------------------------------------------------------------------------

void Exchange::agree(c10::function_ref<void()> local) { agree_max({}, local); }

double Exchange::agree_min(double value) {
  std::array<double, 1> message = {-value};
  agree_max(message, [] {});
  return -message[0];
}

void Exchange::agree_max(std::span<double> values, c10::function_ref<void()> local) {
  if (alone_) {
    local();
    return;
  }
  message_.reserve(3 + values.size());
  commit();
  std::optional<Failure> failure = take_deferred();
  if (!failure) {
    failure = failures_.of(local);
  }
  const double sample = take_sample();
  const double known = std::isnan(sample) ? 0.0 : 1.0;
  message_.assign({failure ? 1.0 : 0.0, known * sample, -known * sample});
  if (known == 0.0) {
    message_[1] = message_[2] = 0.0;
  }
  message_.insert(message_.end(), values.begin(), values.end());
  communicator_->all_reduce(std::span<double>(message_), ReduceOp::max);
  if (message_[0] > 0.0) {
    confer({}, failure);
  }
  if (message_[1] + message_[2] > sample_tolerance * message_[1]) {
    compare(method_, *arguments_);
  }
  std::copy(message_.begin() + 3, message_.end(), values.begin());
}

void Exchange::sum(std::span<c10::complex<double>> values) {
  if (alone_) {
    return;
  }
  message_.reserve(1 + 2 * values.size());
  commit();
  const std::optional<Failure> failure = take_deferred();
  message_.assign(1, failure ? 1.0 : 0.0);
  for (const c10::complex<double>& value : values) {
    message_.push_back(value.real());
    message_.push_back(value.imag());
  }
  communicator_->all_reduce(std::span<double>(message_));
  if (message_[0] > 0.0) {
    confer({}, failure);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = {message_[1 + 2 * i], message_[2 + 2 * i]};
  }
}

}  // namespace adjoin
