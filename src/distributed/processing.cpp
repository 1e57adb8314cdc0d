// SPDX-License-Identifier: BSD-3-Clause
// Tiles processed by their owners and put together on every rank by one reduction.
#include "adjoin/distributed/processing.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "adjoin/core/errors.hpp"
#include "adjoin/distributed/autograd.hpp"

namespace adjoin {

DistributedProcessing::DistributedProcessing(Made /*tag*/, DistributedContext& context, Processor processor,
                                             TilingOptions options)
    : context_(context),
      processor_(std::move(processor)),
      options_(std::move(options)),
      exchange_(std::make_shared<Exchange>(context, "tiles")) {
  CallArguments arguments;
  for (const auto& [name, text] : named_options(options_)) {
    arguments.add(name, text);
  }
  exchange_->call("the making", arguments, [&] {
    exchange_->agree([&] {
      check(static_cast<bool>(processor_), "processor: must be callable, got an empty function");
      check_options(options_);
    });
  });
  exchange_->number(context, "tiles");
}

void DistributedProcessing::refuse(const char* method) const { exchange_->refuse(method); }

void DistributedProcessing::prepare(const at::Tensor& x) const {
  check(x.defined() && (at::isFloatingType(x.scalar_type()) || at::isComplexType(x.scalar_type())) && x.numel() > 0,
        "x: must be a floating-point or complex image, got ",
        x.defined() ? c10::str(x.scalar_type(), " ", x.sizes()) : "an undefined tensor");
  check(x.device() == context_.device(), "x: must be on ", context_.device(), ", got ", x.device());
  if (strategy_ && x.sizes() == strategy_->img_size()) {
    return;
  }
  strategy_.reset();  // nothing stale stays behind a strategy that fails
  std::unique_ptr<DistributedSignalStrategy> strategy = create_strategy(x.sizes(), options_);
  check(strategy != nullptr && strategy->img_size() == x.sizes(), "custom: must return a strategy for images of shape ",
        x.sizes());
  check(strategy->get_num_patches() >= 1, "custom: the strategy must have at least one patch");
  local_indices_ = context_.local_indices(strategy->get_num_patches());
  strategy_ = std::move(strategy);
}

std::vector<at::Tensor> DistributedProcessing::processed(const std::vector<at::Tensor>& patches,
                                                         const Params& params) const {
  const std::int64_t limit =
      options_.max_batch_size.value_or(context_.device().is_cpu() ? 1 : static_cast<std::int64_t>(patches.size()));
  std::vector<at::Tensor> results(patches.size());
  for (std::size_t first = 0; first < patches.size(); ++first) {
    if (results[first].defined()) {
      continue;
    }
    // This patch and later ones of its shape.
    std::vector<std::size_t> members;
    std::vector<at::Tensor> batch;
    for (std::size_t i = first; i < patches.size() && static_cast<std::int64_t>(batch.size()) < limit; ++i) {
      if (!results[i].defined() && patches[i].sizes() == patches[first].sizes()) {
        members.push_back(i);
        batch.push_back(patches[i]);
      }
    }
    const at::Tensor input = batch.size() == 1 ? batch[0].contiguous() : at::cat(batch);
    const at::Tensor output = processor_(input, params);
    check(output.defined() && output.sizes() == input.sizes() && output.scalar_type() == input.scalar_type(),
          "processor: must keep the shape and dtype of its tiles, ", input.scalar_type(), " ", input.sizes(), ", got ",
          output.defined() ? c10::str(output.scalar_type(), " ", output.sizes()) : "an undefined tensor");
    const std::int64_t items = patches[first].size(0);
    for (std::size_t k = 0; k < members.size(); ++k) {
      results[members[k]] = output.narrow(0, static_cast<std::int64_t>(k) * items, items);
    }
  }
  return results;
}

at::Tensor DistributedProcessing::local_part(const at::Tensor& x, const at::Tensor& out, const Params& params) const {
  prepare(x);
  if (local_indices_.empty()) {
    return {};
  }
  const std::vector<at::Tensor> patches = strategy_->get_local_patches(x, local_indices_);
  check(patches.size() == local_indices_.size(), "strategy: must return ", local_indices_.size(), " patches, got ",
        patches.size());
  const std::vector<at::Tensor> results = processed(patches, params);
  const bool fits = out.defined() && out.sizes() == x.sizes() && out.scalar_type() == x.scalar_type();
  at::Tensor image = fits ? at::Tensor(out).zero_() : at::zeros(x.sizes(), x.options().requires_grad(false));
  strategy_->reduce_patches(image, local_indices_, results);
  return image;
}

void DistributedProcessing::set_parameters(std::vector<at::Tensor> parameters) {
  parameters_ = Parameters(exchange_, std::move(parameters));
}

at::Tensor DistributedProcessing::operator()(const at::Tensor& x, const CallOptions& options) const {
  if (!options.gather) {
    const at::Tensor part = exchange_->local([&] { return local_part(x, {}, options.params); });
    return part.defined() ? part : at::zeros_like(x);
  }
  if (records_gradients(x) || parameters_.recorded() || records_gradients(options.params)) {
    const auto part = [this, params = options.params](const Tensors& inputs) -> Tensors {
      return {local_part(inputs[0], {}, with_tensors(params, at::ArrayRef<at::Tensor>(inputs).slice(1)))};
    };
    return recorded({.name = "processing",
                     .exchange = exchange_,
                     .parameters = &parameters_,
                     .plans = plans_,
                     .keep = weak_from_this().lock()},
                    RecordedInputs().add(x, Spread::replicated).add(options.params), {Spread::replicated}, part)[0];
  }
  CallArguments arguments("x", x);
  for (const auto& [name, value] : options.params) {
    if (const double* const number = std::get_if<double>(&value)) {
      arguments.add(name.c_str(), *number);
    }
  }
  return exchange_->call("processing", arguments, [&] {
    return exchange_->reduce(plans_->sums, [&](const at::Tensor& out) { return local_part(x, out, options.params); });
  });
}

}  // namespace adjoin
