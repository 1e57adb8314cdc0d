# SPDX-License-Identifier: BSD-3-Clause
"""Proximity operators of data fidelities of stacks that are not quadratic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from deepinv.optim import distance
from deepinv.optim.potential import Potential

__all__ = ["has_closed_prox", "prox_of_distance", "prox_of_sum"]

Number = float | torch.Tensor


def _shaped(gamma: Number, u: torch.Tensor) -> Number:
    """One γ an item of the batch, as it multiplies u."""
    if isinstance(gamma, torch.Tensor) and gamma.numel() > 1:
        return gamma.reshape(-1, *[1] * (u.dim() - 1))
    return gamma


def _l1(d: Any, u: torch.Tensor, y: torch.Tensor, gamma: Number) -> torch.Tensor:
    difference = u - y
    return y + difference.sign() * (difference.abs() - gamma).clamp(min=0)


def _poisson(d: Any, u: torch.Tensor, y: torch.Tensor, gamma: Number) -> torch.Tensor:
    """The minimiser of γ (z − y log z) + 1/2 (g (z − b) − u)² over z > 0, as g (z − b)."""
    counts = y / d.gain if d.denormalize else y
    half = gamma - d.gain * u - d.gain**2 * d.bkg
    z = ((half**2 + 4 * d.gain**2 * gamma * counts).sqrt() - half) / (2 * d.gain**2)
    result: torch.Tensor = d.gain * (z - d.bkg)
    return result


# Where deepinv's own takes no γ of an item each, or is another function's.
_OWN: dict[type, Callable[[Any, torch.Tensor, torch.Tensor, Number], torch.Tensor]] = {
    distance.L1Distance: _l1,
    distance.PoissonLikelihoodDistance: _poisson,
}


def has_closed_prox(d: Any) -> bool:
    """Whether the distance has a proximity operator in closed form."""
    return type(d) in _OWN or type(d).prox is not Potential.prox


def prox_of_distance(d: Any, u: torch.Tensor, y: torch.Tensor, gamma: Number) -> torch.Tensor:
    """argmin_v γ d(v, y) + 1/2 ‖v − u‖²."""
    gamma = _shaped(gamma, u)
    own = _OWN.get(type(d))
    return own(d, u, y, gamma) if own else d.prox(u, y, gamma=gamma)


def prox_of_sum(
    distances: Sequence[Any],
    weight: float,
    x: torch.Tensor,
    y: Sequence[torch.Tensor],
    physics: Any,
    gamma: Number,
    *,
    gather: bool,
    max_iter: int,
    tol: float,
) -> torch.Tensor:
    """argmin_v γ w Σ d_i(A_i v, y_i) + 1/2 ‖v − x‖², by the primal-dual algorithm for a strongly convex term, algorithm 2 of
    Chambolle and Pock (2011), whose distance to the solution falls with the square of the iterations.

    :param distances, y: those of this rank's operators, or with ``gather`` those of all, where autograd is to follow.
    :param tol: it ends where the largest change of an iteration, relative to the largest entry, is below.
    """
    with torch.no_grad():
        squared_norm = float(physics.compute_sqnorm(x, local_only=False, max_iter=50, tol=1e-2, verbose=False)) * 1.05
    tau = sigma = squared_norm**-0.5 if squared_norm > 0 else 1.0
    v = ahead = x
    dual: list[torch.Tensor] = [torch.zeros_like(t) for t in y]
    for _ in range(max_iter):
        moved = [u + sigma * Av for u, Av in zip(dual, physics.A(ahead, gather=gather), strict=True)]
        dual = [
            u - sigma * prox_of_distance(d, u / sigma, t, weight * gamma / sigma)
            for d, u, t in zip(distances, moved, y, strict=True)
        ]
        new = (v - tau * physics.A_adjoint(dual) + tau * x) / (1 + tau)
        change, size = float((new - v).abs().max()), float(new.abs().max())
        momentum = (1 + 2 * tau) ** -0.5
        tau, sigma = tau * momentum, sigma / momentum
        ahead = new + momentum * (new - v)
        v = new
        if change <= tol * size:
            break
    return v
