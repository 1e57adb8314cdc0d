#include "adjoin/distributed/exchange/failure.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"

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

void Failures::throw_first(const std::vector<Params>& reports, const std::optional<Failure>& mine) const {
  const auto first = std::ranges::find_if(reports, [](const Params& report) { return report.contains("reason"); });
  if (first == reports.end()) {
    return;
  }
  const RankFailure failure(static_cast<int>(first->get<std::int64_t>("rank")), first->get<std::int64_t>("operator"),
                            first->get<std::string>("reason"));
  if (!mine || !mine->exception) {
    throw failure;
  }
  try {
    std::rethrow_exception(mine->exception);
  } catch (...) {
    std::throw_with_nested(failure);
  }
}

Params report_of(const Failure& failure) {
  return {{"rank", std::int64_t{failure.rank}}, {"operator", failure.operator_index}, {"reason", failure.reason}};
}

}  // namespace adjoin
