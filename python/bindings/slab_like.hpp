// SPDX-License-Identifier: BSD-3-Clause
// The package's sharded images as arguments and results.
#pragma once

#include "adjoin/core/sharded_image.hpp"
#include "casters.hpp"

namespace adjoin::python {

/// An argument that is a sharded image of the package; a result is cut as the argument that it was made of.
struct SlabLike {
  ShardedImage image;
  /// The argument, which outlives the call.
  py::handle like;
};

}  // namespace adjoin::python

namespace pybind11::detail {

template <>
struct type_caster<adjoin::python::SlabLike> {
 public:
  PYBIND11_TYPE_CASTER(adjoin::python::SlabLike, const_name("adjoin.distributed.sharded_image.ShardedImage"));

  bool load(handle source, bool /*convert*/) {
    if (!hasattr(source, "_impl")) {
      return false;
    }
    const object impl = source.attr("_impl");
    if (!isinstance<adjoin::ShardedImage>(impl)) {
      return false;
    }
    value = {impl.cast<adjoin::ShardedImage>(), source};
    return true;
  }
  static handle cast(const adjoin::python::SlabLike& slab, return_value_policy /*policy*/, handle /*parent*/) {
    return slab.like.attr("with_local")(slab.image.local).release();
  }
};

}  // namespace pybind11::detail
