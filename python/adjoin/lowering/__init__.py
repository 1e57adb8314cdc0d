# SPDX-License-Identifier: BSD-3-Clause
"""Operators of other libraries whose work is done by operators of adjoin.

An operator of deepinv, PyLops or SciPy that has an equal in :mod:`adjoin.physics` is lowered: it stays the object that it
is, and the stack computes with its equal. This follows the operator's tensors and settings when they are changed in place or
replaced, and is used only where the two agree, which is proved on a random image. Everything else is left to the operator.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from adjoin.lowering.lowered import Lowered, Recipe
from adjoin.operators import MatrixFree

__all__ = ["Lowered", "lower"]

_warned: set[tuple[str, str]] = set()


def _recipe(operator: Any) -> Recipe | None:
    """How to lower the operator, by its exact type; None where it has no equal."""
    if isinstance(operator, MatrixFree):
        from adjoin.lowering.linear_operators import recipe as recipe_of_linear_operator

        return recipe_of_linear_operator(operator)
    if type(operator).__module__.split(".", 1)[0] == "deepinv" and "deepinv.physics" in sys.modules:
        from adjoin.lowering.deepinv import recipe

        return recipe(operator)
    return None


def lower(operator: Any) -> Lowered | None:
    """The operator with its equal, or None where it is left as it is, with one message where that may surprise."""
    if not hasattr(operator, "A_adjoint") and hasattr(operator, "matvec"):
        operator = MatrixFree(operator)
    recipe = _recipe(operator)
    if recipe is None:
        return None
    lowered = Lowered(operator, recipe)
    if lowered.reason:
        key = type(operator).__name__, lowered.reason
        if key not in _warned:
            _warned.add(key)
            warnings.warn(f"adjoin leaves {key[0]} as it is: {key[1]}", UserWarning, stacklevel=2)
    return lowered
