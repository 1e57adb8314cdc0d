// SPDX-License-Identifier: BSD-3-Clause
// Noise and sensor models.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace adjoin {

/// Maps clean measurements to noisy ones, shape and dtype kept.
using NoiseModel = std::function<at::Tensor(const at::Tensor& y)>;
/// The sensor's response to noisy measurements: saturation, quantisation.
using SensorModel = std::function<at::Tensor(const at::Tensor& y)>;

/// What a noise model draws from: the device's default generator, or a stream of its own when there is a seed (so that
/// results depend neither on the number of ranks nor on other draws). Copies share the stream.
class RandomStream {
 public:
  explicit RandomStream(std::optional<std::uint64_t> seed = {});

  std::optional<std::uint64_t> seed() const { return seed_; }
  /// None stands for the device's default.
  std::optional<at::Generator> generator(const at::Device& device) const;

  /// How far the own stream has come, and where, as a generator's state; none before the first draw.
  struct State {
    at::Tensor generator;
    at::Device device;
  };
  std::optional<State> state() const;
  /// The same for another stream, which must have a seed.
  void set_state(const State& state);

 private:
  struct Own {
    std::mutex mutex;
    std::optional<at::Generator> generator;
  };
  std::optional<std::uint64_t> seed_;
  std::shared_ptr<Own> own_;
};

/// y + sigma n, n standard normal; for complex y, real and imaginary parts each have standard deviation sigma.
struct GaussianNoise {
  double sigma = 0.0;
  RandomStream stream = RandomStream();
  at::Tensor operator()(const at::Tensor& y) const;
};

/// gain · Poisson(y / gain) for real y. Negative y counts as 0 when `clip` is set, else it throws InvalidArgument.
struct PoissonNoise {
  double gain = 1.0;
  bool clip = true;
  RandomStream stream = RandomStream();
  at::Tensor operator()(const at::Tensor& y) const;
};

/// y + u, u uniform in [−a, a], for complex y in each part.
struct UniformNoise {
  double a = 0.0;
  RandomStream stream = RandomStream();
  at::Tensor operator()(const at::Tensor& y) const;
};

/// The noise models, of a stream with this seed. Throw InvalidArgument unless sigma and a are finite and ≥ 0, and gain
/// is finite and > 0.
GaussianNoise gaussian_noise(double sigma, std::optional<std::uint64_t> seed = {});
PoissonNoise poisson_noise(double gain, std::optional<std::uint64_t> seed = {}, bool clip = true);
UniformNoise uniform_noise(double a, std::optional<std::uint64_t> seed = {});

}  // namespace adjoin
