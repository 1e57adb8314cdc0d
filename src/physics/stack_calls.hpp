// SPDX-License-Identifier: BSD-3-Clause
// What the calls of every stack share: an operator's parameters, lists and sums of its operators' results, checks.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/gradients.hpp"
#include "adjoin/core/operator_failure.hpp"
#include "adjoin/core/vector_space.hpp"
#include "adjoin/physics/physics.hpp"

namespace adjoin::stacks {

// [f(0), …, f(n − 1)].
template <class F>
TensorList each(std::size_t n, const F& f) {
  TensorList results(n);
  for (std::size_t i = 0; i < n; ++i) {
    results[i] = for_operator(static_cast<std::int64_t>(i), [&] { return f(i); });
  }
  return results;
}

// What each operator of a stack takes of the parameters of a call. Throws InvalidArgument for a name that none takes.
class Taken {
 public:
  template <class Stack>
  Taken(const Stack& stack, const Params& all) : all_(all) {
    if (all.empty()) {
      return;
    }
    check_names("stack", all, stack.parameter_names());
    for (std::size_t i = 0; i < stack.size(); ++i) {
      own_.push_back(stack[i].taken(all));
    }
  }
  const Params& operator[](std::size_t i) const { return all_.empty() ? all_ : own_[i]; }

 private:
  const Params& all_;
  std::vector<Params> own_;
};

template <class Stack>
Params taken_by(const Stack& stack, std::size_t i, const Params& params) {
  if (params.empty()) {
    return {};
  }
  check_names("stack", params, stack.parameter_names());
  return stack[i].taken(params);
}

template <class P>
ParameterNames names_of(const std::vector<std::shared_ptr<P>>& operators, const ParameterNames& more) {
  ParameterNames names = more;
  for (const auto& op : operators) {
    names += op->parameter_names();
  }
  return names;
}

// Sums the operators' images without ever writing into one: a term may share memory with the operator's input.
class Sum {
 public:
  explicit Sum(at::Tensor out) : out_(std::move(out)) {}

  void add(at::Tensor term) {
    if (!sum_.defined()) {
      sum_ = std::move(term);
      return;
    }
    check(term.sizes() == sum_.sizes(), "its image must have the shape of operator 0's, ", sum_.sizes(), ", got ",
          term.sizes());
    const bool in_place = c10::promoteTypes(sum_.scalar_type(), term.scalar_type()) == sum_.scalar_type() &&
                          !records_gradients(sum_) && !records_gradients(term);
    if (in_place && owned_) {
      adjoin::axpy(Scalars(1, 1.0), term, sum_);
    } else if (in_place && fits(out_, sum_.sizes(), sum_.options())) {
      at::add_out(out_, sum_, term);
      sum_ = out_;
    } else {
      sum_ = at::add(sum_, term);
    }
    owned_ = true;
  }

  at::Tensor result() {
    if (sum_.defined() && !owned_ && !records_gradients(sum_) && fits(out_, sum_.sizes(), sum_.options())) {
      out_.copy_(sum_);
      return out_;
    }
    return sum_;
  }

 private:
  at::Tensor out_;
  at::Tensor sum_;
  bool owned_ = false;
};

// Σ f(i).
template <class F>
at::Tensor sum(std::size_t n, const at::Tensor& out, const F& f) {
  Sum total(out);
  for (std::size_t i = 0; i < n; ++i) {
    for_operator(static_cast<std::int64_t>(i), [&] { total.add(f(i)); });
  }
  return total.result();
}

// The mean of n terms from their sum, which nobody else holds when n > 1.
inline at::Tensor divide(at::Tensor sum, std::size_t n) {
  if (!sum.defined() || n == 1) {
    return sum;
  }
  const double factor = 1.0 / static_cast<double>(n);
  return sum.requires_grad() ? sum * factor : sum.mul_(factor);
}

inline void check_image(const char* method, const char* argument, const at::Tensor& image) {
  check(image.defined(), method, ": ", argument, " must be a tensor, got an undefined one");
}

inline void check_count(const char* method, const char* argument, const TensorList& list, std::size_t n) {
  check(list.size() == n, method, ": ", argument, " must hold ", n, n == 1 ? " tensor" : " tensors",
        ", one for each operator, got ", list.size());
}

inline void check_weights(const char* method, const TensorList& weights, std::size_t n) {
  check_count(method, "weights", weights, n);
  for (std::size_t i = 0; i < n; ++i) {
    check(weights[i].defined() && !weights[i].is_complex(), method, ": weights must be real tensors, got ",
          weights[i].defined() ? c10::toString(weights[i].scalar_type()) : "an undefined one", " for operator ", i);
  }
}

template <class P>
std::int64_t version_of(const std::vector<std::shared_ptr<P>>& operators) {
  std::int64_t sum = 0;
  for (const auto& op : operators) {
    sum += op->version();
  }
  return sum;
}

template <class P>
void check_operators(const std::vector<std::shared_ptr<P>>& operators) {
  for (std::size_t i = 0; i < operators.size(); ++i) {
    check(operators[i] != nullptr, "operators: entry ", i, " must be an operator, got a null pointer");
  }
}

}  // namespace adjoin::stacks
