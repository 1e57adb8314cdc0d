#include "adjoin/operators/diagonal.hpp"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/simd.hpp"
#include "adjoin/physics/fused.hpp"

namespace adjoin {

Diagonal::Diagonal(const at::Tensor& weights) : Diagonal("Diagonal", "weights", weights) {}

Diagonal::Diagonal(double factor) : Diagonal(at::scalar_tensor(factor, at::kDouble)) {}

Diagonal::Diagonal(const char* name, const char* parameter, const at::Tensor& weights)
    : name_(name), parameter_(parameter), weights_(checked(weights).detach()) {}

at::Tensor Diagonal::checked(const at::Tensor& weights) const {
  check(weights.defined() && weights.numel() > 0, name_, ": ", parameter_, " must be a tensor with entries");
  return weights;
}

void Diagonal::update_impl(const Params& params) {
  if (params.contains(parameter_)) {
    weights_ = checked(params.get<at::Tensor>(parameter_)).detach();
    converted_.reset();
  }
}

at::Tensor Diagonal::weights_for(const at::Tensor& like, const Params& params) const {
  const bool given = !params.empty() && params.contains(parameter_);
  const at::Tensor weights = given ? checked(params.get<at::Tensor>(parameter_)) : weights_;
  check(at::is_expandable_to(weights.sizes(), like.sizes()), name_, ": ", parameter_, " must broadcast to the image ",
        like.sizes(), ", got ", weights.sizes());
  check(like.is_complex() || !weights.is_complex(), name_, ": complex ", parameter_, " need a complex image, got ",
        like.scalar_type());
  if (given) {
    return weights.to(like.device(), like.scalar_type());
  }
  if (!converted_.defined() || converted_.scalar_type() != like.scalar_type() || converted_.device() != like.device()) {
    converted_ = weights.to(like.device(), like.scalar_type());
  }
  return converted_;
}

at::Tensor Diagonal::A_impl(const at::Tensor& x, const Params& params) const { return x * weights_for(x, params); }

at::Tensor Diagonal::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return y * weights_for(y, params).conj();
}

at::Tensor Diagonal::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor weights = weights_for(x, params);
  return x * weights * weights.conj();
}

at::Tensor Diagonal::A_A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  return A_adjoint_A_impl(y, params);
}

at::Tensor Diagonal::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor weights = weights_for(y, params);
  return y * at::where(weights == 0, at::zeros_like(weights), weights.reciprocal());
}

std::optional<double> Diagonal::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  const double largest = weights_for(x0, params).abs().max().item<double>();
  return largest * largest;
}

at::Tensor Diagonal::image_like(const at::Tensor& y) const { return at::zeros_like(y); }

namespace {

/// Weights that repeat along an image: entry k of the image has weight k modulo `period`.
struct Weights {
  const void* data;
  std::int64_t period;
};

/// What becomes of w · x.
enum class Use : std::uint8_t { Store, StoreConjugate, AddConjugate };

template <class T>
ADJOIN_INLINE T conjugate(T value) {
  if constexpr (c10::is_complex<T>::value) {
    return {value.real(), -value.imag()};
  } else {
    return value;
  }
}

template <Use use, class T>
ADJOIN_INLINE void apply(T& to, T weight, T x) {
  if constexpr (use == Use::Store) {
    to = weight * x;
  } else if constexpr (use == Use::StoreConjugate) {
    to = conjugate(weight) * x;
  } else {
    to += conjugate(weight) * x;
  }
}

template <Use use, class T>
ADJOIN_INLINE void weigh(T* to, const T* weights, std::int64_t period, const T* x, std::int64_t begin,
                         std::int64_t end) {
  if (period == 1) {
    const T weight = *weights;
    for (std::int64_t k = begin; k < end; ++k) {
      apply<use>(to[k], weight, x[k]);
    }
    return;
  }
  while (begin < end) {
    const std::int64_t phase = begin % period;
    const std::int64_t length = std::min(end - begin, period - phase);
    for (std::int64_t k = 0; k < length; ++k) {
      apply<use>(to[begin + k], weights[phase + k], x[begin + k]);
    }
    begin += length;
  }
}

template <class T>
ADJOIN_INLINE void weigh(Use use, void* to, const Weights& weights, const void* x, std::int64_t begin,
                         std::int64_t end) {
  auto* const target = static_cast<T*>(to);
  const auto* const w = static_cast<const T*>(weights.data);
  const auto* const source = static_cast<const T*>(x);
  switch (use) {
    case Use::Store:
      return weigh<Use::Store>(target, w, weights.period, source, begin, end);
    case Use::StoreConjugate:
      return weigh<Use::StoreConjugate>(target, w, weights.period, source, begin, end);
    case Use::AddConjugate:
      return weigh<Use::AddConjugate>(target, w, weights.period, source, begin, end);
  }
}

/// Entries [begin, end) of w · x into `to`, for one of the dtypes of has_kernel().
ADJOIN_SIMD void weigh(at::ScalarType dtype, Use use, void* to, const Weights& weights, const void* x,
                       std::int64_t begin, std::int64_t end) {
  switch (dtype) {
    case at::kFloat:
      return weigh<float>(use, to, weights, x, begin, end);
    case at::kDouble:
      return weigh<double>(use, to, weights, x, begin, end);
    case at::kComplexFloat:
      return weigh<c10::complex<float>>(use, to, weights, x, begin, end);
    default:
      return weigh<c10::complex<double>>(use, to, weights, x, begin, end);
  }
}

bool has_kernel(const at::Tensor& t) {
  const at::ScalarType dtype = t.scalar_type();
  return t.device().is_cpu() && t.is_contiguous() && !t.is_conj() && !t.is_neg() &&
         (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kComplexFloat || dtype == at::kComplexDouble);
}

/// Calls body(begin, end) for blocks that stay in the first-level cache while all measurements are added up in them.
template <class Body>
void for_blocks(std::int64_t numel, const Body& body) {
  constexpr std::int64_t block = 2048;
  constexpr std::int64_t grain = 1 << 16;  // entries that are worth a thread
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (; begin < end; begin += block) {
      body(begin, std::min(end, begin + block));
    }
  };
  if (numel <= grain) {
    run(0, numel);
  } else {
    at::parallel_for(0, numel, grain, run);
  }
}

}  // namespace

