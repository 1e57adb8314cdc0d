// SPDX-License-Identifier: BSD-3-Clause
// Checks of a trajectory, and its conversion to cycles a pixel.
#include "operators/nufft/trajectory.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "adjoin/core/errors.hpp"

namespace adjoin {

namespace {

constexpr std::array<std::pair<FrequencyUnits, std::string_view>, 3> unit_names = {
    {{FrequencyUnits::cycles_per_pixel, "cycles_per_pixel"},
     {FrequencyUnits::radians_per_pixel, "radians_per_pixel"},
     {FrequencyUnits::cycles_per_fov, "cycles_per_fov"}}};

}  // namespace

FrequencyUnits frequency_units_from_string(std::string_view name) {
  for (const auto& [units, known] : unit_names) {
    if (name == known) {
      return units;
    }
  }
  throw InvalidArgument(
      c10::str("units: must be cycles_per_pixel, radians_per_pixel or cycles_per_fov, got '", name, "'"));
}

namespace nufft {

void check_image_size(const char* name, at::IntArrayRef image_size) {
  bool positive = image_size.size() == 2 || image_size.size() == 3;
  for (const std::int64_t n : image_size) {
    positive = positive && n > 0;
  }
  check(positive, name, ": image_size must be (H, W) or (D, H, W), all positive, got ", image_size);
}

void check_trajectory(const char* name, const at::Tensor& trajectory, at::IntArrayRef image_size) {
  const auto axes = static_cast<std::int64_t>(image_size.size());
  check(trajectory.defined() && trajectory.is_floating_point() && trajectory.dim() >= 2 &&
            trajectory.size(-1) == axes && trajectory.numel() > 0,
        name, ": trajectory must be real, (…, ", axes, ") for images ", image_size, ", got ",
        trajectory.defined() ? c10::str(trajectory.scalar_type(), " ", trajectory.sizes()) : "an undefined tensor");
  check(trajectory.is_cpu(), name, ": trajectory must be on the CPU, got ", trajectory.device());
  const double largest = trajectory.detach().abs().max().item<double>();
  constexpr double rounding = 1e-4;  // of coordinates that came in other units
  check(largest <= 0.5 + rounding, name, ": trajectory must lie within ±0.5 cycles a pixel, got ", largest,
        "; coordinates in other units need units=\"radians_per_pixel\" or \"cycles_per_fov\"");
}

at::Tensor in_cycles_per_pixel(const at::Tensor& trajectory, FrequencyUnits units, at::IntArrayRef image_size) {
  if (units == FrequencyUnits::cycles_per_pixel || !trajectory.defined() || trajectory.dim() == 0 ||
      trajectory.size(-1) != static_cast<std::int64_t>(image_size.size())) {
    return trajectory;
  }
  if (units == FrequencyUnits::radians_per_pixel) {
    return trajectory / (2.0 * std::numbers::pi);
  }
  return trajectory / at::tensor(image_size, at::TensorOptions(trajectory.scalar_type())).to(trajectory.device());
}

void check_eps(const char* name, double eps) {
  check(eps > 0.0 && eps < 1.0, name, ": eps must lie between 0 and 1, got ", eps);
}

void check_precision(const char* name, const char* argument, const at::Tensor& tensor) {
  const auto real = at::toRealValueType(tensor.scalar_type());
  check(real == at::kFloat || real == at::kDouble, name, ": ", argument, " must be of single or double precision, got ",
        tensor.scalar_type());
  check(tensor.is_cpu(), name, ": ", argument, " must be on the CPU, got ", tensor.device());
}

}  // namespace nufft

}  // namespace adjoin
