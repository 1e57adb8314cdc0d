// SPDX-License-Identifier: BSD-3-Clause
// Sums of the ranks' own products, which for an image that every rank has are the whole already.
#include "optim/products.hpp"

#include <ATen/ATen.h>
#include <c10/util/complex.h>

#include "adjoin/core/psnr.hpp"

namespace adjoin {

double Products::norm(const at::Tensor& x) const {
  return space_ ? adjoin::norm(ShardedImage{x, space_}) : adjoin::norm(x);
}

Reals Products::norms(const at::Tensor& x, std::int64_t items) const {
  return space_ ? adjoin::norms(ShardedImage{x, space_}, items) : adjoin::norms(x, items);
}

std::vector<Scalars> Products::dots(std::initializer_list<VectorPair<at::Tensor>> pairs, std::int64_t items) const {
  std::vector<Scalars> results = adjoin::dots(pairs, items);
  if (space_ && space_->reducer) {
    std::vector<c10::complex<double>> all;
    for (const Scalars& one : results) {
      all.insert(all.end(), one.begin(), one.end());
    }
    space_->reducer->sum(all);
    auto next = all.begin();
    for (Scalars& one : results) {
      for (c10::complex<double>& value : one) {
        value = *next++;
      }
    }
  }
  return results;
}

double Products::psnr(const at::Tensor& x, const at::Tensor& truth, double peak) const {
  if (!space_) {
    return adjoin::psnr(x, truth, peak);
  }
  const double distance = norm(x - truth);
  return psnr_of(distance * distance / static_cast<double>(space_->numel()), peak);
}

}  // namespace adjoin
