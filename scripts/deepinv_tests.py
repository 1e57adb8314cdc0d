"""Runs deepinv's own tests of its distributed module, unchanged, on adjoin in its place.

    python scripts/deepinv_tests.py [pytest arguments]

The tests come from the installed wheel of deepinv. They start processes of their own, which run this file, too, and so
find adjoin installed. By default those that download weights are left out.
"""

import multiprocessing
import pathlib
import sys
import types
from typing import Any

import adjoin.deepinv

adjoin.deepinv.install()


class Installed:
    """A pytest plugin that says whose classes are tested, and starts the tests' processes faster than they do.

    They fork from one process that has imported everything, and have more time for it on a busy machine.
    """

    def pytest_report_header(self) -> str:
        import deepinv.distributed

        return f"deepinv.distributed is {deepinv.distributed.DistributedStackedLinearPhysics.__module__}"

    def pytest_itemcollected(self, item: Any) -> None:
        item.module.run_distributed_test.__defaults__ = (None, 60.0)  # seconds a rank, instead of 12
        item.module.mp = types.SimpleNamespace(get_context=lambda method: multiprocessing.get_context("forkserver"))


def main(arguments: list[str]) -> int:
    import deepinv
    import pytest

    multiprocessing.set_forkserver_preload(["adjoin.deepinv"])
    tests = pathlib.Path(deepinv.__file__).parent / "tests" / "test_distributed.py"
    selection = [] if "-k" in arguments else ["-k", "not drunet"]
    return int(pytest.main([str(tests), "-p", "no:cacheprovider", *selection, *arguments], plugins=[Installed()]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
