# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of calls: NumPy arrays as tensors, and what is wrong with what is neither."""

from __future__ import annotations

import ast
import collections.abc
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

import torch

from adjoin.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy

__all__ = ["TensorLike", "as_tensor", "as_tensors"]

TensorLike = Union[torch.Tensor, "numpy.ndarray[Any, Any]"]


def from_array(value: Any) -> torch.Tensor | None:
    """The tensor on the CPU that a NumPy array is, or None for what is no array of numbers.

    It shares the array's memory, unless that is read-only, in the other byte order or in negative steps.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray) or isinstance(value, numpy.ma.MaskedArray):
        return None
    array = numpy.asarray(value, dtype=value.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except TypeError:  # a dtype that torch has not
        return None


def as_tensor(value: TensorLike, argument: str) -> torch.Tensor:
    """``value`` if it is a tensor, or the tensor that a NumPy array is.

    :param argument: names it in the :class:`adjoin.InvalidArgument` that anything else raises.

    >>> import numpy
    >>> as_tensor(numpy.ones(2), "x")
    tensor([1., 1.], dtype=torch.float64)
    """
    tensor = value if isinstance(value, torch.Tensor) else from_array(value)
    if tensor is None:
        raise InvalidArgument(f"{argument}: must be a tensor or a NumPy array, got {described(value)}")
    return tensor


def as_tensors(values: Iterable[TensorLike], argument: str) -> list[torch.Tensor]:
    """The same for each of a list of measurements."""
    is_list = hasattr(values, "__iter__") or hasattr(values, "__getitem__")
    if isinstance(values, (torch.Tensor, str)) or not is_list or from_array(values) is not None:
        raise InvalidArgument(f"{argument}: must be a list of tensors, got {described(values)}")
    return [as_tensor(value, f"{argument}[{i}]") for i, value in enumerate(values)]


def refuse_gradients(call: str, /, **values: Any) -> None:
    """Raises InvalidArgument where autograd would follow one of the arguments of a call, or an entry of a list, whose result
    it does not record."""
    for name, value in values.items():
        is_list = isinstance(value, collections.abc.Sequence) and not isinstance(value, str)
        for tensor in value if is_list else [value]:
            if isinstance(tensor, torch.Tensor) and _is_differentiated(tensor):
                raise InvalidArgument(
                    f"{call}: {name}: must not require gradients or carry a tangent, which its result would not have: "
                    "detach it, or call under torch.no_grad()"
                )


def _is_differentiated(tensor: torch.Tensor) -> bool:
    recorded = tensor.requires_grad and torch.is_grad_enabled()
    return recorded or torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None


def described(value: Any) -> str:
    """What came, for messages."""
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        followed = " that requires gradients" if value.numel() == 1 and _is_differentiated(value) else ""
        return f"a tensor of shape {tuple(value.shape)}{followed}"
    parts = value if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(part, (bool, int, float, complex, str)) for part in parts):
        text = repr(value)
        if len(text) <= 40 or not isinstance(value, (list, tuple)):
            return text if len(text) <= 40 else text[:37] + "..."
    kind = type(value).__name__
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"an array of {value.dtype}" if kind == "ndarray" else f"a {kind} of {value.dtype}"
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


# ---- What the extension module says of arguments that fit no signature --------------------------------------------

_NUMBER = "typing.SupportsFloat | typing.SupportsIndex", "float"
_INTEGER = "typing.SupportsInt | typing.SupportsIndex", "int"
_TENSOR = "torch.Tensor | numpy.ndarray"


def _wanted(kind: str) -> str:
    """A type of a signature in words."""
    for text, words in (
        (_TENSOR, "a tensor or a NumPy array"),
        *((text, "a number") for text in _NUMBER),
        *((text, "an integer") for text in _INTEGER),
        ("torch.Tensor", "a tensor"),
        ("str", "text"),
        ("bool", "True or False"),
    ):
        if kind == text:
            return words
        if kind == text + " | None":
            return words + " or None"
    sequence = re.fullmatch(r"collections\.abc\.Sequence\[(.*)\]", kind)
    if sequence:
        return "a sequence, each entry " + _wanted(sequence[1])
    fixed = re.fullmatch(r"typing\.Annotated\[collections\.abc\.Sequence\[(.*)\], .FixedSize\((\d+)\).\]", kind)
    if fixed:
        return f"a sequence of {fixed[2]}, each {_wanted(fixed[1])}"
    return kind.replace("adjoin._adjoin.", "").replace(" | None", " or None")


def _fits(value: Any, kind: str) -> bool:
    """Whether pybind11 takes ``value`` for a type of a signature, as far as that is known here."""
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    if kind == _TENSOR:
        return isinstance(value, torch.Tensor) or from_array(value) is not None
    if kind == "torch.Tensor":
        return isinstance(value, torch.Tensor)
    if kind in _NUMBER:
        if isinstance(value, torch.Tensor) and _is_differentiated(value):
            return False
        return hasattr(value, "__float__") or hasattr(value, "__index__")
    if kind in _INTEGER:
        return not isinstance(value, float) and (hasattr(value, "__int__") or hasattr(value, "__index__"))
    if kind == "str":
        return isinstance(value, (str, bytes))
    inner = re.fullmatch(
        r"(?:typing\.Annotated\[)?collections\.abc\.Sequence\[(.*?)\](?:, .FixedSize\((\d+)\).\])?", kind
    )
    if inner:
        if isinstance(value, (str, bytes, torch.Tensor)) or not isinstance(value, collections.abc.Sequence):
            return False
        return (inner[2] is None or len(value) == int(inner[2])) and all(_fits(entry, inner[1]) for entry in value)
    if kind.startswith("adjoin._adjoin."):
        known = getattr(sys.modules["adjoin._adjoin"], kind.removeprefix("adjoin._adjoin."), None)
        return known is None or isinstance(value, known)
    if kind in ("torch.dtype", "torch.device"):
        return isinstance(value, getattr(torch, kind.removeprefix("torch.")))
    return True


def _problem(arguments: ast.arguments, positional: Sequence[Any], keywords: dict[str, Any]) -> str:
    """What is wrong with the arguments of a call, in words that begin with the argument's name; else an empty string."""
    named = [*arguments.posonlyargs, *arguments.args]
    names = [argument.arg for argument in (*named, *arguments.kwonlyargs)]
    choices = "it takes " + ", ".join(name for name in names if name != "self") if names else "it takes none"
    given = dict(zip((argument.arg for argument in named), positional))
    if len(positional) > len(named) and arguments.vararg is None:
        return f"takes at most {len(named) - ('self' in names)} arguments by position, got {len(positional)}: {choices}"
    for name, value in keywords.items():
        if name not in names and arguments.kwarg is None:
            return f"unknown argument {name!r}; {choices}"
        if name in given:
            return f"{name}: given twice, by position and by name"
        given[name] = value
    optional = {argument.arg for argument in named[len(named) - len(arguments.defaults) :]}
    optional |= {a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is not None}
    for argument in (*named, *arguments.kwonlyargs):
        kind = "" if argument.annotation is None else ast.unparse(argument.annotation)
        if argument.arg not in given:
            if argument.arg not in optional:
                return f"{argument.arg}: missing, must be {_wanted(kind)}"
        elif not _fits(given[argument.arg], kind):
            return f"{argument.arg}: must be {_wanted(kind)}, got {described(given[argument.arg])}"
    return ""


