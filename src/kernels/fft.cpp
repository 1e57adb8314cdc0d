#include "kernels/fft.hpp"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <array>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "kernels/complex_kernels.hpp"
#include "kernels/load_symbol.hpp"

namespace adjoin::fft {
namespace {

/// ATen's code for transforms that are not scaled.
constexpr std::int64_t unnormalised = 0;

c10::SmallVector<std::int64_t, 3> trailing_axes(const at::Tensor& x, std::int64_t rank) {
  c10::SmallVector<std::int64_t, 3> axes;
  for (std::int64_t axis = x.dim() - rank; axis < x.dim(); ++axis) {
    axes.push_back(axis);
  }
  return axes;
}

/// The transforms of oneMKL, which libtorch contains and exports without a header of its own. Names and constants are
/// those of its public interface (mkl_dfti.h, "Fourier Transform Functions" in the oneMKL developer reference).
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

/// A plan of transforms of these sizes, committed once `set_up` has set what it must; null when any of it fails.
template <class SetUp>
Mkl::Handle make_plan(const Mkl& mkl, at::ScalarType dtype, at::IntArrayRef sizes, const SetUp& set_up) {
  const std::vector<long> lengths(sizes.begin(), sizes.end());
  Mkl::Handle plan = nullptr;
  const bool is_double = at::toRealValueType(dtype) == at::kDouble;
  const int domain = at::isComplexType(dtype) ? Mkl::complex_domain : Mkl::real_domain;
  const auto create = [&] {
    if (lengths.size() == 1) {
      return (is_double ? mkl.create_double_1d : mkl.create_single_1d)(&plan, domain, lengths[0]);
    }
    const auto rank = static_cast<long>(lengths.size());
    return (is_double ? mkl.create_double : mkl.create_single)(&plan, domain, rank, lengths.data());
  };
  // Callers give threads transforms of their own.
  if (create() == 0 && mkl.set(plan, Mkl::thread_limit, 1L) == 0 && set_up(plan) && mkl.commit(plan) == 0) {
    return plan;
  }
  if (plan != nullptr) {
    mkl.free(&plan);
  }
  return nullptr;
}

/// Strides after the offset 0, as oneMKL wants them.
using Strides = std::array<long, 4>;

/// Those of an array of `sizes` whose rows begin `row_length` numbers apart.
Strides strides_of(at::IntArrayRef sizes, std::int64_t row_length) {
  Strides strides = {};
  long stride = 1;
  for (std::size_t axis = sizes.size(); axis > 0; --axis) {
    strides[axis] = stride;
    stride *= axis == sizes.size() ? row_length : sizes[axis - 1];
  }
  return strides;
}

/// A plan between real arrays and half spectra.
Mkl::Handle make_real_plan(const Mkl& mkl, at::ScalarType dtype, at::IntArrayRef sizes, const Strides& input,
                           const Strides& output) {
  return make_plan(mkl, dtype, sizes, [&](Mkl::Handle plan) {
    return mkl.set(plan, Mkl::placement, Mkl::not_in_place) == 0 &&
           mkl.set(plan, Mkl::conjugate_even_storage, Mkl::complex_complex) == 0 &&
           mkl.set(plan, Mkl::input_strides, input.data()) == 0 &&
           mkl.set(plan, Mkl::output_strides, output.data()) == 0;
  });
}

void require_success(long status) {
  if (status != 0) [[unlikely]] {
    throw Error(c10::str("Fourier transform failed with oneMKL status ", status));
  }
}

}  // namespace

at::Tensor forward(const at::Tensor& x, std::int64_t rank) { return forward_along(x, trailing_axes(x, rank)); }

at::Tensor backward(const at::Tensor& x, std::int64_t rank) { return backward_along(x, trailing_axes(x, rank)); }

at::Tensor forward_along(const at::Tensor& x, at::IntArrayRef axes) {
  return axes.empty() ? x : at::_fft_c2c(x, axes, unnormalised, true);
}

at::Tensor backward_along(const at::Tensor& x, at::IntArrayRef axes) {
  return axes.empty() ? x : at::_fft_c2c(x, axes, unnormalised, false);
}

at::Tensor forward_real(const at::Tensor& x, std::int64_t rank) {
  return at::_fft_r2c(x, trailing_axes(x, rank), unnormalised, true);
}

at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size) {
  return at::_fft_c2r(spectrum, trailing_axes(spectrum, rank), unnormalised, last_size);
}

