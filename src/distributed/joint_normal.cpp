#include "adjoin/distributed/joint_normal.hpp"

#include <ATen/ATen.h>

namespace adjoin {

bool JointNormal::is_current(const StackedLinearPhysics& local, const at::Tensor& x, const Params& params) const {
  if (!agreed_once_ || never_) {
    return agreed_once_;
  }
  const bool same_image = x.defined() ? x.scalar_type() == dtype_ && x.sizes() == at::IntArrayRef(sizes_)
                                      : dtype_ == at::ScalarType::Undefined;
  return same_image && params.empty() != has_params_ && local.version() == version_;
}

void JointNormal::agree(Exchange& exchange, const StackedLinearPhysics& local, const at::Tensor& x,
                        const Params& params) {
  at::Tensor mine = exchange.deferring([&] { return local.normal_form(x, params); }, [] { return at::Tensor(); });
  agreed_once_ = true;
  never_ = x.defined() && params.empty() && !mine.defined();
  version_ = local.version();
  has_params_ = !params.empty();
  sizes_ = x.defined() ? x.sizes().vec() : std::vector<std::int64_t>();
  dtype_ = x.defined() ? x.scalar_type() : at::ScalarType::Undefined;
  form_.reset();
  if (exchange.agree_min(mine.defined() ? 1.0 : 0.0) > 0.0) {
    ReducePlan once;
    form_ = exchange.reduce("A_adjoint_A", once, [&](const at::Tensor& /*out*/) { return mine; });
  }
}

}  // namespace adjoin
