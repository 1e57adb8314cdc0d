#include "adjoin/distributed/joint_normal.hpp"

#include <ATen/ATen.h>

namespace adjoin {

bool JointNormal::ForCall::is_current() const {
  if (!joint_.fusable_) {  // whatever the image, this rank has no form
    return true;
  }
  const bool same_image = x_.defined()
                              ? x_.scalar_type() == joint_.dtype_ && x_.sizes() == at::IntArrayRef(joint_.sizes_)
                              : joint_.dtype_ == at::ScalarType::Undefined;
  return same_image && params_.empty() != joint_.has_params_ && local_.version() == joint_.version_;
}

void JointNormal::ForCall::make() {
  bool fusable = false;
  const auto own_form = [&] {
    fusable = local_.is_fused();
    return local_.normal_form(x_, params_);
  };
  const at::Tensor mine = exchange_.deferring(own_form, [] { return at::Tensor(); });
  const bool all = exchange_.agree_min(mine.defined() ? 1.0 : 0.0) > 0.0;
  at::Tensor sum;
  if (all) {
    ReducePlan once;
    sum = exchange_.reduce("A_adjoint_A", once, [&](const at::Tensor& /*out*/) { return mine; });
  }
  joint_.made_ = true;
  joint_.form_ = sum;
  joint_.fusable_ = fusable;
  joint_.version_ = local_.version();
  joint_.has_params_ = !params_.empty();
  joint_.sizes_ = x_.defined() ? x_.sizes().vec() : std::vector<std::int64_t>();
  joint_.dtype_ = x_.defined() ? x_.scalar_type() : at::ScalarType::Undefined;
}

}  // namespace adjoin
