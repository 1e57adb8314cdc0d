# SPDX-License-Identifier: BSD-3-Clause
"""The calls of the fault matrix: every collective call that a program makes, each with what a fault may change in it.

A call is a function of :class:`Arguments`; the ranks pass equal ones, but for the one that a fault is put into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import adjoin
from adjoin.optim import (
    L2,
    TotalVariation,
    ZeroPrior,
    admm,
    fista,
    gradient_descent,
    hqs,
    monotone_fista,
    ordered_subsets,
    primal_dual,
    proximal_gradient,
)

OPERATORS = 3


class Weights:
    """x ↦ w x with unlike weights, so that solvers iterate; a fault is put into its methods."""

    def __init__(self, index: int) -> None:
        self.weights = torch.linspace(1.0 + 0.1 * index, 2.0, 64).reshape(1, 1, 8, 8)
        self.fault: Callable[[torch.Tensor], torch.Tensor] | None = None

    def _apply(self, t: torch.Tensor) -> torch.Tensor:
        result = self.weights * t if t.shape[-2:] == (8, 8) else 2 * t
        return result if self.fault is None else self.fault(result)

    def A(self, x: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return self._apply(x)

    def A_adjoint(self, y: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return self._apply(y)


class Processor:
    """What tiles are processed by."""

    fault: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        result = 2 * tiles
        return result if self.fault is None else self.fault(result)


@dataclass
class Arguments:
    """Images, measurements and options of a call."""

    image: Any
    measurements: Any
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    """The objects that calls are made with."""

    ctx: adjoin.DistributedContext

    def __post_init__(self) -> None:
        self.operators: list[Weights] = []

        def factory(index: int, device: torch.device, shared: Any) -> Weights:
            self.operators.append(Weights(index))
            return self.operators[-1]

        self.stack = adjoin.DistributedStackedLinearPhysics(self.ctx, OPERATORS, factory)
        self.processor = Processor()
        self.tiles = adjoin.DistributedProcessing(
            self.ctx, self.processor, strategy_kwargs={"patch_size": 4, "overlap": 1}
        )
        self.fidelity = adjoin.DistributedDataFidelity(self.ctx, L2())
        # Made beforehand: cutting an image is no call that ranks make together.
        shapes = ((1, 1, 8, 8), (1, 1, 6, 6), (1, 40000, 8, 8))
        self.slabs = {shape: self.stack.shard_image(torch.ones(shape)) for shape in shapes}

    def arguments(self) -> Arguments:
        image = torch.linspace(0.5, 1.5, 64).reshape(1, 1, 8, 8)
        return Arguments(image, [torch.ones(1, 1, 8, 8) * (k + 1) for k in range(OPERATORS)])

    def set_fault(self, fault: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
        for operator in self.operators:
            operator.fault = fault
        self.processor.fault = fault


Call = Callable[[World, Arguments], Any]


def _solve(solver: str) -> Call:
    def call(world: World, a: Arguments) -> torch.Tensor:
        return world.stack.A_dagger(a.measurements, solver, **{"max_iter": 6, "tol": 0.0, "local_only": False, **a.options})

    return call


def _slab(world: World, a: Arguments) -> Any:
    return world.slabs[tuple(a.image.shape)] if isinstance(a.image, torch.Tensor) else a.image


def _solve_on_slabs(solver: str) -> Call:
    def call(world: World, a: Arguments) -> torch.Tensor:
        options = {"max_iter": 6, "tol": 0.0, **a.options}
        return world.stack.A_dagger_sharded(a.measurements, solver, **options).gather()

    return call


def _prox_on_slabs(world: World, a: Arguments) -> torch.Tensor:
    options = {"max_iter": 6, "tol": 0.0, **a.options}
    return world.stack.prox_l2(_slab(world, a), a.measurements, 0.7, **options).gather()


def _norm_on_slabs(world: World, a: Arguments) -> torch.Tensor:
    return world.stack.compute_sqnorm(_slab(world, a), **{"max_iter": 6, "local_only": False, **a.options})


def _algorithm(run: Callable[..., Any], *extra: Any) -> Call:
    def call(world: World, a: Arguments) -> torch.Tensor:
        options = {"max_iter": 4, "tol": 0.0, **a.options}
        prior = TotalVariation(max_iter=3, warm_start=False) if run in (primal_dual, monotone_fista) else ZeroPrior()
        return run(world.stack, a.measurements, prior, a.image, *extra, **options).x

    return call


# What may differ between ranks in a call of its own, beside the image and the measurements.
OPTION = {"max_iter": 5}

CALLS: dict[str, Call] = {
    "A": lambda w, a: w.stack.A(a.image)[0],
    "A_adjoint": lambda w, a: w.stack.A_adjoint(a.measurements),
    "A_vjp": lambda w, a: w.stack.A_vjp(a.image, a.measurements),
    "A_adjoint_A": lambda w, a: w.stack.A_adjoint_A(a.image),
    "A_A_adjoint": lambda w, a: w.stack.A_A_adjoint(a.measurements)[0],
    "A_dagger": lambda w, a: w.stack.A_dagger(a.measurements, **{"max_iter": 6, **a.options}),
    **{f"A_dagger {solver}": _solve(solver) for solver in ("CG", "LSQR", "LSMR", "BiCGStab", "MINRES")},
    "prox_l2": lambda w, a: w.stack.prox_l2(a.image, a.measurements, 0.7, **{"max_iter": 6, "tol": 0.0, **a.options}),
    "compute_sqnorm": lambda w, a: w.stack.compute_sqnorm(a.image, **{"max_iter": 6, "local_only": False, **a.options}),
    "sqnorm_bounds": lambda w, a: torch.tensor(w.stack.sqnorm_bounds(a.image, **{"max_iter": 10, **a.options})),
    "A sharded": lambda w, a: w.stack.A(_slab(w, a))[0],
    "A_adjoint sharded": lambda w, a: w.stack.A_adjoint_sharded(a.measurements).gather(),
    "A_adjoint_A sharded": lambda w, a: w.stack.A_adjoint_A(_slab(w, a)).gather(),
    **{f"A_dagger sharded {solver}": _solve_on_slabs(solver) for solver in ("CG", "LSQR")},
    "prox_l2 sharded": _prox_on_slabs,
    "compute_sqnorm sharded": _norm_on_slabs,
    "fidelity": lambda w, a: w.fidelity.grad(a.image, a.measurements, w.stack),
    "tiles": lambda w, a: w.tiles(a.image),
    "gradient_descent": _algorithm(gradient_descent),
    "proximal_gradient": _algorithm(proximal_gradient),
    "fista": _algorithm(fista),
    "monotone_fista": _algorithm(monotone_fista),
    "hqs": _algorithm(hqs, [0.5]),
    "admm": _algorithm(admm, 0.5),
    "primal_dual": _algorithm(primal_dual),
    "ordered_subsets": _algorithm(ordered_subsets, 2, 0.1),
}

# What a call has no use for: an image's values, options.
WITHOUT_IMAGE = {name for name in CALLS if name.startswith("A_dagger")} | {
    "A_adjoint",
    "A_A_adjoint",
    "compute_sqnorm",
    "sqnorm_bounds",
} | {name for name in CALLS if name.endswith("sharded")}
WITHOUT_OPTIONS = {"A", "A_adjoint", "A_vjp", "A_adjoint_A", "A_A_adjoint", "fidelity", "tiles"} | {
    "A sharded",
    "A_adjoint sharded",
    "A_adjoint_A sharded",
}
