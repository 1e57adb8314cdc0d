// SPDX-License-Identifier: BSD-3-Clause
// Products with every image of a batch, the pseudoinverse by singular values, and stacks as one matrix.
#include "adjoin/operators/matrix.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/physics/fused_of.hpp"
#include "operators/squares.hpp"

namespace adjoin {

namespace {

void check_matrix(const at::Tensor& matrix) {
  check(matrix.defined() && matrix.dim() == 2 && matrix.numel() > 0 &&
            (at::isFloatingType(matrix.scalar_type()) || matrix.is_complex()),
        "Matrix: matrix must be a non-empty floating or complex matrix, got ",
        matrix.defined() ? c10::str(matrix.scalar_type(), " of shape ", matrix.sizes()) : "an undefined tensor");
}

void check_measurements(const char* method, const at::Tensor& y, const at::Tensor& matrix) {
  check(y.dim() == 2 && y.size(1) == matrix.size(0) && y.scalar_type() == matrix.scalar_type(), "Matrix::", method,
        ": y must be ", matrix.scalar_type(), " of shape (batch, ", matrix.size(0), "), got ", y.scalar_type(),
        " of shape ", y.sizes());
}

/// Of the map from images of `dtype`: real ones see the real and the imaginary part of a matrix as rows of their own.
double squared_spectral_norm(const at::Tensor& matrix, at::ScalarType dtype) {
  const bool apart = matrix.is_complex() && !at::isComplexType(dtype);
  const at::Tensor rows = apart ? at::cat({at::real(matrix), at::imag(matrix)}) : matrix;
  const double largest = at::linalg_svdvals(rows.detach()).max().item<double>();
  return largest * largest;
}

// Vectors are rows: (M x)ᵀ = xᵀ Mᵀ.
at::Tensor times(const at::Tensor& rows, const at::Tensor& matrix) { return at::mm(rows, matrix.t()); }

// (Mᴴ y)ᵀ = yᵀ conj(M), computed as conj(conj(yᵀ) M) to spare a conjugated copy of M. `out` may be undefined.
at::Tensor adjoint_times(const at::Tensor& rows, const at::Tensor& matrix, at::Tensor out = {}) {
  const bool complex = matrix.is_complex();
  const at::Tensor left = complex ? at::conj_physical(rows) : rows;
  if (out.defined()) {
    at::mm_out(out, left, matrix);
    return complex ? out.conj_physical_() : out;
  }
  const at::Tensor product = at::mm(left, matrix);
  return complex ? at::conj_physical(product) : product;
}

}  // namespace

/// The rows of all matrices as one matrix.
class FusedMatrices final : public FusedOf<Matrix> {
 public:
  using FusedOf::FusedOf;

  TensorList A(const at::Tensor& x, const TensorList& /*out*/) const override {
    const auto joint = joint_for(x);
    return joint == nullptr ? TensorList()
                            : TensorList(times(joint->flat(x), joint->matrix).split_with_sizes(joint->rows, 1));
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    const auto joint = takes(y) ? this->joint() : nullptr;
    if (joint == nullptr) {
      return {};
    }
    for (std::size_t i = 0; i < size(); ++i) {
      if (y[i].dim() != 2 || y[i].size(1) != joint->rows[i] || y[i].size(0) != y[0].size(0) ||
          y[i].scalar_type() != joint->matrix.scalar_type()) {
        return {};
      }
    }
    return adjoint(*joint, y.size() == 1 ? y[0] : at::cat(y.tensors(), 1), out);
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const auto joint = joint_for(x);
    if (joint == nullptr) {
      return {};
    }
    if (!joint->has_gram() || !joint->gram().defined()) {
      return adjoint(*joint, times(joint->flat(x), joint->matrix), out);
    }
    if (!fits(out, x.sizes(), x.options())) {
      return times(joint->flat(x), joint->gram()).view(x.sizes());
    }
    at::Tensor target = joint->flat(out);
    at::mm_out(target, joint->flat(x), joint->gram().t());
    return out;
  }

 private:
  struct Joint {
    at::Tensor matrix;
    std::vector<std::int64_t> rows;  // of each operator's
    Lazy<at::Tensor> gram_;

    /// MᴴM pays off where it has no more entries than M, and where computing it takes the time of a few products.
    bool has_gram() const { return matrix.size(1) <= 1024 && matrix.size(1) <= matrix.size(0); }
    /// Undefined where it would lose digits.
    const at::Tensor& gram() const {
      return gram_.get([&] {
        const at::Tensor product = lasting([&] { return at::mm(matrix.t().conj(), matrix); });
        return keep_digits(product) ? product : at::Tensor();
      });
    }
    at::Tensor flat(const at::Tensor& x) const { return x.reshape({x.size(0), matrix.size(1)}); }
  };

  const std::vector<std::int64_t>& image_shape() const { return (*this)[0].image_shape_; }

