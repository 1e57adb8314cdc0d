# SPDX-License-Identifier: BSD-3-Clause
"""An operator and its equal, from change to change."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from adjoin import _adjoin
from adjoin.operators import as_physics

__all__ = ["Lowered", "NoEqual", "Recipe", "StandIn", "Watched"]

# How far results may differ, relative to their norm.
_TOLERANCE = {torch.float32: 1e-5, torch.complex64: 1e-5, torch.float64: 1e-10, torch.complex128: 1e-10}


class NoEqual(Exception):
    """An operator has no equal in its present state; says why, or nothing where nobody would expect one."""


@dataclass
class StandIn:
    """An operator of adjoin, and for which tensors it does what another library's does."""

    physics: _adjoin.LinearPhysics
    # The shape and dtype of an image to try both on.
    example: Sequence[int]
    dtype: torch.dtype
    device: torch.device
    # The tensors that the other operator computes with.
    sources: Sequence[torch.Tensor] = ()
    # Sizes of images and measurements behind the batch axis, -1 for any; empty for whatever the operator of adjoin takes.
    image: Sequence[int] = ()
    measurement: Sequence[int] = ()
    # The same as the operator of adjoin has them, where it sees the same elements in other axes.
    image_view: Sequence[int] = ()
    measurement_view: Sequence[int] = ()
    # Whether batches have any number of axes.
    any_batch: bool = False
    # Other dtypes that are computed alike.
    more_dtypes: Sequence[torch.dtype] = ()


@dataclass
class Watched:
    """What an operator keeps under a name."""

    place: dict[str, Any]
    name: str

    def state(self) -> tuple[Any, int]:
        """The value, and how often it was changed in place, -1 where nobody counts that."""
        value = self.place.get(self.name)
        if isinstance(value, torch.Tensor) and not value.is_inference():
            return value, value._version
        return value, -1


@dataclass
class Recipe:
    """How an operator is lowered."""

    # Makes its equal as it is now, or raises NoEqual.
    make: Callable[[], StandIn]
    # What the equal depends on.
    watched: Sequence[Watched]
    # Adds noise and sensor response to measurements.
    finish: Callable[..., torch.Tensor] | None = None
    # Lowered operators that it is made of.
    parts: Sequence[Lowered] = ()


def _viewed(tensor: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    return tensor.reshape(-1, *sizes) if sizes else tensor


def _relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    if ours.dtype != theirs.dtype:
        return float("inf")
    norm = float(torch.linalg.vector_norm(theirs))
    return float(torch.linalg.vector_norm(ours - theirs)) / (norm or 1.0)


def _key(states: Iterable[tuple[Any, int]]) -> str:
    """What of the states decides whether an operator and its equal agree: not the numbers in tensors and arrays."""
    return repr(
        [
            (value.shape, value.dtype, getattr(value, "device", "")) if hasattr(value, "dtype") else value
            for value, _ in states
        ]
    )


@dataclass
class Lowered:
    """An operator of another library whose work is done by its equal while they agree."""

    operator: Any
    recipe: Recipe
    # Why it has no equal at present.
    reason: str = ""
    physics: _adjoin.LoweredPhysics = field(init=False)
    # What the equal was made of: as each call compares it, without asking, and as it must be asked for.
    _seen: list[tuple[dict[str, Any], str, Any, int]] = field(init=False, default_factory=list)
    _asked: list[tuple[Watched, tuple[Any, int]]] = field(init=False, default_factory=list)
    _proved: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        original = as_physics(self.operator, linear=True)
        assert isinstance(original, _adjoin.LinearPhysics)
        self.physics = _adjoin.LoweredPhysics(original, self.recipe.finish)
        self._renew()

    @property
    def is_lowered(self) -> bool:
        return self.physics.stand_in is not None

    def follow(self) -> None:
        """Makes the equal anew where the operator has changed."""
        for part in self.recipe.parts:
            part.follow()
        for place, name, value, version in self._seen:
            current = place.get(name)
            if current is not value or (version >= 0 and current._version != version):
                self._renew()
                return
        for watched, (value, version) in self._asked:
            current, now = watched.state()
            if current is not value or now != version:
                self._renew()
                return

    def _renew(self) -> None:
        states = [(watched, watched.state()) for watched in self.recipe.watched]
        self._seen = [(watched.place, watched.name, *state) for watched, state in states if type(watched) is Watched]
        self._asked = [(watched, state) for watched, state in states if type(watched) is not Watched]
        try:
            stand_in = self.recipe.make()
            key = _key(state for _, state in states)
            if key not in self._proved:
                self._proved[key] = self._difference(stand_in)
            self.reason = self._proved[key]
        except NoEqual as reason:
            self.reason = str(reason)
            stand_in = None
        if stand_in is None or self.reason:
            self.physics.set_stand_in(None)
            return
        self.physics.set_stand_in(
            stand_in.physics,
            list(stand_in.sources),
            [stand_in.dtype, *stand_in.more_dtypes],
            stand_in.device,
            list(stand_in.image),
            list(stand_in.image_view),
            list(stand_in.measurement),
            list(stand_in.measurement_view),
            stand_in.any_batch,
        )

    def _difference(self, stand_in: StandIn) -> str:
        """How the two differ on a random image and random measurements; empty where they agree."""
        tolerance = _TOLERANCE[stand_in.dtype]
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad(), torch.autocast(stand_in.device.type, enabled=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                x = torch.randn(list(stand_in.example), generator=generator, dtype=stand_in.dtype).to(stand_in.device)
                theirs = self.operator.A(x)
                ours = stand_in.physics.A(_viewed(x, stand_in.image_view))
                error = _relative_error(ours.reshape(theirs.shape), theirs)
                if error > tolerance:
                    return f"its A differs from that of adjoin's {stand_in.physics.name} by {error:.1e}"
                y = torch.randn(theirs.shape, generator=generator, dtype=theirs.dtype).to(stand_in.device)
                back = self.operator.A_adjoint(y)
                ours = stand_in.physics.A_adjoint(_viewed(y, stand_in.measurement_view))
                error = _relative_error(ours.reshape(back.shape), back)
                if error > tolerance:
                    return f"its A_adjoint differs from that of adjoin's {stand_in.physics.name} by {error:.1e}"
            except Exception as failure:
                return f"it could not be compared with adjoin's {stand_in.physics.name}: {failure}"
        return ""
