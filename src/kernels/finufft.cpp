// SPDX-License-Identifier: BSD-3-Clause
// FINUFFT's functions found in its shared library, with plans that are made and destroyed by them.
#include "kernels/finufft.hpp"

#include <ATen/Parallel.h>
#include <c10/util/StringUtil.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "core/load_symbol.hpp"

namespace adjoin::kernels {
namespace {

/// FINUFFT's options, which begin with these numbers in every version and grow at their end.
struct Options {
  int modeord, spreadinterponly, debug, spread_debug, showwarn, nthreads, fftw, sort, kerevalmeth, kerpad;
  double upsampfac;
  std::array<std::byte, 1024> rest;
};

template <class T>
struct Functions {
  int (*makeplan)(int type, int axes, const std::int64_t* sizes, int sign, int count, T eps, void** plan, Options*);
  int (*setpts)(void* plan, std::int64_t samples, T* x, T* y, T* z, std::int64_t, T*, T*, T*);
  int (*execute)(void* plan, void* samples, void* images);
  int (*execute_adjoint)(void* plan, void* samples, void* images);
  int (*destroy)(void* plan);
};

/// The library, and where it was looked for.
void* open_library(std::string& tried) {
  std::vector<std::string> places;
  if (const char* named = std::getenv("ADJOIN_FINUFFT"); named != nullptr && *named != '\0') {
    places.emplace_back(named);
  } else {
    // Python's package finufft lies beside that of torch.
    Dl_info torch;
    if (dladdr(reinterpret_cast<void*>(&at::get_num_threads), &torch) != 0 && torch.dli_fname != nullptr) {
      const std::filesystem::path library(torch.dli_fname);
      places.push_back(library.parent_path().parent_path().parent_path() / "finufft" / "libfinufft.so");
    }
    places.emplace_back("libfinufft.so");
  }
  for (const std::string& place : places) {
    if (void* const library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) {
      return library;
    }
    tried += c10::str("\n  ", dlerror());
  }
  return nullptr;
}

struct Library {
  Functions<float> of_float;
  Functions<double> of_double;
  void (*default_options)(Options*);

  Library() {
    std::string tried;
    void* const library = open_library(tried);
    const bool complete = library != nullptr && load_symbol(library, "finufft_default_opts", default_options) &&
                          load(library, "finufft_", of_double) && load(library, "finufftf_", of_float);
    if (!complete) {
      throw Error(
          c10::str("Fourier sums at any frequencies need FINUFFT 2.5 or newer. Install it beside torch (pip "
                   "install finufft), or name its libfinufft.so by the environment variable ADJOIN_FINUFFT.",
                   tried.empty() ? "\n  An older version was found." : tried));
    }
    Options options = {};
    default_options(&options);
    if (options.modeord != 0 || options.showwarn != 1 || options.nthreads != 0 || options.upsampfac != 0.0) {
      throw Error("FINUFFT: this version has other options than those known, 2.5 to 2.6");
    }
  }

  template <class T>
  static bool load(void* library, const std::string& prefix, Functions<T>& functions) {
    return load_symbol(library, (prefix + "makeplan").c_str(), functions.makeplan) &&
           load_symbol(library, (prefix + "setpts").c_str(), functions.setpts) &&
           load_symbol(library, (prefix + "execute").c_str(), functions.execute) &&
           load_symbol(library, (prefix + "execute_adjoint").c_str(), functions.execute_adjoint) &&
           load_symbol(library, (prefix + "destroy").c_str(), functions.destroy);
  }
};

/// What is not found is looked for again at the next question.
const Library& library() {
  static const Library library;
  return library;
}

template <class T>
const Functions<T>& functions() {
  if constexpr (std::is_same_v<T, float>) {
    return library().of_float;
  } else {
    return library().of_double;
  }
}

void check_success(const char* function, int code) {
  constexpr int accuracy_out_of_reach = 1;  // a warning: as accurate as the precision allows
  if (code > accuracy_out_of_reach) {
    throw Error(c10::str("FINUFFT: ", function, " failed with its error ", code));
  }
}

template <class T>
class PlanOf final : public Finufft {
 public:
  PlanOf(const at::Tensor& points, at::IntArrayRef sizes, std::int64_t count, double eps, bool spreading)
      : points_(points) {
    Options options = {};
    library().default_options(&options);
    options.showwarn = 0;
    options.nthreads = at::get_num_threads();
    if (spreading) {
      options.spreadinterponly = 1;
      options.upsampfac = 2.0;
    }
    std::array<std::int64_t, 3> modes = {1, 1, 1};  // the last axis first
    std::ranges::reverse_copy(sizes, modes.begin());
    const T accuracy = std::max(static_cast<T>(eps), 2 * std::numeric_limits<T>::epsilon());
    const auto axes = static_cast<int>(sizes.size());
    check_success("makeplan", functions<T>().makeplan(2, axes, modes.data(), -1, static_cast<int>(count), accuracy,
                                                      &plan_, &options));
    const std::int64_t samples = points_.size(1);
    T* const first = points_.data_ptr<T>();
    const auto along = [&](std::int64_t axis) { return axis < 0 ? nullptr : first + axis * samples; };
    const int code = functions<T>().setpts(plan_, samples, along(axes - 1), along(axes - 2), along(axes - 3), 0,
                                           nullptr, nullptr, nullptr);
    if (code > 1) {
      functions<T>().destroy(plan_);
    }
    check_success("setpts", code);
  }
  ~PlanOf() override { functions<T>().destroy(plan_); }
  PlanOf(const PlanOf&) = delete;
  PlanOf& operator=(const PlanOf&) = delete;

  void forward(const void* images, void* samples) const override {
    const std::scoped_lock lock(mutex_);
    check_success("execute", functions<T>().execute(plan_, samples, const_cast<void*>(images)));
  }
  void adjoint(const void* samples, void* images) const override {
    const std::scoped_lock lock(mutex_);
    check_success("execute_adjoint", functions<T>().execute_adjoint(plan_, const_cast<void*>(samples), images));
  }

 private:
  at::Tensor points_;  // which FINUFFT reads at every call
  void* plan_ = nullptr;
  mutable std::mutex mutex_;
};

std::shared_ptr<const Finufft> make_plan(const at::Tensor& points, at::IntArrayRef sizes, std::int64_t count,
                                         double eps, bool spreading) {
  if (points.scalar_type() == at::kFloat) {
    return std::make_shared<const PlanOf<float>>(points, sizes, count, eps, spreading);
  }
  return std::make_shared<const PlanOf<double>>(points, sizes, count, eps, spreading);
}

}  // namespace

bool Finufft::is_found() {
  try {
    library();
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::shared_ptr<const Finufft> Finufft::make(const at::Tensor& points, at::IntArrayRef sizes, std::int64_t count,
                                             double eps) {
  return make_plan(points, sizes, count, eps, false);
}

std::shared_ptr<const Finufft> Finufft::make_spreading(const at::Tensor& points, at::IntArrayRef sizes, double eps) {
  return make_plan(points, sizes, 1, eps, true);
}

}  // namespace adjoin::kernels
