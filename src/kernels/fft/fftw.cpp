// SPDX-License-Identifier: BSD-3-Clause
// FFTW's functions found in its shared libraries, and plans made of them.
#include "kernels/fft/fftw.hpp"

#include <dlfcn.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "core/load_symbol.hpp"

namespace adjoin::fft {
namespace {

/// Names, types and constants are those of its public interface (fftw3.h; "FFTW Reference" in its manual, which keeps
/// them stable). FFTW is under the GPL, so adjoin links nothing of it.
template <class T>
struct Fftw {
  using Handle = void*;
  struct Dimension {
    std::ptrdiff_t size;
    std::ptrdiff_t input_stride;
    std::ptrdiff_t output_stride;
  };
  static constexpr int forward_sign = -1;
  static constexpr int backward_sign = 1;
  static constexpr unsigned unaligned = 1U << 1;
  static constexpr unsigned preserve_input = 1U << 4;
  static constexpr unsigned estimate = 1U << 6;

  Handle (*plan_complex)(int rank, const Dimension*, int how_many, const Dimension*, void*, void*, int sign,
                         unsigned flags) = nullptr;
  Handle (*plan_from_real)(int rank, const Dimension*, int how_many, const Dimension*, void*, void*,
                           unsigned flags) = nullptr;
  Handle (*plan_to_real)(int rank, const Dimension*, int how_many, const Dimension*, void*, void*,
                         unsigned flags) = nullptr;
  void (*execute_complex)(Handle, void*, void*) = nullptr;
  void (*execute_from_real)(Handle, void*, void*) = nullptr;
  void (*execute_to_real)(Handle, void*, void*) = nullptr;
  void (*destroy)(Handle) = nullptr;

  /// The functions, or null where the library is not there.
  static const Fftw* find() {
    static const Fftw fftw;
    return fftw.complete_ ? &fftw : nullptr;
  }
  /// Of all that plans or destroys, which FFTW asks to be done by one thread at a time.
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }

 private:
  Fftw() {
    constexpr bool single = std::is_same_v<T, float>;
    void* library = dlopen(single ? "libfftw3f.so.3" : "libfftw3.so.3", RTLD_LAZY);
    const std::string prefix = single ? "fftwf_" : "fftw_";
    const auto load = [&](const char* name, auto& function) {
      return load_symbol(library, (prefix + name).c_str(), function);
    };
    complete_ = library != nullptr && load("plan_guru64_dft", plan_complex) &&
                load("plan_guru64_dft_r2c", plan_from_real) && load("plan_guru64_dft_c2r", plan_to_real) &&
                load("execute_dft", execute_complex) && load("execute_dft_r2c", execute_from_real) &&
                load("execute_dft_c2r", execute_to_real) && load("destroy_plan", destroy);
  }
  bool complete_ = false;
};

/// The handles of both directions.
template <class T>
class FftwTransform final : public Transform {
 public:
  FftwTransform(const Fftw<T>& fftw, const Plan& plan) : fftw_(fftw), complex_(plan.is_complex()) {
    using Dimension = Fftw<T>::Dimension;
    std::vector<Dimension> there;
    std::vector<Dimension> back;
    std::size_t source_numel = 1;
    std::size_t spectrum_numel = 1;
    for (const Plan::Axis& axis : plan.axes) {
      there.push_back({axis.size, axis.source_stride, axis.spectrum_stride});
      back.push_back({axis.size, axis.spectrum_stride, axis.source_stride});
      source_numel += static_cast<std::size_t>(axis.size * axis.source_stride);
      spectrum_numel += static_cast<std::size_t>(axis.size * axis.spectrum_stride);
    }
    const Dimension many = {plan.count, 1, 1};
    const auto rank = static_cast<int>(there.size());
    // Arrays to plan with: what they hold is not looked at with this flag.
    constexpr unsigned flags = Fftw<T>::estimate | Fftw<T>::unaligned;
    std::vector<T> source(2 * (source_numel + static_cast<std::size_t>(plan.count)));
    std::vector<T> spectrum(complex_ ? 0 : 2 * spectrum_numel);
    const std::scoped_lock lock(Fftw<T>::mutex());
    if (complex_) {
      const auto in_place = [&](int sign) {
        return fftw_.plan_complex(rank, there.data(), 1, &many, source.data(), source.data(), sign, flags);
      };
      forward_ = in_place(Fftw<T>::forward_sign);
      backward_ = in_place(Fftw<T>::backward_sign);
    } else {
      forward_ = fftw_.plan_from_real(rank, there.data(), 1, &many, source.data(), spectrum.data(),
                                      flags | Fftw<T>::preserve_input);
      backward_ = fftw_.plan_to_real(rank, back.data(), 1, &many, spectrum.data(), source.data(), flags);
    }
  }
  FftwTransform(const FftwTransform&) = delete;
  FftwTransform& operator=(const FftwTransform&) = delete;
  ~FftwTransform() override {
    const std::scoped_lock lock(Fftw<T>::mutex());
    for (void* plan : {forward_, backward_}) {
      if (plan != nullptr) {
        fftw_.destroy(plan);
      }
    }
  }
  bool is_valid() const { return forward_ != nullptr && backward_ != nullptr; }

  void forward(const void* source, void* spectrum) const override {
    // The interface takes no pointers to const, but the source is preserved.
    complex_ ? fftw_.execute_complex(forward_, spectrum, spectrum)
             : fftw_.execute_from_real(forward_, const_cast<void*>(source), spectrum);
  }
  void backward(void* spectrum, void* target) const override {
    complex_ ? fftw_.execute_complex(backward_, target, target) : fftw_.execute_to_real(backward_, spectrum, target);
  }

 private:
  const Fftw<T>& fftw_;
  bool complex_;
  void* forward_ = nullptr;
  void* backward_ = nullptr;
};

template <class T>
std::shared_ptr<const Transform> make(const Plan& plan) {
  const Fftw<T>* fftw = Fftw<T>::find();
  if (fftw == nullptr) {
    return nullptr;
  }
  const auto transform = std::make_shared<const FftwTransform<T>>(*fftw, plan);
  return transform->is_valid() ? transform : nullptr;
}

}  // namespace

std::shared_ptr<const Transform> make_with_fftw(const Plan& plan) {
  return plan.is_double() ? make<double>(plan) : make<float>(plan);
}

}  // namespace adjoin::fft
