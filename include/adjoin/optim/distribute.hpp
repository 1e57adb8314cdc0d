// SPDX-License-Identifier: BSD-3-Clause
// distribute() for data fidelities; that for operators and denoisers comes along.
#pragma once

#include <concepts>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/distributed/distribute.hpp"
#include "adjoin/optim/distributed_data_fidelity.hpp"

namespace adjoin {

/// f(x) = Σ d(A_i x, y_i) with one fidelity d for all operators of a stack, which stands in place of the context, and
/// must outlive the result. Collective.
template <std::derived_from<DataFidelity> D>
DistributedDataFidelity distribute(D fidelity, const DistributedStackedPhysics& stack,
                                   const DataFidelityOptions& options = {}) {
  return {stack, std::make_shared<D>(std::move(fidelity)), options};
}
inline DistributedDataFidelity distribute(const DataFidelityPtr& fidelity, const DistributedStackedPhysics& stack,
                                          const DataFidelityOptions& options = {}) {
  return {stack, fidelity, options};
}

/// The same with a fidelity for each operator; a count unlike that of the operators is an error.
inline DistributedDataFidelity distribute(const std::vector<DataFidelityPtr>& fidelities,
                                          const DistributedStackedPhysics& stack,
                                          const DataFidelityOptions& options = {}) {
  return {stack, fidelities, options};
}

/// The same with fidelities made by factory(index, device), each by the rank that owns the operator.
inline DistributedDataFidelity distribute(const DataFidelityFactory& factory, const DistributedStackedPhysics& stack,
                                          const DataFidelityOptions& options = {}) {
  return {stack, factory, options};
}

}  // namespace adjoin
