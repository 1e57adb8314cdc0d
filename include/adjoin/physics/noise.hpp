// Noise and sensor models.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>

namespace adjoin {

/// Maps clean measurements to noisy ones, shape and dtype kept.
using NoiseModel = std::function<at::Tensor(const at::Tensor& y)>;
/// The sensor's response to noisy measurements: saturation, quantisation.
using SensorModel = std::function<at::Tensor(const at::Tensor& y)>;

/// y + sigma n, n standard normal; for complex y, real and imaginary parts each have standard deviation sigma.
/// Draws from a generator of its own when `seed` is given (so that results depend neither on the number of ranks nor on
/// other draws), else from the device's default generator. Throws InvalidArgument unless sigma is finite and ≥ 0.
NoiseModel gaussian_noise(double sigma, std::optional<std::uint64_t> seed = {});
/// gain · Poisson(y / gain) for real y, gain > 0 and finite; stream as above. Negative y counts as 0 when `clip` is
/// set, else it throws InvalidArgument.
NoiseModel poisson_noise(double gain, std::optional<std::uint64_t> seed = {}, bool clip = true);
/// y + u, u uniform in [−a, a], for complex y in each part; stream as above. Throws InvalidArgument unless a is finite
/// and ≥ 0.
NoiseModel uniform_noise(double a, std::optional<std::uint64_t> seed = {});

}  // namespace adjoin
