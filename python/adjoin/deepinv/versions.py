# SPDX-License-Identifier: BSD-3-Clause
"""What differs among the releases of deepinv: one table."""

from __future__ import annotations

import functools
import importlib
import re
import warnings
from dataclasses import dataclass
from typing import Any

__all__ = ["Version", "current"]


@dataclass(frozen=True)
class Version:
    """What ``deepinv.distributed`` is like from a release on."""

    since: tuple[int, int, int]
    # The modules whose classes and functions adjoin's stand in for.
    modules: tuple[str, ...]
    # The strategy of a DistributedProcessing, and of distribute(), that is not told any.
    strategy: str | None
    # The arguments that create_strategy takes before the image's shape.
    strategy_arguments: tuple[str, ...]


VERSIONS = (
    Version(
        since=(0, 4, 1),
        modules=("deepinv.distributed.distrib_framework", "deepinv.distributed.distribute"),
        strategy="overlap_tiling",
        strategy_arguments=("overlap_tiling",),
    ),
    Version(
        since=(0, 5, 0),
        modules=("deepinv.distributed.framework", "deepinv.distributed.distribute"),
        strategy=None,
        strategy_arguments=(),
    ),
)
# Those that adjoin was tried with. A later one is taken for the newest of them.
NEWEST = (0, 5)


def _numbers(release: str) -> tuple[int, int, int]:
    found = [int(number) for number in re.findall(r"\d+", release)[:3]]
    return (*found, 0, 0, 0)[:3]  # type: ignore[return-value]


def _import_deepinv() -> Any:
    try:
        return importlib.import_module("deepinv")
    except RuntimeError as error:  # from torchvision, which describes operators that it has not brought
        if "torchvision" not in str(error):
            raise
        raise ImportError(
            f"deepinv needs torchvision, which does not fit the installed torch ({error}). Install both from one index, "
            "for instance: pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu"
        ) from error


@functools.cache
def current() -> Version:
    """The entry for the deepinv that is installed. Raises ImportError, with what to do, where there is none, it cannot be
    imported, or is older than 0.4.1; warns once of one that is newer than all that are known."""
    deepinv = _import_deepinv()
    release = getattr(deepinv, "__version__", "0")
    numbers = _numbers(release)
    if numbers < VERSIONS[0].since:
        raise ImportError(f"adjoin.deepinv needs deepinv 0.4.1 or later, got {release}")
    if numbers[:2] > NEWEST:
        warnings.warn(
            f"deepinv {release} is newer than any that adjoin knows: adjoin.deepinv behaves as for "
            f"{'.'.join(map(str, NEWEST))}",
            UserWarning,
            stacklevel=2,
        )
    return [version for version in VERSIONS if version.since <= numbers][-1]