std::shared_ptr<const Transform> Transform::make(at::IntArrayRef sizes, at::ScalarType dtype) {
  const Strides strides = strides_of(sizes, sizes.back());
  if (at::isComplexType(dtype)) {
    return make_in_place(sizes, dtype, strides, 1);
  }
  const Mkl* mkl = Mkl::find();
  if (mkl == nullptr) {
    return nullptr;
  }
  const std::shared_ptr<Transform> transform(new Transform);
  const Strides spectrum = strides_of(sizes, sizes.back() / 2 + 1);
  transform->forward_plan_ = make_real_plan(*mkl, dtype, sizes, strides, spectrum);
  transform->backward_plan_ = make_real_plan(*mkl, dtype, sizes, spectrum, strides);
  return transform->forward_plan_ != nullptr && transform->backward_plan_ != nullptr ? transform : nullptr;
}

std::shared_ptr<const Transform> Transform::make_columns(at::IntArrayRef sizes, at::ScalarType dtype) {
  return make_in_place(sizes.slice(0, sizes.size() - 1), dtype, strides_of(sizes, padded_row(sizes.back(), dtype)),
                       columns_in_block(dtype));
}

std::shared_ptr<const Transform> Transform::make_in_place(at::IntArrayRef sizes, at::ScalarType dtype,
                                                          const std::array<long, 4>& strides, std::int64_t count) {
  const Mkl* mkl = Mkl::find();
  if (mkl == nullptr) {
    return nullptr;
  }
  const std::shared_ptr<Transform> transform(new Transform);
  transform->in_place_ = true;
  transform->forward_plan_ = make_plan(*mkl, dtype, sizes, [&](Mkl::Handle plan) {
    return mkl->set(plan, Mkl::placement, Mkl::in_place) == 0 &&
           mkl->set(plan, Mkl::input_strides, strides.data()) == 0 &&
           mkl->set(plan, Mkl::number_of_transforms, static_cast<long>(count)) == 0 &&
           mkl->set(plan, Mkl::input_distance, 1L) == 0;
  });
  return transform->forward_plan_ != nullptr ? transform : nullptr;
}

Transform::~Transform() {
  for (void** plan : {&forward_plan_, &backward_plan_}) {
    if (*plan != nullptr) {
      Mkl::find()->free(plan);
    }
  }
}

void Transform::forward(const void* source, void* spectrum) const {
  // The interface takes no pointers to const, but sources of transforms out of place are only read.
  const Mkl& mkl = *Mkl::find();
  require_success(in_place_ ? mkl.forward(forward_plan_, spectrum)
                            : mkl.forward(forward_plan_, const_cast<void*>(source), spectrum));
}

void Transform::backward(const void* spectrum, void* target) const {
  const Mkl& mkl = *Mkl::find();
  // One plan does both directions in place.
  require_success(in_place_ ? mkl.backward(forward_plan_, target)
                            : mkl.backward(backward_plan_, const_cast<void*>(spectrum), target));
}

std::int64_t padded_row(std::int64_t numel, at::ScalarType dtype) {
  const std::int64_t in_line = columns_in_block(dtype);
  const std::int64_t lines = (numel + in_line - 1) / in_line;
  return (lines + 1 - lines % 2) * in_line;
}

std::int64_t columns_in_block(at::ScalarType dtype) {
  return at::toRealValueType(dtype) == at::kDouble ? kernels::columns_in_block<double>
                                                   : kernels::columns_in_block<float>;
}

bool is_good_size(std::int64_t n) {
  for (const std::int64_t prime : {2, 3, 5, 7}) {
    while (n % prime == 0) {
      n /= prime;
    }
  }
  return n == 1 || n == 11 || n == 13;
}

std::int64_t good_size(std::int64_t n) {
  // Odd multiples are slower than the next size that the vector units like.
  const std::int64_t multiple = n >= 64 ? 4 : (n > 1 ? 2 : 1);
  std::int64_t size = (n + multiple - 1) / multiple * multiple;
  while (!is_good_size(size)) {
    size += multiple;
  }
  return size;
}

}  // namespace adjoin::fft
