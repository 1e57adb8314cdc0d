// SPDX-License-Identifier: BSD-3-Clause
// Functions of libraries whose headers are not there.
#pragma once

#include <dlfcn.h>

namespace adjoin {

/// Sets `function` to that which `library`, a handle of dlopen, exports as `name`. Whether there is one.
template <class Function>
bool load_symbol(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace adjoin
