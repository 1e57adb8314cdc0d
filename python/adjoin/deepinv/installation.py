# SPDX-License-Identifier: BSD-3-Clause
"""install(): adjoin's classes in the place of deepinv's, for programs that cannot change an import."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from adjoin.deepinv.context import DistributedContext
from adjoin.deepinv.data_fidelity import DistributedDataFidelity
from adjoin.deepinv.distribute import distribute, distribute_model
from adjoin.deepinv.parameters import DistributedReplicatedParameters
from adjoin.deepinv.physics import DistributedStackedLinearPhysics, DistributedStackedPhysics
from adjoin.deepinv.processing import DistributedProcessing
from adjoin.deepinv.versions import current

__all__ = ["install", "uninstall"]

# By the names that deepinv gives them.
_OURS = {
    "DistributedContext": DistributedContext,
    "DistributedDataFidelity": DistributedDataFidelity,
    "DistributedProcessing": DistributedProcessing,
    "DistributedReplicatedParameters": DistributedReplicatedParameters,
    "DistributedStackedLinearPhysics": DistributedStackedLinearPhysics,
    "DistributedStackedPhysics": DistributedStackedPhysics,
    "distribute": distribute,
    "_distribute_base_optim": distribute_model,
}
_replaced: list[tuple[Any, str, Any]] = []


def install() -> None:
    """Puts adjoin's classes in the place of those of ``deepinv.distributed``, for this process, wherever deepinv's own
    modules have them."""
    if _replaced:
        return
    for home in map(importlib.import_module, current().modules):
        for name, ours in _OURS.items():
            theirs = getattr(home, name, None)
            if theirs is not None and theirs is not ours:
                _replace(theirs, ours)


def _replace(theirs: Any, ours: Any) -> None:
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("deepinv."):
            for name, value in list(vars(module).items()):
                if value is theirs:
                    setattr(module, name, ours)
                    _replaced.append((module, name, theirs))


def uninstall() -> None:
    """Undoes :func:`install`."""
    for module, name, theirs in _replaced:
        setattr(module, name, theirs)
    _replaced.clear()
