#include "adjoin/physics/noise.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <utility>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

// The random stream of one noise model: its copies share it. Without a seed, the device's default stream.
class Stream {
 public:
  explicit Stream(std::optional<std::uint64_t> seed) : seed_(seed) {}

  std::optional<at::Generator> generator(const at::Device& device) {
    const std::scoped_lock one_thread(mutex_);
    if (seed_ && !(generator_ && generator_->device() == device)) {
      generator_ = at::globalContext().defaultGenerator(device).clone();
      const std::scoped_lock lock(generator_->mutex());
      generator_->set_current_seed(*seed_);
    }
    return generator_;
  }

 private:
  std::mutex mutex_;
  std::optional<std::uint64_t> seed_;
  std::optional<at::Generator> generator_;
};

// Runs `fill` on a contiguous real tensor with as many numbers as y, and returns it in y's shape and dtype.
template <class Fill>
at::Tensor random_like(const at::Tensor& y, const Fill& fill) {
  at::Tensor noise = at::empty(y.sizes(), y.options().requires_grad(false));
  fill(noise.is_complex() ? at::view_as_real(noise) : noise);
  return noise;
}

}  // namespace

NoiseModel gaussian_noise(double sigma, std::optional<std::uint64_t> seed) {
  check(std::isfinite(sigma) && sigma >= 0.0, "gaussian_noise: sigma must be finite and at least 0, got ", sigma);
  return [sigma, stream = std::make_shared<Stream>(seed)](const at::Tensor& y) {
    return y + random_like(y, [&](const at::Tensor& n) { n.normal_(0.0, sigma, stream->generator(y.device())); });
  };
}

NoiseModel poisson_noise(double gain, std::optional<std::uint64_t> seed, bool clip) {
  check(std::isfinite(gain) && gain > 0.0, "poisson_noise: gain must be finite and above 0, got ", gain);
  return [gain, clip, stream = std::make_shared<Stream>(seed)](const at::Tensor& y) {
    check(at::isFloatingType(y.scalar_type()), "poisson_noise: y must be real, got ", y.scalar_type());
    check(clip || y.numel() == 0 || y.min().item<double>() >= 0.0,
          "poisson_noise: y must be at least 0 when clip is off, got a negative value");
    const at::Tensor rate = (clip ? y.clamp_min(0.0) : y) / gain;
    return at::poisson(rate, stream->generator(y.device())) * gain;
  };
}

NoiseModel uniform_noise(double a, std::optional<std::uint64_t> seed) {
  check(std::isfinite(a) && a >= 0.0, "uniform_noise: a must be finite and at least 0, got ", a);
  return [a, stream = std::make_shared<Stream>(seed)](const at::Tensor& y) {
    return y + random_like(y, [&](const at::Tensor& n) { n.uniform_(-a, a, stream->generator(y.device())); });
  };
}

}  // namespace adjoin