def _is_collective(signature: str, positional: Sequence[Any], keywords: dict[str, Any]) -> bool:
    """Whether a call sends messages: not with ``gather=False``, but for what is solved or asked of all ranks."""
    names = re.findall(r"[(,] (\w+): ", signature.replace("(", "( ", 1))
    given = {**dict(zip(names, positional)), **keywords}
    return given.get("gather", True) is not False or given.get("local_only", True) is False


def explained(message: str, positional: Sequence[Any], keywords: dict[str, Any]) -> InvalidArgument:
    """What a call of the extension module raises when its arguments fit none of its signatures.

    :param message: pybind11's, which lists these.

    Where the ranks make the call together, all raise it, instead of waiting for this one.
    """
    name = message.partition("(): ")[0]
    signatures = re.findall(r"^ {4}\d+\. (.*)$", message, re.MULTILINE)
    makes = "incompatible constructor arguments" in message
    if makes:
        name = signatures[0].partition("(")[0].rpartition(".")[2]
    problems: list[str] = []
    for signature in signatures:
        inside = signature[signature.index("(") :]
        try:
            function = ast.parse(f"def call{inside}: ...").body[0]
        except SyntaxError:  # a default whose text is no expression
            continue
        assert isinstance(function, ast.FunctionDef)
        own = positional[1:] if makes else positional
        problems.append(_problem(function.args, own, keywords))
    problem = "; or ".join(problems) if all(problems) else ""
    problem = problem or "the arguments fit none of: " + "; ".join(signatures).replace("adjoin._adjoin.", "")
    error = InvalidArgument(f"{name}: {problem}")
    if (
        not makes
        and positional
        and hasattr(positional[0], "refuse")
        and _is_collective(signatures[0], positional, keywords)
    ):
        positional[0].refuse(name, error)
    return error
