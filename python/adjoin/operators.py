# SPDX-License-Identifier: BSD-3-Clause
"""Operators from Python: what a factory may return, made ready for C++."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

from adjoin import _adjoin
from adjoin.arguments import TensorLike, as_tensor, described
from adjoin.errors import InvalidArgument

__all__ = ["MatrixFree", "as_physics", "parameters_of"]

_OPTIONAL = ("forward", "A_vjp", "A_adjoint_A", "A_A_adjoint", "A_dagger")


class _Apply(torch.autograd.Function):
    """A linear map that autograd cannot see into, with its adjoint as derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, forward: Callable[..., Any], adjoint: Callable[..., Any]) -> torch.Tensor:
        ctx.maps = forward, adjoint
        result: torch.Tensor = forward(x)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        forward, adjoint = ctx.maps
        return _Apply.apply(gradient, adjoint, forward), None, None  # type: ignore[no-untyped-call]


class MatrixFree:
    """A PyLops or SciPy ``LinearOperator`` as an operator on tensors.

    :param operator: has ``matvec``, ``rmatvec`` and ``shape``.
    :param image_shape: shape of an image without batch dimensions; PyLops knows it as ``dims``, default (n,).
    :param measurement_shape: likewise for measurements; ``dimsd``, default (m,).

    :raises adjoin.InvalidArgument: from ``A`` and ``A_adjoint``, for tensors of other shapes.

    ``A`` takes tensors (…, *image_shape) to (…, *measurement_shape), ``A_adjoint`` back, on any device, by way of NumPy.
    """

    def __init__(
        self,
        operator: Any,
        image_shape: Iterable[int] | None = None,
        measurement_shape: Iterable[int] | None = None,
    ) -> None:
        self.operator = operator
        self.image_shape = tuple(image_shape or getattr(operator, "dims", None) or (operator.shape[1],))
        self.measurement_shape = tuple(measurement_shape or getattr(operator, "dimsd", None) or (operator.shape[0],))

    def __repr__(self) -> str:
        return f"MatrixFree({type(self.operator).__name__}, {self.image_shape} -> {self.measurement_shape})"

    def _map(
        self, function: Callable[..., Any], source: tuple[int, ...], target: tuple[int, ...]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        def apply(x: torch.Tensor) -> torch.Tensor:
            batch = x.shape[: x.dim() - len(source)]
            if x.shape[len(batch) :] != source:
                raise InvalidArgument(f"{self!r}: expected a tensor of shape (..., {source}), got {tuple(x.shape)}")
            rows = x.detach().cpu().reshape(-1, math.prod(source)).numpy()
            results = [torch.as_tensor(function(row)) for row in rows]
            return torch.stack(results).reshape(*batch, *target).to(x.device)

        return apply

    def A(self, x: TensorLike) -> torch.Tensor:
        """``matvec`` of each image.

        :param x: images (…, *image_shape).
        :return: measurements (…, *measurement_shape), on the device of x.
        :raises adjoin.InvalidArgument: for another shape.
        """
        return self._apply(
            as_tensor(x, "x"), self.operator.matvec, self.operator.rmatvec, self.image_shape, self.measurement_shape
        )

    def A_adjoint(self, y: TensorLike) -> torch.Tensor:
        """``rmatvec`` of each measurement.

        :param y: measurements (…, *measurement_shape).
        :return: images (…, *image_shape), on the device of y.
        :raises adjoin.InvalidArgument: for another shape.
        """
        return self._apply(
            as_tensor(y, "y"), self.operator.rmatvec, self.operator.matvec, self.measurement_shape, self.image_shape
        )

    def _apply(self, x: torch.Tensor, function: Any, adjoint: Any, source: Any, target: Any) -> torch.Tensor:
        result: torch.Tensor = _Apply.apply(x, self._map(function, source, target), self._map(adjoint, target, source))  # type: ignore[no-untyped-call]
        return result


def _overrides(kind: type, name: str) -> bool:
    """Whether a class has a method that does more than what adjoin makes of A and A_adjoint."""
    method = getattr(kind, name, None)
    if method is None or method is torch.nn.Module.forward:
        return False
    module = sys.modules.get("deepinv.physics.forward")
    if module is None or name == "forward":
        return True
    return all(method is not getattr(base, name, None) for base in (module.Physics, module.LinearPhysics))


def _parameter_names(methods: Iterable[Callable[..., Any]]) -> tuple[list[str], bool]:
    """The keyword arguments that methods of tensors take, and whether they take any."""
    names: dict[str, None] = {}
    for method in methods:
        try:
            parameters = list(inspect.signature(method).parameters.values())
        except (TypeError, ValueError):  # not known: callables of C and the like
            return list(names), True
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return list(names), True
        # The tensors come by position.
        tensors = 2 if getattr(method, "__name__", "") == "A_vjp" else 1
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names.update((p.name, None) for p in parameters[tensors:] if p.kind in by_name)
    return list(names), False


def as_physics(operator: Any, *, linear: bool | None = None) -> _adjoin.Physics:
    """The operator as C++ sees it.

    An operator of ``adjoin.physics`` stays itself. Otherwise it is an object with ``A`` and, to be linear,
    ``A_adjoint``, as deepinv's are, or with ``matvec`` and ``rmatvec``, as those of PyLops and SciPy. Methods
    ``forward``, ``A_vjp``, ``A_adjoint_A``, ``A_A_adjoint`` and ``A_dagger`` are used where the object has them, and
    ``update`` or ``update_parameters`` by :meth:`Physics.update`. One that acts on images slice by slice says so by
    ``slice_axis(image_shape, axis)``: the axis of measurements along which they hold the slices of images along ``axis``, or
    None (:class:`adjoin.SliceGrid`). Keyword arguments are those that its methods name, or
    all where a method has ``**kwargs``.

    :param linear: whether a linear operator is asked for; None takes what comes.
    :return: an operator of :mod:`adjoin.physics`; a linear one where there is ``A_adjoint``.
    :raises InvalidArgument: for what is no operator, or not linear where that is asked for.

    >>> class Twice:
    ...     def A(self, x):
    ...         return 2 * x
    ...     def A_adjoint(self, y):
    ...         return 2 * y
    >>> as_physics(Twice()).A_adjoint_A(torch.ones(1, 2))
    tensor([[4., 4.]])
    """
    if isinstance(operator, _adjoin.Physics):
        if linear and not isinstance(operator, _adjoin.LinearPhysics):
            raise InvalidArgument(f"factory must return linear operators, got {operator!r}")
        return operator
    if not callable(getattr(operator, "A", None)) and callable(getattr(operator, "matvec", None)):
        operator = MatrixFree(operator)
    if not callable(getattr(operator, "A", None)):
        raise InvalidArgument(
            "factory must return operators, with methods A and A_adjoint or matvec and rmatvec, "
            f"got {described(operator)}"
        )
    is_linear = callable(getattr(operator, "A_adjoint", None)) if linear is None else linear
    if is_linear and not callable(getattr(operator, "A_adjoint", None)):
        raise InvalidArgument(f"factory must return linear operators, with A_adjoint, got {described(operator)}")
    kind = type(operator)
    methods = {"A": operator.A}
    if is_linear:
        methods["A_adjoint"] = operator.A_adjoint
    for name in _OPTIONAL:
        if name in getattr(operator, "__dict__", {}) or _overrides(kind, name):
            methods[name] = getattr(operator, name)
    names, any_name = _parameter_names(methods.values())
    update = getattr(operator, "update", None) or getattr(operator, "update_parameters", None)
    if callable(update):
        methods["update"] = update
    if is_linear and callable(getattr(operator, "slice_axis", None)):
        methods["slice_axis"] = operator.slice_axis
    make = _adjoin.python_linear_physics if is_linear else _adjoin.python_physics
    return make(operator, kind.__name__, methods, names, any_name)


def parameters_of(objects: Iterable[Any]) -> list[torch.Tensor]:
    """The parameters of torch modules among the objects, and the tensors that require gradients of which adjoin's own
    operators among them are made, each once."""
    found: dict[int, torch.Tensor] = {}
    for item in objects:
        tensors: Iterable[torch.Tensor] = ()
        if isinstance(item, torch.nn.Module):
            tensors = item.parameters()
        elif isinstance(item, _adjoin.Physics):
            tensors = (tensor for tensor in item._tensors_with_gradients() if tensor.requires_grad)
        for tensor in tensors:
            found.setdefault(id(tensor), tensor)
    return list(found.values())