class FusedDiagonals final : public FusedStack {
 public:
  explicit FusedDiagonals(std::vector<std::shared_ptr<const Diagonal>> operators) : operators_(std::move(operators)) {}

  TensorList A(const at::Tensor& x, const TensorList& out) override {
    if (!prepare(x)) {
      return {};
    }
    TensorList y(weights_.size());
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      y[i] = fit_or_empty(out, i, x.sizes(), x.options());
      store(y[i], weights_[i], x);
    }
    return y;
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) override {
    const auto alike = [&](const at::Tensor& t) {
      return t.sizes() == y[0].sizes() && t.scalar_type() == y[0].scalar_type() && has_kernel(t);
    };
    if (!std::ranges::all_of(y, alike) || !prepare(y[0])) {
      return {};
    }
    at::Tensor sum = fit_or_empty(out, y[0].sizes(), y[0].options());
    for_blocks(sum.numel(), [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < weights_.size(); ++i) {
        weigh(dtype_, i == 0 ? Use::StoreConjugate : Use::AddConjugate, sum.mutable_data_ptr(), weights_[i],
              y[i].const_data_ptr(), begin, end);
      }
    });
    return sum;
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) override {
    if (!prepare(x)) {
      return {};
    }
    at::Tensor product = fit_or_empty(out, x.sizes(), x.options());
    store(product, {normal_.const_data_ptr(), normal_.numel()}, x);
    return product;
  }

 private:
  void store(at::Tensor& to, const Weights& weights, const at::Tensor& x) const {
    for_blocks(x.numel(), [&](std::int64_t begin, std::int64_t end) {
      weigh(dtype_, Use::Store, to.mutable_data_ptr(), weights, x.const_data_ptr(), begin, end);
    });
  }

  /// The weights for images like `image`; false when they do not repeat along it, or it is none for the kernels.
  bool prepare(const at::Tensor& image) {
    if (!has_kernel(image)) {
      return false;
    }
    if (image.scalar_type() != dtype_ || image.sizes() != at::IntArrayRef(sizes_)) {
      dtype_ = image.scalar_type();
      sizes_ = image.sizes().vec();
      repeats_ = find_weights(image);
    }
    return repeats_;
  }

  bool find_weights(const at::Tensor& image) {
    weights_.clear();
    kept_.clear();
    normal_.reset();
    for (const auto& op : operators_) {
      const at::Tensor weights = op->weights_for(image, {}).contiguous();
      at::IntArrayRef sizes = weights.sizes();
      while (!sizes.empty() && sizes.front() == 1) {
        sizes = sizes.slice(1);
      }
      if (sizes != image.sizes().slice(image.sizes().size() - sizes.size())) {
        return false;
      }
      weights_.push_back({weights.const_data_ptr(), weights.numel()});
      kept_.push_back(weights);
      const at::Tensor squares = (weights * weights.conj()).view(sizes);
      normal_ = normal_.defined() ? normal_ + squares : squares;
    }
    normal_ = normal_.contiguous();
    return true;
  }

  std::vector<std::shared_ptr<const Diagonal>> operators_;
  // Prepared for images of these sizes and this dtype.
  std::vector<std::int64_t> sizes_;
  at::ScalarType dtype_ = at::ScalarType::Undefined;
  bool repeats_ = false;
  std::vector<at::Tensor> kept_;
  std::vector<Weights> weights_;
  at::Tensor normal_;
};

std::unique_ptr<FusedStack> Diagonal::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  std::vector<std::shared_ptr<const Diagonal>> diagonals;
  for (const auto& op : operators) {
    diagonals.push_back(std::dynamic_pointer_cast<const Diagonal>(op));
  }
  return std::make_unique<FusedDiagonals>(std::move(diagonals));
}

}  // namespace adjoin
