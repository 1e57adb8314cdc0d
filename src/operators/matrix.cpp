#include "adjoin/operators/matrix.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused.hpp"

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

double squared_spectral_norm(const at::Tensor& matrix) {
  const double largest = at::linalg_svdvals(matrix.detach()).max().item<double>();
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

// The rows of all matrices as one matrix.
class FusedMatrices final : public FusedStack {
 public:
  FusedMatrices(const std::vector<at::Tensor>& matrices, std::vector<std::int64_t> image_shape)
      : matrix_(matrices.size() == 1 ? matrices[0] : at::cat(matrices)), image_shape_(std::move(image_shape)) {
    for (const at::Tensor& m : matrices) {
      rows_.push_back(m.size(0));
    }
  }

  TensorList A(const at::Tensor& x, const TensorList& /*out*/) override {
    if (!is_image(x)) {
      return {};
    }
    return TensorList(times(flat(x), matrix_).split_with_sizes(rows_, 1));
  }

  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) override {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (!y[i].defined() || y[i].dim() != 2 || y[i].size(1) != rows_[i] || y[i].size(0) != y[0].size(0) ||
          y[i].scalar_type() != matrix_.scalar_type()) {
        return {};
      }
    }
    return adjoint(y.size() == 1 ? y[0] : at::cat(y.tensors(), 1), out);
  }

  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) override {
    if (!is_image(x)) {
      return {};
    }
    if (matrix_.size(1) > largest_gram || matrix_.size(1) > matrix_.size(0)) {
      return adjoint(times(flat(x), matrix_), out);
    }
    if (!gram_.defined()) {
      gram_ = at::mm(matrix_.t().conj(), matrix_);
    }
    if (!fits(out, x.sizes(), x.options())) {
      return times(flat(x), gram_).view(x.sizes());
    }
    at::Tensor target = flat(out);
    at::mm_out(target, flat(x), gram_.t());
    return out;
  }

 private:
  // MᴴM pays off where it has no more entries than M, and where computing it takes the time of a few products.
  static constexpr std::int64_t largest_gram = 1024;

  at::Tensor flat(const at::Tensor& x) const { return x.reshape({x.size(0), matrix_.size(1)}); }

  bool is_image(const at::Tensor& x) const {
    return x.scalar_type() == matrix_.scalar_type() && x.dim() == static_cast<std::int64_t>(image_shape_.size()) + 1 &&
           x.sizes().slice(1) == at::IntArrayRef(image_shape_);
  }

  at::Tensor adjoint(const at::Tensor& rows, const at::Tensor& out) const {
    std::vector<std::int64_t> shape = {rows.size(0)};
    shape.insert(shape.end(), image_shape_.begin(), image_shape_.end());
    if (!fits(out, shape, matrix_.options())) {
      return adjoint_times(rows, matrix_).view(shape);
    }
    adjoint_times(rows, matrix_, flat(out));
    return out;
  }

  at::Tensor matrix_;
  std::vector<std::int64_t> image_shape_;
  std::vector<std::int64_t> rows_;
  at::Tensor gram_;
};

}  // namespace

Matrix::Matrix(const at::Tensor& matrix, std::vector<std::int64_t> image_shape)
    : matrix_(matrix), image_shape_(std::move(image_shape)) {
  check_matrix(matrix);
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
  std::vector<at::Tensor> matrices;
  for (const auto& op : operators) {
    const auto& other = static_cast<const Matrix&>(*op);
    if (other.image_shape_ != image_shape_ || other.matrix_.scalar_type() != matrix_.scalar_type() ||
        other.matrix_.device() != matrix_.device() || other.matrix_.requires_grad()) {
      return nullptr;
    }
    matrices.push_back(other.matrix_);
  }
  return std::make_unique<FusedMatrices>(matrices, image_shape_);
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

at::Tensor Matrix::A_impl(const at::Tensor& x, const Params& params) const {
  const at::Tensor matrix = current(params);
  check(x.dim() == static_cast<std::int64_t>(image_shape_.size()) + 1 &&
            x.sizes().slice(1) == at::IntArrayRef(image_shape_) && x.scalar_type() == matrix.scalar_type(),
        "Matrix::A: x must be ", matrix.scalar_type(), " of shape (batch, ", at::IntArrayRef(image_shape_), "), got ",
        x.scalar_type(), " of shape ", x.sizes());
  return times(x.reshape({x.size(0), matrix.size(1)}), matrix);
}

at::Tensor Matrix::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor matrix = current(params);
  check_measurements("A_adjoint", y, matrix);
  return adjoint_times(y, matrix).view(batch_shape(y.size(0)));
}

at::Tensor Matrix::A_dagger_impl(const at::Tensor& y, const Params& params) const {
  const at::Tensor matrix = current(params);
  check_measurements("A_dagger", y, matrix);
  if (params.contains("matrix")) {
    return times(y, at::linalg_pinv(matrix)).view(batch_shape(y.size(0)));
  }
  if (!pseudoinverse_.defined()) {
    pseudoinverse_ = at::linalg_pinv(matrix_);
  }
  return times(y, pseudoinverse_).view(batch_shape(y.size(0)));
}

std::optional<double> Matrix::sqnorm_impl(const at::Tensor& /*x0*/, const Params& params) const {
  if (params.contains("matrix")) {
    return squared_spectral_norm(current(params));
  }
  if (!sqnorm_) {
    sqnorm_ = squared_spectral_norm(matrix_);
  }
  return sqnorm_;
}

void Matrix::update_impl(const Params& params) {
  matrix_ = current(params);
  pseudoinverse_ = at::Tensor();
  sqnorm_.reset();
}

}  // namespace adjoin
