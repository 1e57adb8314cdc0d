// SPDX-License-Identifier: BSD-3-Clause
// oneMKL's descriptors, found as symbols of libtorch.
#include "kernels/fft/mkl.hpp"

#include <c10/util/StringUtil.h>
#include <dlfcn.h>

#include <array>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "core/load_symbol.hpp"

namespace adjoin::fft {
namespace {

/// Names and constants are those of oneMKL's public interface (mkl_dfti.h, "Fourier Transform Functions" in the oneMKL
/// developer reference).
struct Mkl {
  using Handle = void*;
  static constexpr int number_of_transforms = 7;
  static constexpr int conjugate_even_storage = 10;
  static constexpr int placement = 11;
  static constexpr int input_strides = 12;
  static constexpr int output_strides = 13;
  static constexpr int input_distance = 14;
  static constexpr int thread_limit = 27;
  static constexpr int complex_domain = 32;
  static constexpr int real_domain = 33;
  static constexpr int complex_complex = 39;
  static constexpr int in_place = 43;
  static constexpr int not_in_place = 44;

  long (*create_single)(Handle*, int domain, long rank, const long* sizes) = nullptr;
  long (*create_double)(Handle*, int domain, long rank, const long* sizes) = nullptr;
  // The others plan slower transforms over one axis.
  long (*create_single_1d)(Handle*, int domain, long size) = nullptr;
  long (*create_double_1d)(Handle*, int domain, long size) = nullptr;
  long (*set)(Handle, int parameter, ...) = nullptr;
  long (*commit)(Handle) = nullptr;
  long (*forward)(Handle, void*, ...) = nullptr;
  long (*backward)(Handle, void*, ...) = nullptr;
  long (*free)(Handle*) = nullptr;

  /// The functions, or null when this libtorch lacks them.
  static const Mkl* find() {
    static const Mkl mkl;
    return mkl.complete_ ? &mkl : nullptr;
  }

 private:
  Mkl() {
    // Python loads libtorch without making its symbols global: ask the library itself, if it is there.
    void* library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) {
      library = dlopen(nullptr, RTLD_LAZY);
    }
    complete_ = library != nullptr && load_symbol(library, "DftiCreateDescriptor_s_md", create_single) &&
                load_symbol(library, "DftiCreateDescriptor_d_md", create_double) &&
                load_symbol(library, "DftiCreateDescriptor_s_1d", create_single_1d) &&
                load_symbol(library, "DftiCreateDescriptor_d_1d", create_double_1d) &&
                load_symbol(library, "DftiSetValue", set) && load_symbol(library, "DftiCommitDescriptor", commit) &&
                load_symbol(library, "DftiComputeForward", forward) &&
                load_symbol(library, "DftiComputeBackward", backward) &&
                load_symbol(library, "DftiFreeDescriptor", free);
  }
  bool complete_ = false;
};

/// Strides after the offset 0, as oneMKL wants them.
using Strides = std::array<long, 4>;

void require_success(long status) {
  if (status != 0) [[unlikely]] {
    throw Error(c10::str("Fourier transform failed with oneMKL status ", status));
  }
}

/// A committed descriptor.
class Descriptor {
 public:
  Descriptor(const Mkl& mkl, const Plan& plan) : mkl_(mkl) {
    std::vector<long> sizes;
    for (const Plan::Axis& axis : plan.axes) {
      sizes.push_back(axis.size);
    }
    const int domain = plan.is_complex() ? Mkl::complex_domain : Mkl::real_domain;
    // Callers give threads transforms of their own.
    valid_ = create(plan, sizes, domain) == 0 && mkl_.set(handle_, Mkl::thread_limit, 1L) == 0;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (handle_ != nullptr) {
      mkl_.free(&handle_);
    }
  }