  /// Null where the matrices' dtypes or devices differ.
  std::shared_ptr<const Joint> joint() const {
    return joint_.get(version(), [&]() -> std::shared_ptr<const Joint> {
      const auto joint = std::make_shared<Joint>();
      std::vector<at::Tensor> matrices;
      for (const auto& one : operators()) {
        matrices.push_back(one->matrix_);
        joint->rows.push_back(one->matrix_.size(0));
        if (!one->matrix_.options().type_equal(matrices[0].options())) {
          return nullptr;
        }
      }
      joint->matrix = size() == 1 ? matrices[0] : at::cat(matrices);
      return joint;
    });
  }

  std::shared_ptr<const Joint> joint_for(const at::Tensor& x) const {
    auto joint = takes(x) ? this->joint() : nullptr;
    const bool is_image = joint != nullptr && x.scalar_type() == joint->matrix.scalar_type() &&
                          x.dim() == static_cast<std::int64_t>(image_shape().size()) + 1 &&
                          x.sizes().slice(1) == at::IntArrayRef(image_shape());
    return is_image ? joint : nullptr;
  }

  at::Tensor adjoint(const Joint& joint, const at::Tensor& rows, const at::Tensor& out) const {
    std::vector<std::int64_t> shape = {rows.size(0)};
    shape.insert(shape.end(), image_shape().begin(), image_shape().end());
    if (!fits(out, shape, joint.matrix.options())) {
      return adjoint_times(rows, joint.matrix).view(shape);
    }
    adjoint_times(rows, joint.matrix, joint.flat(out));
    return out;
  }

  Derived<Joint> joint_;
};

Matrix::Matrix(const at::Tensor& matrix, std::vector<std::int64_t> image_shape) : image_shape_(std::move(image_shape)) {
  check_matrix(matrix);
  matrix_ = watched(matrix);
  made_of({matrix_});
  if (image_shape_.empty()) {
    image_shape_ = {matrix.size(1)};
  }
  std::int64_t numel = 1;
  for (const std::int64_t extent : image_shape_) {
    numel *= extent;
  }
  check(numel == matrix.size(1), "Matrix: image_shape must hold as many numbers as matrix has columns, ",
        matrix.size(1), ", got ", at::IntArrayRef(image_shape_));
}

std::unique_ptr<FusedStack> Matrix::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto matrices = all_of_class<Matrix>(operators);
  const auto alike = [&](const auto& one) { return one->image_shape_ == image_shape_; };
  return matrices.empty() || !std::ranges::all_of(matrices, alike)
             ? nullptr
             : std::make_unique<FusedMatrices>(std::move(matrices));
}

at::Tensor Matrix::current(const Params& params) const {
  if (!params.contains("matrix")) {
    return matrix_;
  }
  at::Tensor matrix = params.get<at::Tensor>("matrix");
  check_matrix(matrix);
  check(matrix.size(1) == matrix_.size(1), "Matrix: parameter 'matrix' must have ", matrix_.size(1),
        " columns, got shape ", matrix.sizes());
  return matrix;
}

std::vector<std::int64_t> Matrix::batch_shape(std::int64_t batch) const {
  std::vector<std::int64_t> shape = {batch};
  shape.insert(shape.end(), image_shape_.begin(), image_shape_.end());
  return shape;
}

at::Tensor Matrix::image_like(const at::Tensor& y) const {
  return at::empty(batch_shape(y.size(0)), y.options().requires_grad(false));
}

bool Matrix::takes(const at::Tensor& x, const at::Tensor& matrix) const {
  const at::ScalarType dtype = matrix.is_complex() ? at::toComplexType(x.scalar_type()) : x.scalar_type();
  return x.dim() == static_cast<std::int64_t>(image_shape_.size()) + 1 &&
         x.sizes().slice(1) == at::IntArrayRef(image_shape_) && dtype == matrix.scalar_type();
}

at::Tensor Matrix::A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor matrix = current(params);
  check(takes(x, matrix), "Matrix::A: x must be ", matrix.scalar_type(), " of shape (batch, ",
        at::IntArrayRef(image_shape_), "), got ", x.scalar_type(), " of shape ", x.sizes());
  return times(x.reshape({x.size(0), matrix.size(1)}).to(matrix.scalar_type()), matrix);
}

at::Tensor Matrix::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor matrix = current(params);
  check_measurements("A_adjoint", y, matrix);
  return adjoint_times(y, matrix).view(batch_shape(y.size(0)));
}

at::Tensor Matrix::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor matrix = current(params);
  check_measurements("A_dagger", y, matrix);
  const auto inverse = [&] { return std::make_shared<const at::Tensor>(at::linalg_pinv(matrix)); };
  return times(y, keeps_derived(params) ? *pseudoinverse_.get(version(), inverse) : *inverse())
      .view(batch_shape(y.size(0)));
}

std::optional<double> Matrix::sqnorm_impl(const at::Tensor& x0, const Params& params) const {
  const auto norm = [&] {
    return std::make_shared<const double>(squared_spectral_norm(current(params), x0.scalar_type()));
  };
  return keeps_derived(params) ? *sqnorm_.get(version(), x0.scalar_type(), norm) : *norm();
}

bool Matrix::keeps_derived(const Params& params) const {
  return !params.contains("matrix") && !records_gradients(matrix_);
}

void Matrix::update_impl(const Params& params) {
  matrix_ = watched(current(params));
  made_of({matrix_});
}

}  // namespace adjoin
