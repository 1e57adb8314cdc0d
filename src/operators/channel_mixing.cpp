// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix with the channels of every pixel.
#include "adjoin/operators/channel_mixing.hpp"

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"

namespace adjoin {

namespace {

at::Tensor checked(const at::Tensor& matrix) {
  check(matrix.defined() && matrix.dim() == 2 && matrix.numel() > 0,
        "ChannelMixing: matrix must be a non-empty matrix, got ",
        matrix.defined() ? c10::str(matrix.sizes()) : "an undefined tensor");
  return matrix;
}

at::Tensor times(const at::Tensor& matrix, const at::Tensor& x) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[1] = matrix.size(0);
  return at::matmul(matrix, x.flatten(2).to(matrix.scalar_type())).view(sizes);
}

void check_channels(const char* method, const char* argument, const at::Tensor& tensor, std::int64_t channels) {
  check(tensor.dim() >= 3 && tensor.size(1) == channels, "ChannelMixing::", method, ": ", argument, " must be (B, ",
        channels, ", …), got ", tensor.sizes());
}

}  // namespace

ChannelMixing::ChannelMixing(const at::Tensor& matrix) : matrix_(watched(checked(matrix))) { made_of({matrix_}); }

void ChannelMixing::update_impl(const Params& params) {
  if (params.contains("matrix")) {
    matrix_ = watched(checked(params.get<at::Tensor>("matrix")));
    made_of({matrix_});
  }
}

at::Tensor ChannelMixing::matrix_for(const at::Tensor& like, const Params& params) const {
  const bool given = !params.empty() && params.contains("matrix");
  const at::Tensor matrix = given ? checked(params.get<at::Tensor>("matrix")) : matrix_;
  const at::ScalarType dtype = matrix.is_complex() ? at::toComplexType(like.scalar_type()) : like.scalar_type();
  if (given || records_gradients(matrix) || (matrix.scalar_type() == dtype && matrix.device() == like.device())) {
    return matrix.to(like.device(), dtype);
  }
  return *converted_.get(version(), std::pair(dtype, like.device()),
                         [&] { return std::make_shared<const at::Tensor>(matrix.to(like.device(), dtype)); });
}

at::Tensor ChannelMixing::A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor matrix = matrix_for(x, params);
  check_channels("A", "x", x, matrix.size(1));
  return times(matrix, x);
}

at::Tensor ChannelMixing::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor matrix = matrix_for(y, params);
  check_channels("A_adjoint", "y", y, matrix.size(0));
  return times(matrix.mH(), y);
}

at::Tensor ChannelMixing::image_like(const at::Tensor& y) const {
  check_channels("A_adjoint", "y", y, matrix_.size(0));
  std::vector<std::int64_t> sizes = y.sizes().vec();
  sizes[1] = matrix_.size(1);
  return at::empty(sizes, y.options().requires_grad(false));
}

}  // namespace adjoin
