// One operator as a stack of smaller ones, for the ranks to share.
#pragma once

#include <cstdint>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

class MultiCoilMRI;
class Tomography;

/// Operators whose stack is `whole` up to the order of its measurements, for n ≥ 1; as even as they can be. Noise and
/// sensor models are not passed on. They throw InvalidArgument unless n is between 1 and the number of angles or coils.
///
/// Angles i, i + n, i + 2 n, … go to operator i, so that each covers the whole range: y_i is y[…, i::n, :].
std::vector<LinearPhysicsPtr> split(const Tomography& whole, std::int64_t n);
/// Each operator takes a run of neighbouring coils, the first ones one more where they do not come out even:
/// [y_0, …, y_{n − 1}] joined along the coil axis is y.
std::vector<LinearPhysicsPtr> split(const MultiCoilMRI& whole, std::int64_t n);

}  // namespace adjoin
