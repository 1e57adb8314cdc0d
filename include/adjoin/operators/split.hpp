// SPDX-License-Identifier: BSD-3-Clause
// One operator as a stack of smaller ones, for the ranks to share.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "adjoin/physics/linear_physics.hpp"

namespace adjoin {

class MultiCoilMRI;
class NonCartesianMRI;
class NonuniformFourier;
class Tomography;

/// What each part of an operator has some of.
enum class SplitBy : std::uint8_t { coil, shot };
/// "coil" or "shot". Throws InvalidArgument for another name.
SplitBy split_by_from_string(std::string_view name);

/// Operators whose stack is `whole` up to the order of its measurements, for n ≥ 1; as even as they can be. Noise and
/// sensor models are not passed on. They throw InvalidArgument unless n is between 1 and the number of angles, coils or
/// shots.
///
/// Angles i, i + n, i + 2 n, … go to operator i, so that each covers the whole range: y_i is y[…, i::n, :].
std::vector<LinearPhysicsPtr> split(const Tomography& whole, std::int64_t n);
/// Each operator takes a run of neighbouring coils, the first ones one more where they do not come out even:
/// [y_0, …, y_{n − 1}] joined along the coil axis is y.
std::vector<LinearPhysicsPtr> split(const MultiCoilMRI& whole, std::int64_t n);
/// Shots i, i + n, i + 2 n, … go to operator i: those along the first axis of the trajectory.
std::vector<LinearPhysicsPtr> split(const NonuniformFourier& whole, std::int64_t n);
/// By coils as MultiCoilMRI, or by shots as NonuniformFourier.
std::vector<LinearPhysicsPtr> split(const NonCartesianMRI& whole, std::int64_t n, SplitBy by = SplitBy::coil);

}  // namespace adjoin
