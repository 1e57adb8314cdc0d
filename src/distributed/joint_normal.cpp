// SPDX-License-Identifier: BSD-3-Clause
// The sum of the ranks' normal forms, made again when operators, parameters or the image's layout change on any rank.
#include "adjoin/distributed/joint_normal.hpp"

#include <ATen/ATen.h>

#include "adjoin/physics/fused.hpp"

namespace adjoin {

bool JointNormal::ForCall::is_current() const {
  if (!joint_.possible_) {
    return true;
  }
  const bool same_image = x_.defined()
                              ? x_.scalar_type() == joint_.dtype_ && x_.sizes() == at::IntArrayRef(joint_.sizes_)
                              : joint_.dtype_ == at::ScalarType::Undefined;
  return same_image && params_.empty() != joint_.has_params_ && local_.version() == joint_.version_;
}

void JointNormal::ForCall::make() {
  enum Have : std::uint8_t { no_forms, none_for_this_image, a_form };
  Have have = none_for_this_image;
  const std::int64_t version = local_.version();
  const auto own_form = [&] {
    at::Tensor form = local_.normal_form(x_, params_);
    have = form.defined() ? a_form : (local_.has_normal_forms() ? none_for_this_image : no_forms);
    return form;
  };
  const at::Tensor mine = exchange_.deferring(own_form, [] { return at::Tensor(); });
  const auto least = static_cast<Have>(exchange_.agree_min(have));
  joint_.made_ = true;
  joint_.exists_ = least == a_form;
  joint_.form_.reset();
  if (joint_.exists_) {
    // Through the small window of all large sums: the form takes no memory beside what stays.
    at::Tensor sum = mine.contiguous();
    exchange_.communicator().all_reduce(sum);
    if (images_of_part(x_.sizes(), exchange_.communicator().rank(), exchange_.communicator().size()).images > 0) {
      joint_.form_ = sum;
    }
  }
  joint_.possible_ = least != no_forms;
  joint_.version_ = version;
  joint_.has_params_ = !params_.empty();
  joint_.sizes_ = x_.defined() ? x_.sizes().vec() : std::vector<std::int64_t>();
  joint_.dtype_ = x_.defined() ? x_.scalar_type() : at::ScalarType::Undefined;
}

}  // namespace adjoin
