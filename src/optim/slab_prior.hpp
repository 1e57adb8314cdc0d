// SPDX-License-Identifier: BSD-3-Clause
// What priors that do not act on numbers need of the slabs of other ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include "adjoin/core/sharded_image.hpp"
#include "adjoin/distributed/exchange/exchange.hpp"

namespace adjoin {

/// The exchange that sums the inner products of x; null where one rank has the whole image.
Exchange* exchange_of(const ShardedImage& x);

/// The whole image on every rank, in memory of its own. In a call.
at::Tensor gathered(Exchange& exchange, const ShardedImage& x);

}  // namespace adjoin