  template <class... Values>
  Descriptor& set(int parameter, Values... values) {
    valid_ = valid_ && mkl_.set(handle_, parameter, values...) == 0;
    return *this;
  }
  bool commit() { return valid_ && mkl_.commit(handle_) == 0; }
  Mkl::Handle get() const { return handle_; }

 private:
  long create(const Plan& plan, const std::vector<long>& sizes, int domain) {
    if (sizes.size() == 1) {
      return (plan.is_double() ? mkl_.create_double_1d : mkl_.create_single_1d)(&handle_, domain, sizes[0]);
    }
    const auto rank = static_cast<long>(sizes.size());
    return (plan.is_double() ? mkl_.create_double : mkl_.create_single)(&handle_, domain, rank, sizes.data());
  }

  const Mkl& mkl_;
  Mkl::Handle handle_ = nullptr;
  bool valid_ = false;
};

class RealTransform final : public Transform {
 public:
  RealTransform(const Mkl& mkl, const Plan& plan) : mkl_(mkl), forward_(mkl, plan), backward_(mkl, plan) {
    Strides source = {};
    Strides spectrum = {};
    for (std::size_t i = 0; i < plan.axes.size(); ++i) {
      source[i + 1] = plan.axes[i].source_stride;
      spectrum[i + 1] = plan.axes[i].spectrum_stride;
    }
    valid_ = commit(forward_, source, spectrum) && commit(backward_, spectrum, source);
  }
  bool is_valid() const { return valid_; }

  // The interface takes no pointers to const, but sources of transforms out of place are only read.
  void forward(const void* source, void* spectrum) const override {
    require_success(mkl_.forward(forward_.get(), const_cast<void*>(source), spectrum));
  }
  void backward(void* spectrum, void* target) const override {
    require_success(mkl_.backward(backward_.get(), spectrum, target));
  }

 private:
  static bool commit(Descriptor& descriptor, const Strides& input, const Strides& output) {
    return descriptor.set(Mkl::placement, Mkl::not_in_place)
        .set(Mkl::conjugate_even_storage, Mkl::complex_complex)
        .set(Mkl::input_strides, input.data())
        .set(Mkl::output_strides, output.data())
        .commit();
  }

  const Mkl& mkl_;
  Descriptor forward_;
  Descriptor backward_;
  bool valid_ = false;
};

/// In place; one descriptor does both directions.
class ComplexTransform final : public Transform {
 public:
  ComplexTransform(const Mkl& mkl, const Plan& plan) : mkl_(mkl), both_(mkl, plan) {
    Strides strides = {};
    for (std::size_t i = 0; i < plan.axes.size(); ++i) {
      strides[i + 1] = plan.axes[i].source_stride;
    }
    valid_ = both_.set(Mkl::placement, Mkl::in_place)
                 .set(Mkl::input_strides, strides.data())
                 .set(Mkl::number_of_transforms, static_cast<long>(plan.count))
                 .set(Mkl::input_distance, 1L)
                 .commit();
  }
  bool is_valid() const { return valid_; }

  void forward(const void* /*source*/, void* spectrum) const override {
    require_success(mkl_.forward(both_.get(), spectrum));
  }
  void backward(void* /*spectrum*/, void* target) const override {
    require_success(mkl_.backward(both_.get(), target));
  }

 private:
  const Mkl& mkl_;
  Descriptor both_;
  bool valid_ = false;
};

template <class T>
std::shared_ptr<const Transform> if_valid(std::shared_ptr<const T> transform) {
  return transform->is_valid() ? std::move(transform) : nullptr;
}

}  // namespace

std::shared_ptr<const Transform> make_with_mkl(const Plan& plan) {
  const Mkl* mkl = Mkl::find();
  if (mkl == nullptr) {
    return nullptr;
  }
  return plan.is_complex() ? if_valid(std::make_shared<const ComplexTransform>(*mkl, plan))
                           : if_valid(std::make_shared<const RealTransform>(*mkl, plan));
}

}  // namespace adjoin::fft
