// SPDX-License-Identifier: BSD-3-Clause
// A bank as a stack of blurs with one kernel each, whose results lie in channels.
#include "adjoin/operators/filter_bank.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/physics/fused_of.hpp"

namespace adjoin {
namespace {

void append_blurs(const at::Tensor& filters, const BlurOptions& options, std::vector<LinearPhysicsPtr>& blurs) {
  for (std::int64_t k = 0; k < filters.size(0); ++k) {
    blurs.push_back(std::make_shared<Blur>(filters.narrow(0, k, 1), options));
  }
}

void check_filters(const at::Tensor& filters) {
  check(filters.defined() && (filters.dim() == 4 || filters.dim() == 5) && filters.numel() > 0 && filters.size(1) == 1,
        "FilterBank: filters must be a tensor (K, 1, h, w) or (K, 1, d, h, w), got ",
        filters.defined() ? c10::str(filters.sizes()) : "an undefined one");
}

/// The measurements of `kernels` kernels, one of each. Throws unless y has as many for every channel.
TensorList parted(const at::Tensor& y, std::int64_t kernels) {
  check(y.dim() >= 2 && y.size(1) > 0 && y.size(1) % kernels == 0, "FilterBank: y must have ", kernels,
        " channels for each of the image, got ", y.sizes());
  TensorList parts;
  for (const at::Tensor& part : y.chunk(kernels, 1)) {
    parts.push_back(part.contiguous());
  }
  return parts;
}

/// What f returns; a kernel's failure is thrown as it was, since kernels are no operators of the user's.
template <class F>
auto as_one_operator(const F& f) -> decltype(f()) {
  try {
    return f();
  } catch (const OperatorFailure& failure) {
    std::rethrow_if_nested(failure);
    throw;
  }
}

at::Tensor joined(const TensorList& parts) { return parts.size() == 1 ? parts[0] : at::cat(parts.tensors(), 1); }

}  // namespace

FilterBank::FilterBank(const at::Tensor& filters, BlurOptions options) : options_(options) { set(filters); }

void FilterBank::set(const at::Tensor& filters) {
  check_filters(filters);
  std::vector<LinearPhysicsPtr> blurs;
  append_blurs(filters, options_, blurs);
  blurs_ = std::make_shared<const StackedLinearPhysics>(std::move(blurs));
  filters_ = watched(filters);
  made_of({filters_});
}

Recipe FilterBank::recipe() const {
  return {.maker = "FilterBank",
          .arguments = {{"filters", filters_},
                        {"padding", std::string(to_string(options_.padding))},
                        {"method", std::string(to_string(options_.method))}}};
}

void FilterBank::update_impl(const Params& params) {
  if (params.contains("filters")) {
    set(params.get<at::Tensor>("filters"));
  }
}

FilterBank::Blurs FilterBank::blurs(const Params& params) const {
  return params.contains("filters") ? FilterBank(params.get<at::Tensor>("filters"), options_).blurs_ : blurs_;
}

at::Tensor FilterBank::A_impl(const at::Tensor& x, const Params& params) const {
  return as_one_operator([&] { return joined(blurs(params)->A(x)); });
}

at::Tensor FilterBank::A_adjoint_impl(const at::Tensor& y, const Params& params) const {
  const Blurs blurs = this->blurs(params);
  return as_one_operator([&] { return blurs->A_adjoint(parted(y, static_cast<std::int64_t>(blurs->size()))); });
}

at::Tensor FilterBank::A_adjoint_A_impl(const at::Tensor& x, const Params& params) const {
  return as_one_operator([&] { return blurs(params)->A_adjoint_A(x); });
}

at::Tensor FilterBank::image_like(const at::Tensor& y) const {
  return (*blurs_)[0].image_like(parted(y, filters_.size(0))[0]);
}

/// The kernels of all banks as one stack.
class FusedFilterBanks final : public FusedOf<FilterBank> {
 public:
  explicit FusedFilterBanks(Operators banks) : FusedOf(std::move(banks)) {}

  TensorList A(const at::Tensor& x, const TensorList& /*out*/) const override {
    return takes(x) ? unless_refused([&] { return as_one_operator([&] { return joined_by_bank(blurs()->A(x)); }); })
                    : TensorList();
  }
  at::Tensor A_adjoint(const TensorList& y, const at::Tensor& out) const override {
    const auto adjoint = [&] { return as_one_operator([&] { return blurs()->A_adjoint_sum(all_parts(y), out); }); };
    return takes(y) ? unless_refused(adjoint) : at::Tensor();
  }
  at::Tensor A_adjoint_A(const at::Tensor& x, const at::Tensor& out) const override {
    const auto normal = [&] { return as_one_operator([&] { return blurs()->A_adjoint_A_sum(x, out); }); };
    return takes(x) ? unless_refused(normal) : at::Tensor();
  }
  at::Tensor normal_form(const at::Tensor& x) const override {
    return takes(x) ? blurs()->normal_form(x) : at::Tensor();
  }
  at::Tensor apply_normal_form(const at::Tensor& form, const at::Tensor& x, int part, int parts,
                               const at::Tensor& out) const override {
    return blurs()->apply_normal_form(form, x, part, parts, out);
  }
  bool has_normal_forms() const override { return blurs()->has_normal_forms(); }

 private:
  std::shared_ptr<const StackedLinearPhysics> blurs() const {
    return blurs_.get(version(), [&] {
      std::vector<LinearPhysicsPtr> all;
      for (const auto& bank : operators()) {
        append_blurs(bank->filters_, bank->options_, all);
      }
      return std::make_shared<const StackedLinearPhysics>(std::move(all));
    });
  }
  TensorList joined_by_bank(const TensorList& parts) const {
    TensorList y;
    auto next = parts.begin();
    for (const auto& bank : operators()) {
      const auto end = next + bank->filters_.size(0);
      y.push_back(joined(TensorList(std::vector<at::Tensor>(next, end))));
      next = end;
    }
    return y;
  }
  TensorList all_parts(const TensorList& y) const {
    TensorList all;
    for (std::size_t i = 0; i < size(); ++i) {
      for (const at::Tensor& part : parted(y[i], (*this)[i].filters_.size(0))) {
        all.push_back(part);
      }
    }
    return all;
  }

  Derived<StackedLinearPhysics> blurs_;
};

std::unique_ptr<FusedStack> FilterBank::fuse(std::span<const std::shared_ptr<const LinearPhysics>> operators) const {
  auto banks = all_of_class<FilterBank>(operators);
  const auto alike = [&](const auto& one) {
    return one->options_.padding == options_.padding && one->filters_.dim() == filters_.dim();
  };
  return banks.empty() || !std::ranges::all_of(banks, alike) ? nullptr
                                                             : std::make_unique<FusedFilterBanks>(std::move(banks));
}

}  // namespace adjoin
