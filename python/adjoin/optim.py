# SPDX-License-Identifier: BSD-3-Clause
"""Data fidelities, priors and algorithms for min_x f(x) + λ g(x), f(x) = Σ d_i(A_i x, y_i).

The algorithms take ``(physics, y, prior, x0)`` where ``physics`` is a distributed stack and ``y`` its measurements, as
``data_fidelity`` one for all operators (default :class:`L2`) or a list of one an operator, and options ``max_iter``,
``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``, ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
They return an :class:`OptimResult`, whose image has the dtype of ``x0``.

From an ``x0`` that is a :class:`adjoin.ShardedImage` they work on slabs: vector work and memory fall with the ranks, and the
result's ``x`` is this rank's slab, ``x0.with_local(result.x)`` the image. ``truth`` is then sharded, too, and a monitor sees
slabs. The problems of a batch stay apart where ``x0`` is cut along another axis than 0. From a replicated ``x0`` they do so with
``layout="sharded"``, and give a replicated image back; "automatic" does where that is likely to be quicker, and the default is
"replicated", as it always is with a monitor.

Algorithms are not recorded by autograd. An ``x0``, a ``y`` or operators that require gradients or carry a tangent raise
:class:`adjoin.InvalidArgument`, but under ``torch.no_grad()``; parameters of fidelities and denoisers count as constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from adjoin import _adjoin
from adjoin._adjoin import (
    L1,
    L2,
    RED,
    AmplitudeLoss,
    Box,
    DataFidelity,
    Huber,
    IndicatorLInf,
    L1Prior,
    OptimResult,
    PnP,
    PoissonLikelihood,
    Positivity,
    Prior,
    Tikhonov,
    TotalVariation,
    WaveletPrior,
    ZeroPrior,
    adjoint_wavelet_transform,
    inverse_wavelet_transform,
    wavelet_transform,
)
from adjoin.arguments import refuse_gradients
from adjoin.distributed.sharded_image import ShardedImage
from adjoin.operators import parameters_of

__all__ = [
    "RED",
    "L1",
    "L2",
    "AmplitudeLoss",
    "Box",
    "DataFidelity",
    "Huber",
    "IndicatorLInf",
    "L1Prior",
    "OptimResult",
    "PnP",
    "PoissonLikelihood",
    "Positivity",
    "Prior",
    "Tikhonov",
    "TotalVariation",
    "WaveletPrior",
    "ZeroPrior",
    "adjoint_wavelet_transform",
    "admm",
    "fista",
    "gradient_descent",
    "hqs",
    "inverse_wavelet_transform",
    "monotone_fista",
    "ordered_subsets",
    "primal_dual",
    "proximal_gradient",
    "wavelet_transform",
]

Fidelities = DataFidelity | Sequence[DataFidelity]


def _run(
    algorithm: Callable[..., OptimResult],
    physics: Any,
    y: Sequence[torch.Tensor],
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    data_fidelity: Fidelities | None,
    *arguments: Any,
    **options: Any,
) -> OptimResult:
    with physics.ctx._telling():
        name = algorithm.__name__
        start = x0.local if isinstance(x0, ShardedImage) else x0
        refuse_gradients(
            name, x0=start, y=y, physics=[*physics._shared_parameters, *parameters_of(physics.local_physics)]
        )
        fidelities = list(data_fidelity) if isinstance(data_fidelity, Sequence) else [data_fidelity or L2()]
        fidelity = _adjoin.DistributedDataFidelity(physics._stack, fidelities, physics._default_reduction)
    with physics.ctx._telling():
        return algorithm(fidelity, y, prior, x0, *arguments, **options)


def gradient_descent(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """x ← x − τ (∇f(x) + λ ∇g(x)).

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.gradient_descent, physics, y, prior, x0, data_fidelity, **options)


def proximal_gradient(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """x ← prox_{τ λ g}(x − τ ∇f(x)); with a :class:`PnP` prior it is plug-and-play.

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.proximal_gradient, physics, y, prior, x0, data_fidelity, **options)


def fista(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """Proximal gradient steps from an extrapolated point (Beck and Teboulle 2009).

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.fista, physics, y, prior, x0, data_fidelity, **options)


def monotone_fista(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """FISTA whose objective never rises.

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.monotone_fista, physics, y, prior, x0, data_fidelity, **options)


def primal_dual(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """The primal-dual algorithm of Chambolle and Pock (2011); the fidelity need not be smooth.

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.primal_dual, physics, y, prior, x0, data_fidelity, **options)


def hqs(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    gammas: Sequence[float],
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """Half-quadratic splitting with γ from ``gammas``, one an iteration.

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param gammas: γ, one an iteration.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.hqs, physics, y, prior, x0, data_fidelity, list(gammas), **options)


def admm(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    gamma: float,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """Alternating direction method of multipliers.

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param gamma: γ > 0, the strength of the splitting.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.admm, physics, y, prior, x0, data_fidelity, gamma, **options)


def ordered_subsets(
    physics: Any,
    y: Any,
    prior: Prior,
    x0: torch.Tensor | ShardedImage,
    count: int = 4,
    decay: float = 0.1,
    *,
    data_fidelity: Fidelities | None = None,
    **options: Any,
) -> OptimResult:
    """Passes over ``count`` subsets of the operators, a proximal gradient step for each (Hudson and Larkin 1994); the
    step of pass k is that of the first one over 1 + decay (k − 1).

    :param physics: a distributed stack.
    :param y: its measurements, all of them or those of this rank.
    :param prior: the prior g.
    :param x0: the start, an image or a sharded one.
    :param count: how many subsets.
    :param decay: how fast steps shrink from pass to pass.
    :param data_fidelity: one for all operators, by default :class:`L2`, or a list of one an operator.
    :param options: ``max_iter``, ``tol``, ``items``, ``lambda_``, ``step``, ``backtracking``, ``objective``,
        ``truth``, ``peak``, ``monitor``, ``layout`` and ``verbose``.
    :return: an :class:`OptimResult`.
    :raises adjoin.Error: where NaN comes up, a step is too long, or ranks differ.
    """
    return _run(_adjoin.ordered_subsets, physics, y, prior, x0, data_fidelity, count, decay, **options)
