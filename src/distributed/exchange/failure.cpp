// SPDX-License-Identifier: BSD-3-Clause
// A failure told to other ranks and thrown there, as RankFailure where it was somebody else's.
#include "adjoin/distributed/exchange/failure.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>

namespace adjoin {

Failure Failures::describe(const std::exception_ptr& exception) const {
  try {
    std::rethrow_exception(exception);
  } catch (const RankFailure& e) {
    return {e.rank, e.operator_index, e.reason, exception};
  } catch (const OperatorFailure& e) {
    const bool known = e.index >= 0 && e.index < static_cast<std::int64_t>(indices_.size());
    return {rank_, known ? indices_[static_cast<std::size_t>(e.index)] : e.index, e.what(), exception};
  } catch (const c10::Error& e) {
    return {rank_, -1, e.what_without_backtrace(), exception};
  } catch (const std::exception& e) {
    return {rank_, -1, e.what(), exception};
  } catch (...) {
    return {rank_, -1, "an exception of unknown type", exception};
  }
}

void Failures::throw_local(std::exception_ptr exception) const {
  const Failure failure = describe(exception);
  try {
    std::rethrow_exception(std::move(exception));
  } catch (...) {
    std::throw_with_nested(RankFailure(failure.rank, failure.operator_index, failure.reason));
  }
}

void Failures::throw_agreed(const Failure& first, const std::optional<Failure>& mine, bool everywhere) const {
  const AgreedFailure failure(communicator_, first.rank, first.operator_index, first.reason, everywhere);
  if (!mine || !mine->exception) {
    throw failure;
  }
  try {
    std::rethrow_exception(mine->exception);
  } catch (...) {
    std::throw_with_nested(failure);
  }
}

void Failures::throw_first(const std::vector<std::optional<Failure>>& reports,
                           const std::optional<Failure>& mine) const {
  const auto first = std::ranges::find_if(reports, [](const auto& report) { return report.has_value(); });
  if (first != reports.end()) {
    const auto is_alike = [&](const auto& report) { return report && report->reason == (*first)->reason; };
    throw_agreed(**first, mine, std::ranges::all_of(reports, is_alike));
  }
}

// "failure", rank, operator and reason, parted by spaces.
std::string to_report(const Failure& failure) {
  return c10::str("failure ", failure.rank, ' ', failure.operator_index, ' ', failure.reason);
}

std::optional<Failure> failure_from(const std::string& report) {
  std::istringstream words(report);
  std::string kind;
  Failure failure;
  if (!(words >> kind >> failure.rank >> failure.operator_index) || kind != "failure") {
    return std::nullopt;
  }
  words.ignore(1);
  failure.reason.assign(std::istreambuf_iterator<char>(words), {});
  return failure;
}

}  // namespace adjoin
