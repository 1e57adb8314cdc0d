# SPDX-License-Identifier: BSD-3-Clause
"""Copies of operators, fidelities, priors and denoisers, which are made again from what they were made of.

``copy``, ``pickle`` and ``torch.save`` ask an object how it was made (``__reduce__``) and call :func:`remade`. So a copy
has its own state and none of what the original derived from it; a deep copy has its own tensors, those that
several objects share staying shared.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, NoReturn

import torch

from adjoin import _adjoin
from adjoin.errors import InvalidArgument

__all__: list[str] = []


def remade(kind: type, maker: str, operands: tuple[Any, ...], arguments: dict[str, Any], models: dict[str, Any]) -> Any:
    """The object that ``maker`` of the extension module makes of operands and arguments.

    :param kind: the class of the result, where the user derived one from that of the extension module.
    :param models: by name the setters of what the object has got since, such as a noise model.
    """
    from adjoin.operators import as_physics

    make: Any = as_physics if maker == "as_physics" else getattr(_adjoin, maker, kind)
    is_derived = isinstance(make, type) and kind is not make and issubclass(kind, make)
    if is_derived:
        made = make.__new__(kind)
        make.__init__(made, *operands, **arguments)
    else:
        made = make(*operands, **arguments)
    for setter, model in models.items():
        getattr(made, setter)(model)
    return made


def _own_tensors(physics: Any) -> dict[str, torch.Tensor]:
    """The tensors that an operator was made of and that it lets be replaced."""
    names = physics.parameter_names
    arguments = physics.recipe()[2]
    return {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor) and name in names}


def _python_operator(physics: Any) -> Any:
    """The user's operator that an operator of ours calls, or None."""
    maker, _, arguments = physics.recipe()
    return arguments["operator"] if maker == "as_physics" else None


def state_dict(physics: Any) -> dict[str, torch.Tensor]:
    """The tensors of an operator by name; those of the operands of sums and products begin with their places."""
    operator = _python_operator(physics)
    if operator is not None:
        return dict(operator.state_dict()) if hasattr(operator, "state_dict") else {}
    state = _own_tensors(physics)
    for place, operand in enumerate(physics.recipe()[1]):
        state |= {f"{place}.{name}": tensor for name, tensor in state_dict(operand).items()}
    return state


def load_state_dict(physics: Any, state: dict[str, torch.Tensor]) -> None:
    """Replaces the tensors of :func:`state_dict`, all of them."""
    expected, got = set(state_dict(physics)), set(state)
    if expected != got:
        raise InvalidArgument(
            f"load_state_dict: state must have {sorted(expected)}, missing {sorted(expected - got)}, "
            f"superfluous {sorted(got - expected)}"
        )
    operator = _python_operator(physics)
    if operator is not None:
        if state:
            operator.load_state_dict(state)
        return
    operands = physics.recipe()[1]
    for place, operand in enumerate(operands):
        prefix = f"{place}."
        load_state_dict(operand, {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)})
    own = {name: state[name] for name in _own_tensors(physics)}
    if own:
        physics.update(**own)


def moved(physics: Any, device: torch.device | str | None, dtype: torch.dtype | None) -> Any:
    """The operator itself, its tensors on another device or in another precision."""
    operator = _python_operator(physics)
    if operator is not None:
        if hasattr(operator, "to"):
            operator.to(*([] if device is None else [device]), *([] if dtype is None else [dtype]))
        return physics
    for operand in physics.recipe()[1]:
        moved(operand, device, dtype)
    own = {name: _converted(tensor, device, dtype) for name, tensor in _own_tensors(physics).items()}
    if own:
        physics.update(**own)
    return physics


def _converted(tensor: torch.Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> torch.Tensor:
    """In another precision where that means anything; what is complex stays so."""
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise InvalidArgument(f"dtype: must be floating-point or complex, got {dtype}")
    if dtype is not None and not (tensor.is_floating_point() or tensor.is_complex()):
        dtype = None
    elif dtype is not None and tensor.is_complex():
        dtype = dtype.to_complex()
    return tensor.to(device=device, dtype=dtype)


class WithRanks:
    """What ranks hold together: a deep copy has its own operators and the same ranks, and nothing goes to a file.

    Making a deep copy is collective, as making the original was.
    """

    # Attributes that a deep copy makes anew, by _connect().
    _made_anew: ClassVar[tuple[str, ...]] = ()

    def _connect(self) -> None:
        """Makes these attributes of the others."""

    def __copy__(self) -> Any:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for name, value in self.__dict__.items():
            if name not in self._made_anew:
                made.__dict__[name] = copy.deepcopy(value, memo)
        made._connect()
        return made

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__}: cannot be pickled, as it belongs to the ranks of this program: pickle what it is made "
            "of and make it anew"
        )
