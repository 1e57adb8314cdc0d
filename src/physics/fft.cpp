#include "fft.hpp"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <array>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "load_symbol.hpp"

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
  static constexpr int conjugate_even_storage = 10;
  static constexpr int placement = 11;
  static constexpr int input_strides = 12;
  static constexpr int output_strides = 13;
  static constexpr int complex_domain = 32;
  static constexpr int real_domain = 33;
  static constexpr int complex_complex = 39;
  static constexpr int in_place = 43;
  static constexpr int not_in_place = 44;

  long (*create_single)(Handle*, int domain, long rank, const long* sizes) = nullptr;
  long (*create_double)(Handle*, int domain, long rank, const long* sizes) = nullptr;
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
    complete_ =
        library != nullptr && load_symbol(library, "DftiCreateDescriptor_s_md", create_single) &&
        load_symbol(library, "DftiCreateDescriptor_d_md", create_double) && load_symbol(library, "DftiSetValue", set) &&
        load_symbol(library, "DftiCommitDescriptor", commit) && load_symbol(library, "DftiComputeForward", forward) &&
        load_symbol(library, "DftiComputeBackward", backward) && load_symbol(library, "DftiFreeDescriptor", free);
  }
  bool complete_ = false;
};

/// A committed plan from `input` strides to `output` strides (offset first), or null on failure.
Mkl::Handle make_plan(const Mkl& mkl, bool is_double, bool is_complex, at::IntArrayRef sizes, const long* input,
                      const long* output) {
  const std::vector<long> lengths(sizes.begin(), sizes.end());
  Mkl::Handle plan = nullptr;
  const auto create = is_double ? mkl.create_double : mkl.create_single;
  bool made = create(&plan, is_complex ? Mkl::complex_domain : Mkl::real_domain, static_cast<long>(lengths.size()),
                     lengths.data()) == 0;
  if (is_complex) {
    made = made && mkl.set(plan, Mkl::placement, Mkl::in_place) == 0;
  } else {
    made = made && mkl.set(plan, Mkl::placement, Mkl::not_in_place) == 0 &&
           mkl.set(plan, Mkl::conjugate_even_storage, Mkl::complex_complex) == 0 &&
           mkl.set(plan, Mkl::input_strides, input) == 0 && mkl.set(plan, Mkl::output_strides, output) == 0;
  }
  if (made && mkl.commit(plan) == 0) {
    return plan;
  }
  if (plan != nullptr) {
    mkl.free(&plan);
  }
  return nullptr;
}

/// Strides of a contiguous array, after the offset 0.
std::array<long, 4> strides_of(at::IntArrayRef sizes, std::int64_t last_size) {
  std::array<long, 4> strides = {};
  long stride = 1;
  for (std::size_t axis = sizes.size(); axis > 0; --axis) {
    strides[axis] = stride;
    stride *= axis == sizes.size() ? last_size : sizes[axis - 1];
  }
  return strides;
}

void require_success(long status) {
  if (status != 0) [[unlikely]] {
    throw Error(c10::str("Fourier transform failed with oneMKL status ", status));
  }
}

}  // namespace

at::Tensor forward(const at::Tensor& x, std::int64_t rank) {
  return at::_fft_c2c(x, trailing_axes(x, rank), unnormalised, true);
}

at::Tensor backward(const at::Tensor& x, std::int64_t rank) {
  return at::_fft_c2c(x, trailing_axes(x, rank), unnormalised, false);
}

at::Tensor forward_real(const at::Tensor& x, std::int64_t rank) {
  return at::_fft_r2c(x, trailing_axes(x, rank), unnormalised, true);
}

at::Tensor backward_real(const at::Tensor& spectrum, std::int64_t rank, std::int64_t last_size) {
  return at::_fft_c2r(spectrum, trailing_axes(spectrum, rank), unnormalised, last_size);
}

std::shared_ptr<const ImageTransform> ImageTransform::make(at::IntArrayRef sizes, at::ScalarType dtype) {
  const Mkl* mkl = Mkl::find();
  if (mkl == nullptr) {
    return nullptr;
  }
  const bool is_complex = at::isComplexType(dtype);
  const bool is_double = at::toRealValueType(dtype) == at::kDouble;
  const auto image = strides_of(sizes, sizes.back());
  const auto spectrum = strides_of(sizes, sizes.back() / 2 + 1);
  const std::shared_ptr<ImageTransform> transform(new ImageTransform);
  transform->forward_plan_ = make_plan(*mkl, is_double, is_complex, sizes, image.data(), spectrum.data());
  transform->backward_plan_ = make_plan(*mkl, is_double, is_complex, sizes, spectrum.data(), image.data());
  transform->in_place_ = is_complex;
  return transform->forward_plan_ != nullptr && transform->backward_plan_ != nullptr ? transform : nullptr;
}

ImageTransform::~ImageTransform() {
  for (void** plan : {&forward_plan_, &backward_plan_}) {
    if (*plan != nullptr) {
      Mkl::find()->free(plan);
    }
  }
}

void ImageTransform::forward(const void* image, void* spectrum) const {
  // The interface takes no pointers to const, but sources of transforms out of place are only read.
  const Mkl& mkl = *Mkl::find();
  require_success(in_place_ ? mkl.forward(forward_plan_, spectrum)
                            : mkl.forward(forward_plan_, const_cast<void*>(image), spectrum));
}

void ImageTransform::backward(const void* spectrum, void* image) const {
  const Mkl& mkl = *Mkl::find();
  require_success(in_place_ ? mkl.backward(backward_plan_, image)
                            : mkl.backward(backward_plan_, const_cast<void*>(spectrum), image));
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
