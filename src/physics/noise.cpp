// SPDX-License-Identifier: BSD-3-Clause
// Random streams that begin at a seed and go on, and the noise drawn from them.
#include "adjoin/physics/noise.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <cmath>
#include <mutex>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

at::Generator new_generator(const at::Device& device) { return at::globalContext().defaultGenerator(device).clone(); }

// Runs `fill` on a contiguous real tensor with as many numbers as y, and returns it in y's shape and dtype.
template <class Fill>
at::Tensor random_like(const at::Tensor& y, const Fill& fill) {
  at::Tensor noise = at::empty(y.sizes(), y.options().requires_grad(false));
  fill(noise.is_complex() ? at::view_as_real(noise) : noise);
  return noise;
}

}  // namespace

RandomStream::RandomStream(std::optional<std::uint64_t> seed) : seed_(seed), own_(std::make_shared<Own>()) {}

std::optional<at::Generator> RandomStream::generator(const at::Device& device) const {
  if (!seed_) {
    return {};
  }
  const std::scoped_lock lock(own_->mutex);
  if (!own_->generator || own_->generator->device() != device) {
    own_->generator = new_generator(device);
    const std::scoped_lock use(own_->generator->mutex());
    own_->generator->set_current_seed(*seed_);
  }
  return own_->generator;
}

std::optional<RandomStream::State> RandomStream::state() const {
  const std::scoped_lock lock(own_->mutex);
  if (!own_->generator) {
    return {};
  }
  const std::scoped_lock use(own_->generator->mutex());
  return State{own_->generator->get_state(), own_->generator->device()};
}

void RandomStream::set_state(const State& state) {
  check(seed_.has_value(), "RandomStream: only a stream with a seed has a state");
  const std::scoped_lock lock(own_->mutex);
  own_->generator = new_generator(state.device);
  const std::scoped_lock use(own_->generator->mutex());
  own_->generator->set_state(state.generator);
}

at::Tensor GaussianNoise::operator()(const at::Tensor& y) const {
  return y + random_like(y, [&](const at::Tensor& n) { n.normal_(0.0, sigma, stream.generator(y.device())); });
}

at::Tensor PoissonNoise::operator()(const at::Tensor& y) const {
  check(at::isFloatingType(y.scalar_type()), "poisson_noise: y must be real, got ", y.scalar_type());
  check(clip || y.numel() == 0 || y.min().item<double>() >= 0.0,
        "poisson_noise: y must be at least 0 when clip is off, got a negative value");
  const at::Tensor rate = (clip ? y.clamp_min(0.0) : y) / gain;
  return at::poisson(rate, stream.generator(y.device())) * gain;
}

at::Tensor UniformNoise::operator()(const at::Tensor& y) const {
  return y + random_like(y, [&](const at::Tensor& n) { n.uniform_(-a, a, stream.generator(y.device())); });
}

GaussianNoise gaussian_noise(double sigma, std::optional<std::uint64_t> seed) {
  check(std::isfinite(sigma) && sigma >= 0.0, "gaussian_noise: sigma must be finite and at least 0, got ", sigma);
  return {.sigma = sigma, .stream = RandomStream(seed)};
}

PoissonNoise poisson_noise(double gain, std::optional<std::uint64_t> seed, bool clip) {
  check(std::isfinite(gain) && gain > 0.0, "poisson_noise: gain must be finite and above 0, got ", gain);
  return {.gain = gain, .clip = clip, .stream = RandomStream(seed)};
}

UniformNoise uniform_noise(double a, std::optional<std::uint64_t> seed) {
  check(std::isfinite(a) && a >= 0.0, "uniform_noise: a must be finite and at least 0, got ", a);
  return {.a = a, .stream = RandomStream(seed)};
}

}  // namespace adjoin
