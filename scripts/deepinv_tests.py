# SPDX-License-Identifier: BSD-3-Clause
"""Runs deepinv's own tests of its distributed module, unchanged, on adjoin in its place.

    python scripts/deepinv_tests.py [--release 0.5.0] [pytest arguments]

The tests come from the wheel of the installed deepinv, or of a release that is installed for this. They start processes
of their own, which run this file, too, and so find adjoin installed. DRUNet, whose weights they would download, has random
ones.
"""

import multiprocessing
import pathlib
import sys
import types
from typing import Any

from deepinv_releases import restart_with

if __name__ == "__main__" and "--release" in sys.argv:
    restart_with(sys.argv[sys.argv.index("--release") + 1])

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests/python"))

import deepinv
import torch
from sampling import sampled

import adjoin.deepinv

adjoin.deepinv.install()


_make_drunet = deepinv.models.DRUNet.__init__


def _make_random_drunet(self: Any, *args: Any, **kwargs: Any) -> None:
    """The weights of all processes are alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _make_drunet(self, *args, **{**kwargs, "pretrained": None})


deepinv.models.DRUNet.__init__ = _make_random_drunet


class Installed:
    """A pytest plugin that says whose classes are tested, and starts the tests' processes faster than they do.

    They fork from one process that has imported everything, and have more time for it on a busy machine.
    """

    def pytest_report_header(self) -> str:
        stack = deepinv.distributed.distribute.__module__
        return f"deepinv {deepinv.__version__}, whose distribute is that of {stack}"

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        kept = sampled(items, one_in=5)
        left = [item for item in items if item not in kept]
        items[:] = kept
        config.hook.pytest_deselected(items=left)

    def pytest_itemcollected(self, item: Any) -> None:
        item.module.run_distributed_test.__defaults__ = (None, 120.0)  # seconds a rank, instead of 12
        item.module.mp = types.SimpleNamespace(get_context=lambda method: multiprocessing.get_context("forkserver"))


def main(arguments: list[str]) -> int:
    import pytest

    if "--release" in arguments:
        place = arguments.index("--release")
        del arguments[place : place + 2]
    multiprocessing.set_forkserver_preload(["adjoin.deepinv"])
    tests = pathlib.Path(deepinv.__file__).parent / "tests" / "test_distributed.py"
    return int(pytest.main([str(tests), "-p", "no:cacheprovider", *arguments], plugins=[Installed()]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
