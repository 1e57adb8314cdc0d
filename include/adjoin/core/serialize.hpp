// SPDX-License-Identifier: BSD-3-Clause
// Tensors and parameters as bytes, for messages between ranks of one program (the machine's byte order).
#pragma once

#include <string>
#include <string_view>

#include "adjoin/core/params.hpp"
#include "adjoin/core/tensor_list.hpp"

namespace adjoin {

std::string serialize(const Params& params);
std::string serialize(const TensorList& tensors);
/// The inverse; tensors are on the CPU. Throws Error when the bytes are cut short.
Params deserialize_params(std::string_view bytes);
TensorList deserialize_tensors(std::string_view bytes);

}  // namespace adjoin
